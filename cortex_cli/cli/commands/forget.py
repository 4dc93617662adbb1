"""`cortex forget`: content goes for good, and what was learned from it is marked."""

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import settings, workspace
from cortex_cli.cli.framework import Option
from cortex_cli.cli.options import DryRunOption, JsonOption, WaitOption, YesOption
from cortex_cli.cli.output import emit, say, show_text
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.pipeline.forgetting import Forgotten, Selectors
    from cortex_cli.pipeline.place import Place

__all__ = ["forget"]

_AGE = re.compile(r"([1-9][0-9]{0,4})([dwmy]?)")
_DAYS = {"": 1, "d": 1, "w": 7, "m": 30, "y": 365}
_UNCHANGED = "nothing was changed"


def forget(  # noqa: PLR0913, PLR0917 - one option per thing that a person may ask for
    interaction: Annotated[str, Option(metavar="ID", help="this interaction, by id or alias")] = "",
    episode: Annotated[str, Option(metavar="EPISODE", help="every turn of this episode")] = "",
    user: Annotated[str, Option(metavar="USER", help="everything of this user")] = "",
    agent: Annotated[str, Option(metavar="AGENT", help="everything of this agent")] = "",
    older_than: Annotated[str, Option(metavar="AGE", help="everything older than this, such as 90d")] = "",
    before: Annotated[str, Option(metavar="DATE", help="everything from before this day, such as 2026-01-31")] = "",
    reason: Annotated[str, Option(metavar="TEXT", help="recorded in git, so it must name nobody")] = "",
    resume: Annotated[bool, Option("--resume", help="complete a forgetting that was cut off")] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove content, leave a tombstone, and mark dataset versions and adapters that descend from it.

    Selectors combine: what is forgotten must fit all of them. Interactions go with the feedback on them, with
    later turns of their episodes that repeat their text (but not with --older-than or --before), with every
    object and log line in the workspace that holds them, and are not taken in again. What was marked is not
    trained on and not promoted any more; the commands that make it anew are printed.
    """
    from cortex_cli.pipeline.forgetting import Selectors
    from cortex_cli.pipeline.place import open_place

    place = open_place(workspace(), actor=settings().actor, wait=_patience(wait))
    if resume:
        _finish(place, _patience(wait), as_json=as_json)
        return
    moment = _moment(place, older_than, before)
    selectors = Selectors(interaction=interaction, episode=episode, user=user, agent=agent, before=moment)
    found = _act(place, selectors, reason, _patience(wait)) if yes and not dry_run else _plan(place, selectors)
    if not (yes or dry_run) and found.interactions:
        _ask(found)
        found = _act(place, selectors, reason, _patience(wait))
    emit("forget", found, lambda console: _show(console, found), as_json=as_json)


def _patience(wait: float | None) -> float:
    return settings().lock_wait if wait is None else wait


def _plan(place: "Place", selectors: "Selectors") -> "Forgotten":
    from cortex_cli.pipeline.forgetting import plan_forgetting

    return plan_forgetting(place, selectors)


def _act(place: "Place", selectors: "Selectors", reason: str, wait: float) -> "Forgotten":
    from cortex_cli.pipeline.forgetting import forget as carry_out

    return carry_out(place, selectors, reason=reason, wait=wait)


def _finish(place: "Place", wait: float, *, as_json: bool) -> None:
    from cortex_cli.pipeline.forgetting import Forgotten, resume_forgetting

    found = resume_forgetting(place, wait=wait) or Forgotten()
    emit("forget", found, lambda console: _show(console, found), as_json=as_json)


def _moment(place: "Place", age: str, day: str) -> str:
    """Return the moment before which everything goes, or '' when neither *age* nor *day* is given."""
    from datetime import UTC, datetime, timedelta

    from cortex_cli.store.clock import rfc3339

    if age and day:
        raise UsageError("--older-than and --before exclude each other", hint="cortex forget --help", state=_UNCHANGED)
    match = _AGE.fullmatch(age)
    if age and not match:
        raise UsageError(f"'{age}' is not an age: use a form such as 90d, 12w, 6m or 2y", state=_UNCHANGED)
    if match:
        return rfc3339(place.now() - timedelta(days=int(match[1]) * _DAYS[match[2]]))
    try:
        return day and rfc3339(datetime.fromisoformat(day).replace(tzinfo=UTC))
    except ValueError as error:
        raise UsageError(f"'{day}' is not a day: use the form 2026-01-31", state=_UNCHANGED) from error


def _ask(found: "Forgotten") -> None:
    """Ask on the terminal whether to go on; raise `UsageError` where nobody can answer, or the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{_number(found.interactions + found.carriers, 'interaction')} would be forgotten, and nobody was asked",
            hint="the same command with --yes, or with --dry-run to see what it would do",
            state=_UNCHANGED,
        )
    for line in _lines(found):
        say(line)
    sys.stderr.write("forget this for good? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("the answer was not yes", hint="cortex forget --dry-run", state=_UNCHANGED)


def _show(console: "Console", found: "Forgotten") -> None:
    if not found.interactions:
        console.print("nothing to forget")
        return
    for line in _lines(found):
        console.print(line)
    for each in found.served:
        console.print(
            f"ATTENTION: {each.role} {each.variant} of '{each.agent}' answers with revoked adapter {each.adapter}",
            style="bold",
        )
    if any(each.role == "champion" for each in found.served):
        console.print("  it goes on answering until another one is promoted: retrain, or cortex rollback AGENT")
    for command in found.rebuild:
        console.print(f"next: {command}")


def _lines(found: "Forgotten") -> Iterator[str]:
    verb = "would go" if found.dry_run else "gone"
    yield f"{_number(found.interactions, 'interaction')} and {_number(found.feedback, 'judgement')} {verb}"
    if found.carriers:
        yield f"{_number(found.carriers, 'other turn')} of the same episodes with their text {verb}"
    if found.kept_carriers:
        yield f"younger turns keep their text as history: {', '.join(found.kept_carriers)}"
    if not found.dry_run:
        yield f"{found.objects:,} objects, {found.runs:,} runs and lines of {found.files:,} files gone"
    for word, names in (("dataset", found.datasets), ("adapter", found.adapters)):
        yield from (f"revoked: {word} {name}" if not found.dry_run else f"to revoke: {word} {name}" for name in names)
    if found.sources:
        read = ", ".join(f"{show_text(name)} ({count:,})" for name, count in found.sources.items())
        yield f"read from, and not touched there: {read}"


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")

"""`cortex doctor`: what decides whether Cortex works well here, and what holds the loop up."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cortex_cli.cli.context import environ, find_root, journal, settings, workspace
from cortex_cli.cli.framework import leave
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_table, wants_plain
from cortex_cli.domain.errors import CortexError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.cli.overview import AgentView, VolumeView
    from cortex_cli.pipeline.place import Place
    from cortex_cli.registry.doctor import Row

__all__ = ["doctor"]

_FAILED = 1


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine, this workspace and its loop, and say what to do about each fault.

    Answers why nothing is collected, trained or promoted. Ends with 1 if a check fails.
    """
    rows = list(_all_rows())
    failed = any(row.state == "fail" for row in rows)

    def human(console: "Console") -> None:
        if wants_plain():
            print_table(console, ("CHECK", "STATE", "FOUND", "ADVICE"), rows)
            return
        print_table(console, ("CHECK", "STATE", "FOUND"), [row[:3] for row in rows])
        for row in rows:
            if row.advice:
                console.print(f"{row.check}: {row.advice}")

    emit("doctor", {"checks": [row._asdict() for row in rows]}, human, as_json=as_json, ok=not failed)
    if failed:
        leave(_FAILED)


def _all_rows() -> "Iterator[Row]":
    from cortex_cli.registry.doctor import Row, check_machine, check_workspace

    yield from check_machine(environ())
    if find_root() is None:
        yield Row("workspace", "warn", "none here", "cortex init")
        return
    rows = [_settings_row(), *check_workspace(workspace())]
    yield from rows
    if all(row.state != "fail" for row in rows):
        yield from _loop_rows()


def _settings_row() -> "Row":
    from cortex_cli.registry.doctor import Row

    try:
        settings()
    except CortexError as error:
        return Row("settings", "fail", " ".join(error.message.split()), "cortex config show")
    return Row("settings", "ok", str(workspace().config_path))


def _loop_rows() -> "Iterator[Row]":
    """Yield what holds the loop up: nothing collected, too little to train on, nothing to promote."""
    from cortex_cli.cli.overview import read_overview
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.registry.doctor import Row

    place = open_place(workspace())
    found = read_overview(place, today=place.now().date())
    held = found.journal.agents
    judged = _count_feedback()
    total = sum(volume.interactions for volume in held.values())
    yield Row("collected", "ok", f"{total:,} interactions, {judged:,} feedback, {found.journal.bytes / 1e6:,.1f} MB")
    yield from _waiting_rows(place)
    for view in found.agents:
        yield Row(f"agent {view.agent}", "ok", *_next_step(view, _count(held.get(view.agent))))
        yield from _revoked_rows(view)


def _count_feedback() -> int:
    with journal() as records:
        return records.counts().get("feedback", 0)


def _count(volume: "VolumeView | None") -> int:
    return volume.interactions if volume else 0


def _waiting_rows(place: "Place") -> "Iterator[Row]":
    """Yield what must not wait: a forgetting that was cut off, and transcripts that will soon be deleted."""
    from cortex_cli.pipeline.forgetting import find_unfinished
    from cortex_cli.pipeline.transcripts import KEPT_DAYS, find_endangered
    from cortex_cli.registry.doctor import Row

    try:
        since = find_unfinished(place)
    except CortexError as error:
        yield Row("forgetting", "fail", error.message, error.hint)
    else:
        if since:
            yield Row("forgetting", "fail", f"one of {since} was cut off before its end", "cortex forget --resume")
    folder = Path(environ().get("HOME", "~")).expanduser() / ".claude" / "projects"
    if endangered := find_endangered(place, folder):
        told = f"{endangered:,} are old and not collected; they are deleted after {KEPT_DAYS} days by default"
        yield Row("Claude Code transcripts", "warn", told, f"cortex collect '{folder}'")


def _revoked_rows(view: "AgentView") -> "Iterator[Row]":
    """Yield a row when *view* is answered for by an adapter that learned from what was forgotten."""
    from cortex_cli.registry.doctor import Row

    if view.champion and view.champion.revoked:
        advice = f"cortex curate, cortex train, then promote; or now: cortex rollback {view.agent}"
        yield Row(f"champion {view.agent}", "warn", f"adapter {view.champion.adapter} is revoked", advice)


def _next_step(view: "AgentView", interactions: int) -> tuple[str, str]:
    """Return how far the loop has come for an agent, and the command that takes it on."""
    short = next((data for data in view.datasets if data.examples < data.needed), None)
    if not interactions:
        return "nothing collected yet", f"cortex collect SOURCE --agent {view.agent}"
    if not view.datasets:
        return f"{interactions:,} interactions, no dataset version yet", "cortex curate"
    if short:
        return f"{short.examples:,} of {short.needed:,} examples needed to train", "cortex collect, then cortex curate"
    if view.experiment:
        return f"experiment {view.experiment.id} is {view.experiment.state}", "cortex ab status"
    if not view.champion:
        return "no champion yet", f"cortex promote {view.agent} VARIANT"
    return f"champion {view.champion.id}, generation {view.generation}", ""

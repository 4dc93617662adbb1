"""Collecting: sources into the journal, redacted on the way, and judgements by hand."""

import secrets
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from cortex_cli.collect.reading import FORMATS, UNKNOWN_FORMAT, load_format
from cortex_cli.collect.redact import Policy, Redactor
from cortex_cli.collect.reports import CollectReport
from cortex_cli.collect.sources import Source, expand_sources
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, feedback_id
from cortex_cli.domain.names import check_name
from cortex_cli.pipeline.intake import Intake, JournalKeeper, PreviewKeeper, Sources
from cortex_cli.pipeline.place import Place
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import open_key

__all__ = [
    "Judgement",
    "Sources",
    "check_options",
    "check_sources",
    "collect_sources",
    "find_unregistered",
    "preview_sources",
    "record_feedback",
]


class Judgement(NamedTuple):
    """A judgement as it was kept; *new* is false when the same had been told before."""

    feedback: Feedback
    new: bool


def collect_sources(
    place: Place, sources: Sources, *, wait: float = 30.0, told: Callable[[int], None] = lambda _: None
) -> CollectReport:
    """Append the records of *sources* to the journal and report on every line.

    Files that were read before and have not changed are passed over, and files that have grown are read on.
    *told* hears the number of records so far. What is counted is durable; after a kill or an error the same
    call again adds only what is missing. Raises before anything is written when a source, a forced format or the name
    of the agent is wrong, and after it when no source was in a known format.
    """
    found = check_sources(sources)
    key = open_key(place.workspace)
    with Journal(place.workspace.journal_path, wait=wait, now=place.now) as journal:
        intake = Intake(sources, JournalKeeper(journal), key=key, now=place.now())
        intake.take(found, told=told)
    return _checked(intake.report())


def preview_sources(place: Place, sources: Sources, *, told: Callable[[int], None] = lambda _: None) -> CollectReport:
    """Report what `collect_sources` would do with all of *sources*, changed or not, writing nothing at all.

    In memory: the id of every new record. Records whose content conflicts are only told when they are collected.
    """
    found = check_sources(sources)
    with Journal(place.workspace.journal_path) as journal:
        # A key for this call only: making that of the workspace would be a write.
        intake = Intake(sources, PreviewKeeper(journal), key=secrets.token_bytes(32), now=place.now())
        intake.take(found, told=told)
    return _checked(intake.report())


def check_options(sources: Sources) -> None:
    """Raise `UsageError` when the format or the agent is wrong."""
    if sources.agent:
        check_name("agent", sources.agent)
    if sources.format:
        load_format(sources.format)


def check_sources(sources: Sources) -> list[Source]:
    """Return what *sources* stand for; raise `UsageError` when a name, the format or the agent is wrong."""
    check_options(sources)
    found = expand_sources(sources.names)
    if not found:
        names = ", ".join(f"'{name}'" for name in sources.names)
        raise UsageError(f"no logs under {names}", hint="cortex collect FILE", state="nothing was changed")
    return found


def find_unregistered(place: Place, report: CollectReport) -> list[str]:
    """Return the agents of *report* that the registry does not know: theirs is kept, but nothing serves for them yet."""
    known = {agent.agent for agent in place.registry.snapshot().agents()}
    return [agent for agent in report.agents if agent not in known]


def record_feedback(place: Place, feedback: Feedback, *, policy: Policy = "standard", wait: float = 30.0) -> Judgement:
    """Append a judgement on an interaction or an episode; its id, time and kind of target are filled in here.

    The target is an interaction's id, what its producer calls it, or an episode. Raises `UsageError` when the
    journal has nothing of that name.
    """
    with Journal(place.workspace.journal_path, wait=wait, now=place.now) as journal:
        target, kind = _find_target(journal, feedback.target)
        redactor = Redactor(open_key(place.workspace), policy)
        filled = msgspec.structs.replace(feedback, time=feedback.time or place.time(), target=target, target_kind=kind)
        filled = msgspec.structs.replace(filled, id=feedback_id(filled))
        kept = redactor.redact_feedback(filled)
        done = journal.append([kept])
    return Judgement(kept, bool(done.new))


def _checked(report: CollectReport) -> CollectReport:
    if report.interactions + report.feedback:
        return report
    names = ", ".join(f"'{name}'" for name in report.sources)
    if report.quarantined.get(UNKNOWN_FORMAT) or report.quarantined.get("sqlite"):
        raise UsageError(
            f"the format of {names} is not recognised; known: {', '.join(sorted(FORMATS))}",
            hint="cortex collect SOURCE --format FORMAT",
            state="nothing was changed",
        )
    if report.refused == report.quarantined.get("unreadable"):
        reason = next(sample.detail for sample in report.samples if sample.reason == "unreadable")
        raise UsageError(f"{names} cannot be read: {reason}", hint="ls -l SOURCE", state="nothing was changed")
    return report


def _find_target(journal: Journal, name: str) -> tuple[str, Literal["interaction", "episode"]]:
    if found := journal.resolve(name):
        return found, "interaction"
    if journal.has_episode(name):
        return name, "episode"
    raise UsageError(
        f"there is no interaction or episode '{name}' in the journal",
        hint="cortex collect SOURCE, then use an id it has brought in",
        state="nothing was changed",
    )

"""Collecting: sources into the journal, redacted on the way, and judgements by hand."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal, NamedTuple

import msgspec

from cortex_cli.collect.reading import FORMATS, UNKNOWN_FORMAT, Reading, load_format
from cortex_cli.collect.records import Record
from cortex_cli.collect.redact import Policy, Redactor
from cortex_cli.collect.reports import CollectReport, Tally
from cortex_cli.collect.sources import expand_sources
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, feedback_id
from cortex_cli.domain.names import check_name
from cortex_cli.pipeline.place import Place
from cortex_cli.store.journal import Appended, Journal
from cortex_cli.store.workspace import open_key

__all__ = ["Judgement", "Sources", "collect_sources", "find_unregistered", "preview_sources", "record_feedback"]

_BATCH = 2000


class Sources(NamedTuple):
    """What to collect: paths, folders or "-"; the *format*, or '' to recognise it; the *agent* of records without one."""

    names: tuple[str, ...]
    format: str = ""
    agent: str = ""
    policy: Policy = "standard"


class Judgement(NamedTuple):
    """A judgement as it was kept; *new* is false when the same had been told before."""

    feedback: Feedback
    new: bool


def collect_sources(
    place: Place, sources: Sources, *, wait: float = 30.0, told: Callable[[int], None] = lambda _: None
) -> CollectReport:
    """Append the records of *sources* to the journal and report on every line.

    *told* hears the number of records so far. What is counted is durable; after a kill or an error the same
    call again adds only what is missing. Raises before anything is written when a source, a forced format or the name
    of the agent is wrong, and after it when no source was in a known format.
    """
    readings = _open(sources)
    tally = Tally(Redactor(open_key(place.workspace), sources.policy))
    with Journal(place.workspace.journal_path, wait=wait) as journal:
        done = journal.append(_announced(tally.follow(readings), told))
    return _checked(tally.report(new=done.new, known=done.known, conflicts=done.conflicts))


def preview_sources(place: Place, sources: Sources, *, told: Callable[[int], None] = lambda _: None) -> CollectReport:
    """Report what `collect_sources` would do, writing nothing to the journal.

    In memory: the id of every new record. Records whose content conflicts are only told when they are collected.
    """
    # A key for this call only: making that of the workspace would be a write.
    tally = Tally(Redactor(secrets.token_bytes(32), sources.policy))
    with Journal(place.workspace.journal_path) as journal:
        done = _count_known(journal, _announced(tally.follow(_open(sources)), told))
    return _checked(tally.report(new=done.new, known=done.known))


def find_unregistered(place: Place, report: CollectReport) -> list[str]:
    """Return the agents of *report* that the registry does not know: theirs is kept, but nothing serves for them yet."""
    known = {agent.agent for agent in place.registry.snapshot().agents()}
    return [agent for agent in report.agents if agent not in known]


def record_feedback(place: Place, feedback: Feedback, *, policy: Policy = "standard", wait: float = 30.0) -> Judgement:
    """Append a judgement on an interaction or an episode; its id, time and kind of target are filled in here.

    Raises `UsageError` when the journal has neither of that name.
    """
    with Journal(place.workspace.journal_path, wait=wait) as journal:
        kind = _find_target(journal, feedback.target)
        redactor = Redactor(open_key(place.workspace), policy)
        filled = msgspec.structs.replace(feedback, time=feedback.time or place.time(), target_kind=kind)
        filled = msgspec.structs.replace(filled, id=feedback_id(filled))
        kept = redactor.redact_feedback(filled)
        done = journal.append([kept])
    return Judgement(kept, bool(done.new))


def _open(sources: Sources) -> list[Reading]:
    if sources.agent:
        check_name("agent", sources.agent)
    if sources.format:
        load_format(sources.format)
    found = expand_sources(sources.names)
    if not found:
        names = ", ".join(f"'{name}'" for name in sources.names)
        raise UsageError(f"no logs under {names}", hint="cortex collect FILE", state="nothing was changed")
    return [Reading(source, format=sources.format, agent=sources.agent) for source in found]


def _checked(report: CollectReport) -> CollectReport:
    if report.quarantined.get(UNKNOWN_FORMAT) and not report.interactions + report.feedback:
        names = ", ".join(f"'{name}'" for name in report.sources)
        raise UsageError(
            f"the format of {names} is not recognised; known: {', '.join(sorted(FORMATS))}",
            hint="cortex collect SOURCE --format FORMAT",
            state="nothing was changed",
        )
    return report


def _announced(records: Iterable[Record], told: Callable[[int], None]) -> Iterator[Record]:
    for number, record in enumerate(records, 1):
        if number % _BATCH == 0:
            told(number)
        yield record


def _count_known(journal: Journal, records: Iterator[Record]) -> Appended:
    seen: set[str] = set()
    known = 0
    while batch := [record.id for record in islice(records, _BATCH)]:
        fresh = set(batch) - seen - journal.known(batch)
        known += len(batch) - len(fresh)
        seen |= fresh
    return Appended(new=len(seen), known=known, last=journal.last())


def _find_target(journal: Journal, name: str) -> Literal["interaction", "episode"]:
    if journal.find(name) is not None:
        return "interaction"
    if journal.has_episode(name):
        return "episode"
    raise UsageError(
        f"there is no interaction or episode '{name}' in the journal",
        hint="cortex collect SOURCE, then use an id it has brought in",
        state="nothing was changed",
    )

"""What a whole collection did: every line of every source is counted once, under one heading."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from cortex_cli.collect.reading import Joint, Reading
from cortex_cli.collect.records import Quarantined, Record
from cortex_cli.domain.interactions import Interaction, Origin

__all__ = ["CollectReport", "Counts", "Sample", "Tally", "Told", "add_counts"]

# Positions kept per reason: enough to look at, and bounded however bad a source is.
_SAMPLES = 3


class Sample(msgspec.Struct, frozen=True):
    """A line to look at: why, what was found, and where."""

    reason: str
    detail: str
    source: str
    line: int


class Counts(msgspec.Struct):
    """What was found in one source: *lines* = those that *gave* records + *refused* + *skipped* + *joined*.

    *quarantined* counts things by reason: a line that gave records may hold others that could not be one.
    """

    lines: int = 0
    gave: int = 0
    refused: int = 0
    joined: int = 0
    interactions: int = 0
    feedback: int = 0
    skipped: dict[str, int] = {}
    quarantined: dict[str, int] = {}
    formats: dict[str, int] = {}
    agents: dict[str, int] = {}
    warnings: dict[str, int] = {}
    samples: list[Sample] = []

    def count(self, record: Record, format: str) -> None:  # noqa: A002 - the word of the command line and of every message
        """Count *record*, which was read by *format*."""
        self.formats[format] = self.formats.get(format, 0) + 1
        if isinstance(record, Interaction):
            self.interactions += 1
            self.agents[record.agent] = self.agents.get(record.agent, 0) + 1
        else:
            self.feedback += 1

    def refuse(self, item: Quarantined, detail: str) -> None:
        """Count what was quarantined, and keep the place of the first of each reason."""
        seen = self.quarantined.get(item.reason, 0)
        self.quarantined[item.reason] = seen + 1
        if seen < _SAMPLES:
            self.samples.append(Sample(item.reason, detail, item.origin.source, item.origin.line))

    def take_back(self, reason: str) -> "Counts":
        """Return these counts without the last line, which was refused for *reason* and is read again."""
        less = {reason: self.quarantined.get(reason, 0) - 1}
        kept = [sample for sample in self.samples if sample.reason != reason]
        again = [sample for sample in self.samples if sample.reason == reason][: less[reason]]
        return msgspec.structs.replace(
            self,
            lines=self.lines - 1,
            refused=self.refused - 1,
            quarantined={name: count for name, count in (self.quarantined | less).items() if count > 0},
            samples=kept + again,
        )


class Told(msgspec.Struct):
    """What the journal said about the records: *conflicts* of the *known* have other content."""

    new: int = 0
    known: int = 0
    forgotten: int = 0
    conflicts: int = 0
    conflicting: list[Sample] = []

    def add_conflict(self, name: str, origin: Origin) -> None:
        """Keep where a record called *name* was read that contradicts the kept one, of the first few."""
        if len(self.conflicting) < _SAMPLES:
            self.conflicting.append(Sample("conflict", name, origin.source, origin.line))


class CollectReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a run: *lines* = *gave* + *refused* + *skipped* + *joined*.

    *interactions* + *feedback* = *new* + *known* + *forgotten*; a dry run counts the forgotten as new. Of
    the known, *conflicts* told the same id with other content, some of them at *conflicting*. *unchanged*
    sources were read before and are counted as they were then. *redacted* counts masks by kind under *policy*, in
    the version *stamp*; *not_covered* is what redaction does not look for.
    """

    sources: tuple[str, ...] = ()
    unchanged: int = 0
    lines: int = 0
    gave: int = 0
    refused: int = 0
    joined: int = 0
    skipped: dict[str, int] = {}
    interactions: int = 0
    feedback: int = 0
    new: int = 0
    known: int = 0
    forgotten: int = 0
    conflicts: int = 0
    conflicting: tuple[Sample, ...] = ()
    quarantined: dict[str, int] = {}
    samples: tuple[Sample, ...] = ()
    warnings: dict[str, int] = {}
    redacted: dict[str, int] = {}
    policy: str = "standard"
    stamp: str = ""
    not_covered: tuple[str, ...] = ()
    formats: dict[str, int] = {}
    agents: dict[str, int] = {}


class Tally:
    """Counts while records pass through, so that nothing is read twice to report on it.

    *mask* is applied to what a report quotes; a record whose time is after *horizon* is warned of.
    """

    def __init__(self, mask: Callable[[str], str], *, horizon: str = "9999") -> None:
        self.told = Told()
        self.redacted: Counter[str] = Counter()
        self._mask = mask
        self._horizon = horizon
        self._names: dict[str, str] = {}
        self._counts: list[Counts] = []
        self._unchanged: set[str] = set()

    def pass_over(self, key: str, name: str, before: Counts) -> None:
        """Count the source *key*, called *name*, as it was found *before*: its records are known."""
        self._names[key] = name
        self._unchanged.add(key)
        self._counts.append(before)
        self.told.known += before.interactions + before.feedback

    def follow(self, key: str, reading: Reading, counts: Counts) -> Iterator[Record]:
        """Yield the records of *reading*, counting them and what else is found in *counts*."""
        self._names[key] = reading.source.name
        self._unchanged.discard(key)
        self._counts.append(counts)
        try:
            for item in reading:
                if isinstance(item, Quarantined):
                    counts.refuse(item, self._mask(item.detail))
                    continue
                self._count(counts, item, reading.current)
                yield item
        finally:
            counts.lines, counts.gave, counts.refused = reading.lines, reading.gave, reading.refused
            counts.joined, counts.skipped = reading.joined, dict(reading.skipped)

    def follow_joint(self, joint: Joint) -> Iterator[Record]:
        """Yield the records that wait in *joint* until all sources were read."""
        counts = Counts()
        self._counts.append(counts)
        for late in joint.finish():
            if not isinstance(late.item, Quarantined):
                self._count(counts, late.item, late.format)
                yield late.item
                continue
            # The line was counted as joined, in the counts of its source.
            counts.joined -= late.waited
            counts.refused += late.waited
            counts.refuse(late.item, self._mask(late.item.detail))

    def report(self, *, policy: str, stamp: str, not_covered: Iterable[str] = ()) -> CollectReport:
        """Return what was counted, with what the journal said about the records."""
        counts = add_counts(self._counts)
        told = self.told
        return CollectReport(
            sources=tuple(self._names.values()),
            unchanged=len(self._unchanged),
            lines=counts.lines,
            gave=counts.gave,
            refused=counts.refused,
            joined=counts.joined,
            skipped=counts.skipped,
            interactions=counts.interactions,
            feedback=counts.feedback,
            new=told.new,
            known=told.known,
            forgotten=told.forgotten,
            conflicts=told.conflicts,
            conflicting=tuple(told.conflicting),
            quarantined=counts.quarantined,
            samples=tuple(counts.samples),
            warnings=counts.warnings,
            redacted=_sum([self.redacted]),
            policy=policy,
            stamp=stamp,
            not_covered=tuple(not_covered),
            formats=counts.formats,
            agents=counts.agents,
        )

    def _count(self, counts: Counts, record: Record, name: str) -> None:
        counts.count(record, name)
        if record.time > self._horizon:
            counts.warnings["time_in_future"] = counts.warnings.get("time_in_future", 0) + 1


def add_counts(counts: Sequence[Counts]) -> Counts:
    """Return the sum of *counts*, with samples of each reason as far as one report shows them."""
    return Counts(
        lines=sum(each.lines for each in counts),
        gave=sum(each.gave for each in counts),
        refused=sum(each.refused for each in counts),
        joined=sum(each.joined for each in counts),
        interactions=sum(each.interactions for each in counts),
        feedback=sum(each.feedback for each in counts),
        skipped=_sum([each.skipped for each in counts]),
        quarantined=_sum([each.quarantined for each in counts]),
        formats=_sum([each.formats for each in counts]),
        agents=_sum([each.agents for each in counts]),
        warnings=_sum([each.warnings for each in counts]),
        samples=_pick_samples(counts),
    )


def _pick_samples(counts: Iterable[Counts]) -> list[Sample]:
    seen: Counter[str] = Counter()
    picked: list[Sample] = []
    for sample in (sample for each in counts for sample in each.samples):
        seen[sample.reason] += 1
        if seen[sample.reason] <= _SAMPLES:
            picked.append(sample)
    return picked


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))

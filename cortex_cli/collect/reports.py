"""What a whole collection did: every line of every source is counted once, under one heading."""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from cortex_cli.collect.reading import Reading
from cortex_cli.collect.records import Quarantined, Record
from cortex_cli.collect.redact import NOT_COVERED, Redactor
from cortex_cli.domain.interactions import Interaction

__all__ = ["CollectReport", "Sample", "Tally"]

# Positions kept per reason: enough to look at, and bounded however bad a source is.
_SAMPLES = 3


class Sample(msgspec.Struct, frozen=True):
    """One quarantined line: why, what was found, and where."""

    reason: str
    detail: str
    source: str
    line: int


class CollectReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a run: *lines* = lines that gave records + quarantined; *interactions* + *feedback* = *new* + *known*.

    *conflicts* of the known told the same id with other content. *redacted* counts masks by kind under
    *policy*; *not_covered* is what redaction does not look for. A dry run counts everything as new.
    """

    sources: tuple[str, ...] = ()
    lines: int = 0
    interactions: int = 0
    feedback: int = 0
    new: int = 0
    known: int = 0
    conflicts: int = 0
    quarantined: dict[str, int] = {}
    samples: tuple[Sample, ...] = ()
    redacted: dict[str, int] = {}
    policy: str = "standard"
    not_covered: tuple[str, ...] = NOT_COVERED
    formats: dict[str, int] = {}
    agents: dict[str, int] = {}


class Tally:
    """Counts while records pass through, so that nothing is read twice to report on it."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._sources: list[str] = []
        self._lines = 0
        self._kinds: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._agents: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._samples: list[Sample] = []

    def follow(self, readings: Iterable[Reading]) -> Iterator[Record]:
        """Yield the redacted records of *readings*, counting them and what was quarantined."""
        for reading in readings:
            yield from self._follow(reading)

    def report(self, *, new: int, known: int = 0, conflicts: int = 0) -> CollectReport:
        """Return what was counted, with what the journal said about the records."""
        return CollectReport(
            sources=tuple(self._sources),
            lines=self._lines,
            interactions=self._kinds["interaction"],
            feedback=self._kinds["feedback"],
            new=new,
            known=known,
            conflicts=conflicts,
            quarantined=_sorted(self._reasons),
            samples=tuple(self._samples),
            redacted=_sorted(self._redactor.counts),
            policy=self._redactor.policy,
            formats=_sorted(self._formats),
            agents=_sorted(self._agents),
        )

    def _follow(self, reading: Reading) -> Iterator[Record]:
        self._sources.append(reading.source.name)
        for item in reading:
            if isinstance(item, Quarantined):
                self._count_quarantined(item)
                continue
            self._formats[reading.format] += 1
            self._kinds["interaction" if isinstance(item, Interaction) else "feedback"] += 1
            if isinstance(item, Interaction):
                self._agents[item.agent] += 1
            yield self._redactor.redact_record(item)
        self._lines += reading.lines

    def _count_quarantined(self, item: Quarantined) -> None:
        self._reasons[item.reason] += 1
        if self._reasons[item.reason] <= _SAMPLES:
            # The detail may quote the line, and a report is a write too.
            detail = self._redactor.redact_text(item.detail)
            self._samples.append(Sample(item.reason, detail, item.origin.source, item.origin.line))


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))

"""From the spool into the journal: traces are put together, read when they are due, and then let go.

For one thread. What was appended is durable; only then the spooled requests it came from are released, so that
a kill in between makes the same records again, which the journal knows.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect import records
from cortex_cli.collect.inferences import find_kind, is_complete, read_trace
from cortex_cli.collect.otlp import Event, Fault, Item
from cortex_cli.collect.redact import Redactor
from cortex_cli.collect.span_tree import Trace, Traces
from cortex_cli.domain.errors import LockedError
from cortex_cli.domain.interactions import Interaction, Origin
from cortex_cli.store.journal import Journal

__all__ = ["Batch", "Mover", "ReceiveReport", "decode_line", "encode_line"]

# Where a record of a live request was read.
_SOURCE = "otlp"
_DECODER = msgspec.json.Decoder(tuple[Item, ...])
# Traces that become one transaction.
_MOST_AT_ONCE = 500

Redact = Callable[[Callable[[Redactor, Any], Any], Any], Any]


class Batch(NamedTuple):
    """What one request brought: the *name* of its file in the spool, its *items*, and what could not be read of it."""

    name: str
    items: tuple[Item, ...]
    faults: tuple[Fault, ...] = ()


class ReceiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was received: *spans* + *events* arrived; of the records, *new* + *known* + *forgotten* were appended.

    *quarantined* counts by reason what could not become a record, *skipped* spans that are no calls of a model.
    *waiting* spans and events are still in the spool, because the journal was locked. *failures* are requests
    that met an error of ours, and were not acknowledged.
    """

    requests: int = 0
    replayed: int = 0
    spans: int = 0
    events: int = 0
    interactions: int = 0
    feedback: int = 0
    new: int = 0
    known: int = 0
    conflicts: int = 0
    forgotten: int = 0
    waiting: int = 0
    quarantined: dict[str, int] = {}
    skipped: dict[str, int] = {}
    agents: dict[str, int] = {}
    redacted: dict[str, int] = {}
    policy: str = "standard"
    failures: tuple[str, ...] = ()


class _Ticket:
    """One line of the spool: which of its traces are still held."""

    def __init__(self, name: str, traces: set[str]) -> None:
        self.name = name
        self.traces = traces


def encode_line(items: Sequence[Item]) -> bytes:
    """Return *items* as a line of the spool."""
    return msgspec.json.encode(items)


def decode_line(name: str, line: bytes) -> Batch:
    """Return the batch that *line* of the spool file *name* holds; a damaged one is a fault, and has no items."""
    try:
        return Batch(name, _DECODER.decode(line))
    except (msgspec.DecodeError, RecursionError) as error:
        return Batch(name, (), (Fault("damaged_spool", str(error)),))


class Mover:
    """Traces on their way into *journal*; *release* settles a line of the spool.

    *agent* is given to calls that name none; after *patience* seconds of silence an incomplete trace is moved as
    it is. Times are seconds of any clock that never goes back.
    """

    def __init__(
        self, journal: Journal, redact: Redact, release: Callable[[str], None], *, agent: str, patience: float
    ) -> None:
        self._journal = journal
        self._redact = redact
        self._release = release
        self._place = records.Place(Origin(_SOURCE), agent)
        self._patience = patience
        self._traces = Traces()
        self._touched: dict[str, float] = {}
        self._fresh: dict[str, None] = {}
        self._tickets: dict[str, list[_Ticket]] = {}
        self._ready: list[tuple[Trace, list[_Ticket]]] = []
        self._counts: Counter[str] = Counter()
        self._quarantined: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        self._agents: Counter[str] = Counter()

    def add(self, batch: Batch, now: float) -> None:
        """Take in *batch*; its line of the spool is released once all its traces are in the journal."""
        self._quarantined.update(fault.reason for fault in batch.faults)
        for item in batch.items:
            name = self._traces.add(item, self._place).name
            self._touched[name] = now
            self._fresh[name] = None
            self._count_item(item)
        names = {item.trace for item in batch.items}
        ticket = _Ticket(batch.name, names)
        for name in names:
            self._tickets.setdefault(name, []).append(ticket)
        if batch.name and not names:
            self._release(batch.name)
        for trace in self._traces.overflow():
            self._make_ready(trace)

    def replay(self, batch: Batch, now: float) -> None:
        """Take in *batch*, which an earlier receiver has left in the spool."""
        self._counts["replayed"] += 1
        self.add(batch, now)

    def move_due(self, now: float) -> None:
        """Move the traces that are complete, and those that have been silent for long, into the journal.

        Where that is locked they stay ready, and are tried again with the next call.
        """
        silent = {name for name, touched in self._touched.items() if now - touched >= self._patience}
        # Only what something came of can have become complete since the last time.
        fresh, self._fresh = self._fresh, {}
        for name in [*fresh, *sorted(silent - fresh.keys())]:
            trace = self._traces.find(name)
            if trace is not None and (name in silent or is_complete(trace)):
                self._make_ready(self._traces.take(name))
        self._flush()

    def move_all(self) -> None:
        """Move all traces into the journal, complete or not; where that is locked they stay in the spool."""
        for trace in self._traces.drain():
            self._make_ready(trace)
        self._flush()

    def report(self, redactor: Redactor, *, requests: int, failures: Sequence[BaseException]) -> ReceiveReport:
        """Return what has been counted."""
        return ReceiveReport(
            requests=requests,
            waiting=sum(len(trace) for trace, _ in self._ready),
            quarantined=_sorted(self._quarantined),
            skipped=_sorted(self._skipped),
            agents=_sorted(self._agents),
            redacted=_sorted(redactor.counts),
            policy=redactor.policy,
            failures=tuple(type(error).__name__ for error in failures),
            **{name: self._counts[name] for name in _COUNTED},
        )

    def _count_item(self, item: Item) -> None:
        if isinstance(item, Event):
            self._counts["events"] += 1
            return
        self._counts["spans"] += 1
        kind = find_kind(item)
        if kind != "inference":
            self._skipped["tool_span" if kind == "tool" else "not_inference"] += 1

    def _make_ready(self, trace: Trace) -> None:
        self._touched.pop(trace.name, None)
        self._ready.append((trace, self._tickets.pop(trace.name, [])))

    def _flush(self) -> None:
        while self._ready:
            group = self._ready[:_MOST_AT_ONCE]
            try:
                self._append([trace for trace, _ in group])
            except LockedError:
                return
            del self._ready[: len(group)]
            for trace, tickets in group:
                self._settle(trace.name, tickets)

    def _append(self, traces: list[Trace]) -> None:
        found = [item for trace in traces for item in read_trace(trace)]
        sound = [item for item in found if not isinstance(item, records.Quarantined)]
        done = self._journal.append(self._redact(Redactor.redact_batch, sound))
        self._quarantined.update(item.reason for item in found if isinstance(item, records.Quarantined))
        calls = [record for record in sound if isinstance(record, Interaction)]
        self._agents.update(record.agent for record in calls)
        self._counts.update(interactions=len(calls), feedback=len(sound) - len(calls))
        self._counts.update(new=done.new, known=done.known, conflicts=done.conflicts, forgotten=done.forgotten)

    def _settle(self, name: str, tickets: list[_Ticket]) -> None:
        for ticket in tickets:
            ticket.traces.discard(name)
            if not ticket.traces:
                self._release(ticket.name)


_COUNTED = ("replayed", "spans", "events", "interactions", "feedback", "new", "known", "conflicts", "forgotten")


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))

"""One collection: sources are read, their records redacted and kept in order, and what was read is remembered."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import msgspec

from cortex_cli import __version__
from cortex_cli.collect.cursors import Cursor, Cursors, parse_cursor
from cortex_cli.collect.reading import Joint, Reading
from cortex_cli.collect.records import Record
from cortex_cli.collect.redact import NOT_COVERED, Policy, Redactor
from cortex_cli.collect.reports import CollectReport, Counts, Tally
from cortex_cli.collect.sources import Source, stamp_source
from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.interactions import Origin
from cortex_cli.pipeline.redacting import Batch, Redacted, make_redactor, pack_record
from cortex_cli.store.clock import rfc3339
from cortex_cli.store.journal import Appended, Journal
from cortex_cli.store.rows import Row
from cortex_cli.store.workers import count_workers, map_batches

__all__ = ["Intake", "JournalKeeper", "Keeper", "PreviewKeeper", "Sources"]

# The size of a transaction: larger ones are no faster, and a kill costs at most one.
_BATCH_RECORDS = 2000
_BATCH_BYTES = 8 << 20
# Clocks differ by time zones that were lost; by more than a day they are wrong.
_AHEAD = timedelta(days=1)


class Sources(NamedTuple):
    """What to collect: *names* are paths, folders, patterns or "-"; *format* is '' to recognise it.

    *agent* is given to records without one; *policy* is that of redaction, which runs on *threads*, 0 = one per core.
    """

    names: tuple[str, ...]
    format: str = ""
    agent: str = ""
    policy: Policy = "standard"
    threads: int = 0


class Keeper(Protocol):
    """What becomes of rows and cursors."""

    def keep(self, rows: Sequence[Row]) -> Appended:
        """Take *rows*; what is counted in the result is durable."""
        ...

    def load(self, name: str) -> Cursor | None:
        """Return the cursor called *name*, or None."""
        ...

    def save(self, cursors: Mapping[str, Cursor]) -> None:
        """Remember *cursors* by name; all their rows were kept before."""
        ...


class JournalKeeper:
    """Keeps rows and cursors in *journal*."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._loaded: dict[str, Cursor | None] = {}

    def keep(self, rows: Sequence[Row]) -> Appended:
        """Append *rows*."""
        return self._journal.append_rows([rows])

    def load(self, name: str) -> Cursor | None:
        """Return the cursor called *name*, or None."""
        if name not in self._loaded:
            self._loaded[name] = parse_cursor(self._journal.get_cursor(name))
        return self._loaded[name]

    def save(self, cursors: Mapping[str, Cursor]) -> None:
        """Keep *cursors* in place of those before."""
        self._journal.put_cursors({name: msgspec.json.encode(cursor) for name, cursor in cursors.items()})
        self._loaded.update(cursors)


class PreviewKeeper:
    """Keeps nothing, and tells what *journal* would; in memory: the id of every new record."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: set[str] = set()

    def keep(self, rows: Sequence[Row]) -> Appended:
        """Count which of *rows* are new; conflicts and the forgotten are told only when they are kept."""
        ids = [row.id for row in rows]
        fresh = set(ids) - self._seen - self._journal.known(ids)
        self._seen |= fresh
        return Appended(new=len(fresh), known=len(ids) - len(fresh), last=0)

    def load(self, name: str) -> Cursor | None:  # noqa: ARG002 - the protocol passes it
        """Return None: a preview looks at everything."""
        return None

    def save(self, cursors: Mapping[str, Cursor]) -> None:
        """Remember nothing."""


class Intake:
    """Takes in sources with the options of *sources*, one call of `take` after another, and reports on all.

    *key* is that of the workspace, *now* the present time.
    """

    def __init__(self, sources: Sources, keeper: Keeper, *, key: bytes, now: datetime) -> None:
        self._sources = sources
        self._keeper = keeper
        self._key = key
        self._redactor = Redactor(key, sources.policy)
        stamp = digest_value([__version__, sources.format, sources.agent, self._redactor.stamp])
        self._cursors = Cursors(key, stamp)
        self._tally = Tally(self._redactor.redact_text, horizon=rfc3339(now + _AHEAD))
        self._met: set[str] = set()
        # The cursors of sources that ended since the last batch, and of those that ended with each batch on its way.
        self._ended: dict[str, Cursor] = {}
        self._flight: deque[dict[str, Cursor]] = deque()

    def cursor(self, source: Source) -> Cursor | None:
        """Return how far *source* has been read, or None."""
        name = self._cursors.name(source)
        return self._keeper.load(name) if name else None

    def take(
        self,
        found: Iterable[Source],
        *,
        told: Callable[[int], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Read *found* and keep what is new; *told* hears how many records were kept, *stopped* ends it early.

        What was kept stays after an error or a kill, and taking the same again adds only what is missing.
        """
        workers = count_workers(self._sources.threads)
        batches = self._batches(found, stopped)
        with closing(
            map_batches(make_redactor, (self._key, self._sources.policy), batches, workers=workers)
        ) as results:
            for redacted in results:
                self._keep(redacted)
                self._save(self._flight.popleft())
                count = self._tally.told
                told(count.new + count.known + count.forgotten)
        self._save(self._ended)
        self._ended = {}

    def report(self) -> CollectReport:
        """Return what was taken in so far."""
        policy = self._sources.policy
        not_covered = () if policy == "off" else NOT_COVERED
        return self._tally.report(policy=policy, stamp=self._redactor.stamp, not_covered=not_covered)

    def _batches(self, found: Iterable[Source], stopped: Callable[[], bool]) -> Iterator[Batch]:
        batch: list[bytes] = []
        size = 0
        for record in self._records(found):
            batch.append(pack_record(record))
            size += len(batch[-1])
            if len(batch) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
                yield self._send(batch)
                batch, size = [], 0
                if stopped():
                    return
        if batch:
            yield self._send(batch)

    def _send(self, batch: list[bytes]) -> Batch:
        self._flight.append(self._ended)
        self._ended = {}
        return Batch(batch)

    def _records(self, found: Iterable[Source]) -> Iterator[Record]:
        joint = Joint()
        for source in found:
            yield from self._read(source, joint)
        yield from self._tally.follow_joint(joint)

    def _read(self, source: Source, joint: Joint) -> Iterator[Record]:
        name = self._cursors.name(source)
        key = name or str(source.path)
        look = self._cursors.look(source, self._keeper.load(name) if name else None)
        if look.before is not None and key not in self._met:
            self._tally.pass_over(key, source.name, look.before)
        self._met.add(key)
        if look.source is None:
            return
        counts = Counts()
        reading = Reading(
            stamp_source(look.source), format=self._sources.format, agent=self._sources.agent, joint=joint
        )
        yield from self._tally.follow(key, reading, counts)
        # What waits for other sources, or could not be read, is read again the next time.
        if name and not reading.is_shared and "unreadable" not in counts.quarantined:
            self._ended[name] = self._cursors.make(reading, look.modified, counts, look.before)

    def _keep(self, redacted: Redacted) -> None:
        done = self._keeper.keep(redacted.rows)
        told = self._tally.told
        told.new += done.new
        told.known += done.known
        told.forgotten += done.forgotten
        told.conflicts += done.conflicts
        self._tally.redacted.update(redacted.counts)
        for name in done.conflict_ids:
            told.add_conflict(name, _find_origin(redacted.rows, name))

    def _save(self, ended: dict[str, Cursor]) -> None:
        if ended:
            self._keeper.save(ended)


def _find_origin(rows: Sequence[Row], name: str) -> Origin:
    body = next(row.body for row in reversed(rows) if row.id == name)
    return msgspec.json.decode(body, type=_Placed).origin


class _Placed(msgspec.Struct):
    """The part of a row's body that says where it was read."""

    origin: Origin = Origin("unknown")

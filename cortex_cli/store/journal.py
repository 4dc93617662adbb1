"""The one durable journal: every interaction and judgement in the order they were acknowledged.

SQLite in WAL mode, `synchronous=FULL`, one transaction per batch. Writers take a file lock around
every write, checkpoint and close: SQLite before 3.51.3 can corrupt a WAL that two connections reset
at once (https://sqlite.org/wal.html#walresetbug). Readers open read-only and need no lock.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import IntegrityError, LockedError, UsageError
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.store.atomic import fsync_folder, report_disk
from cortex_cli.store.database import open_reader, open_writer, report_database
from cortex_cli.store.locks import hold

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Appended", "Journal", "Record"]

Record = Interaction | Feedback
_Row = tuple[str, str, str, str, str, bytes]

# A batch is one transaction: 2,000 rows of 1 KB commit at 95 % of the rate that 10,000 do, and
# the byte limit bounds memory when single records are huge.
_BATCH_ROWS = 2000
_BATCH_BYTES = 16 << 20
_PAGE = 1000

_INSERT = (
    "INSERT INTO events (id, kind, agent, time, target, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
_INTERACTIONS = msgspec.json.Decoder(Interaction)
_FEEDBACK = msgspec.json.Decoder(Feedback)


class Appended(msgspec.Struct, frozen=True):
    """What an append did: records *new*, records *known* already, the journal's *last* number after it.

    *conflicts* of the known had the id of a kept record and another content; the first one is kept.
    """

    new: int
    known: int
    last: int
    conflicts: int = 0


class Journal:
    """The journal at *path*; a context manager. A file that does not exist yet reads as empty.

    *wait* is how long a write waits for another writer, in seconds. Not for use by several threads at
    once. Raises `IntegrityError` for a torn or foreign file, `LockedError`, `CortexError` on a full disk.
    """

    def __init__(self, path: Path, *, wait: float = 30.0) -> None:
        self.path = path
        self._wait = wait
        self._lock = path.parent / "locks" / "journal.lock"
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Return the journal itself; files are opened when they are first needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the journal, also after an error."""
        self.close()

    def close(self) -> None:
        """Close the connections; the last writer to close moves the log into the main file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._writer is not None:
            writer, self._writer = self._writer, None
            _close_writer(writer, self._lock, self._wait)

    def append(self, records: Iterable[Record]) -> Appended:
        """Keep *records* that are not known yet; what is counted in the result is durable.

        Any iterable will do: it is taken in batches, each durable on its own. When a later batch fails,
        the earlier ones stay, and appending everything again adds only what is missing.
        """
        new = known = conflicts = 0
        for batch in _batches(records):
            with hold(self._lock, purpose="append to the journal", wait=self._wait):
                inserted, differing = self._insert(batch)
            new += inserted
            known += len(batch) - inserted
            conflicts += differing
        return Appended(new=new, known=known, last=self.last(), conflicts=conflicts)

    def interactions(
        self, *, agent: str = "", after: int = 0, until: int | None = None
    ) -> Iterator[tuple[int, Interaction]]:
        """Yield number and interaction, oldest first, of one *agent* or all, in (*after*, *until*].

        What is appended while iterating is not seen.
        """
        for seq, body in self._events("interaction", agent, after, until):
            yield seq, self._decode(_INTERACTIONS, body)

    def feedback(self, *, after: int = 0, until: int | None = None) -> Iterator[tuple[int, Feedback]]:
        """Yield number and judgement, oldest first, in (*after*, *until*]."""
        for seq, body in self._events("feedback", "", after, until):
            yield seq, self._decode(_FEEDBACK, body)

    def feedback_on(self, target: str) -> list[Feedback]:
        """Return the judgements on the interaction or episode *target*, oldest first."""
        rows = self._query("SELECT body FROM events WHERE target = ? AND kind = 'feedback' ORDER BY seq", (target,))
        return [self._decode(_FEEDBACK, body) for (body,) in rows]

    def find(self, id: str) -> Interaction | None:  # noqa: A002 - the field is called id wherever it appears
        """Return the interaction called *id*, or None."""
        rows = self._query("SELECT body FROM events WHERE id = ? AND kind = 'interaction'", (id,))
        return self._decode(_INTERACTIONS, rows[0][0]) if rows else None

    def has_episode(self, name: str) -> bool:
        """Tell whether an interaction belongs to the episode *name*."""
        return bool(self._query("SELECT 1 FROM events WHERE target = ? AND kind = 'interaction' LIMIT 1", (name,)))

    def known(self, ids: Iterable[str]) -> set[str]:
        """Return those of *ids* that are kept already; a few thousand at a time."""
        asked = msgspec.json.encode(list(ids)).decode()
        rows = self._query("SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))", (asked,))
        return {name for (name,) in rows}

    def last(self) -> int:
        """Return the number of the newest event, 0 when there is none."""
        rows = self._query("SELECT max(seq) FROM events", ())
        return int(rows[0][0] or 0) if rows else 0

    def counts(self) -> dict[str, int]:
        """Return the number of interactions per agent, and of judgements under "feedback"."""
        rows = self._query("SELECT kind, agent, count(*) FROM events GROUP BY kind, agent ORDER BY kind, agent", ())
        counts = {agent: count for kind, agent, count in rows if kind == "interaction"}
        return counts | {"feedback": sum(count for kind, _, count in rows if kind == "feedback")}

    def faults(self) -> list[str]:
        """List what is wrong with the file, page by page and record by record; empty when it is sound."""
        try:
            found = [text for (text,) in self._query("PRAGMA integrity_check", ()) if text != "ok"]
            for _ in self.interactions():
                pass
            for _ in self.feedback():
                pass
        except IntegrityError as error:
            return [error.message]
        return found

    def _insert(self, batch: list[_Row]) -> tuple[int, int]:
        with report_database(self.path):
            writer = self._open_writer()
            with writer:
                before = writer.total_changes
                writer.executemany(_INSERT, batch)
                inserted = writer.total_changes - before
            return inserted, 0 if inserted == len(batch) else _count_conflicts(writer, batch)

    def _events(self, kind: str, agent: str, after: int, until: int | None) -> Iterator[tuple[int, bytes]]:
        end = self.last() if until is None else until
        # '+' keeps SQLite off the index where it would have to sort: without an agent the order is the key's.
        where = "kind = ? AND agent = ?" if agent else "+kind = ?"
        sql = f"SELECT seq, body FROM events WHERE {where} AND seq > ? AND seq <= ? ORDER BY seq LIMIT {_PAGE}"  # noqa: S608 - no value of the user's is in it
        values = (kind, agent) if agent else (kind,)
        while rows := self._query(sql, (*values, after, end)):
            yield from rows
            after = rows[-1][0]

    def _query(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        # A page at a time: a cursor left open would keep the log from being checkpointed.
        with report_database(self.path):
            reader = self._open_reader()
            return [] if reader is None else reader.execute(sql, values).fetchall()

    def _open_reader(self) -> "sqlite3.Connection | None":
        if self._reader is None and self.path.exists():
            self._reader = open_reader(self.path)
        return self._reader

    def _open_writer(self) -> "sqlite3.Connection":
        if self._writer is None:
            with report_disk(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = open_writer(self.path)
                fsync_folder(self.path.parent)
        return self._writer

    def _decode(self, decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
        try:
            return decoder.decode(body)
        except msgspec.DecodeError as error:
            raise IntegrityError(
                f"'{self.path}' holds a record that cannot be read: {error}",
                hint="cortex fsck",
                state="nothing was changed",
            ) from error


def _batches(records: Iterable[Record]) -> Iterator[list[_Row]]:
    batch: list[_Row] = []
    size = 0
    for record in records:
        row = _render_row(record)
        batch.append(row)
        size += len(row[-1])
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _render_row(record: Record) -> _Row:
    if not record.id:
        raise UsageError("a record without an id cannot be kept", state="records of earlier batches are kept")
    body = canonical_json(record)
    if isinstance(record, Interaction):
        return record.id, "interaction", record.agent, record.time, record.episode, body
    return record.id, "feedback", "", record.time, record.target, body


def _count_conflicts(writer: "sqlite3.Connection", batch: list[_Row]) -> int:
    ids = msgspec.json.encode([row[0] for row in batch]).decode()
    kept = dict(writer.execute("SELECT id, body FROM events WHERE id IN (SELECT value FROM json_each(?))", (ids,)))
    return sum(kept[row[0]] != row[-1] and _content(kept[row[0]]) != _content(row[-1]) for row in batch)


def _content(body: bytes) -> dict[str, Any]:
    # Where a record was read is not what it says: overlapping exports tell the same record twice.
    value: dict[str, Any] = msgspec.json.decode(body)
    value.pop("origin", None)
    return value


def _close_writer(writer: "sqlite3.Connection", lock: Path, wait: float) -> None:
    try:
        with hold(lock, purpose="close the journal", wait=wait):
            writer.close()
    except LockedError:
        # Everything acknowledged is durable. The holder has the file open, so this close checkpoints nothing.
        writer.close()

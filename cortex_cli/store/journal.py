"""The one durable journal: every interaction and judgement in the order they were acknowledged.

SQLite in WAL mode, `synchronous=FULL`, one transaction per batch. Writers take a file lock around
every write, checkpoint and close: SQLite before 3.51.3 can corrupt a WAL that two connections reset
at once (https://sqlite.org/wal.html#walresetbug). Readers open read-only and need no lock.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from cortex_cli.domain.errors import IntegrityError, LockedError
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.store.atomic import fsync_folder, report_disk
from cortex_cli.store.clock import Clock, utc_now
from cortex_cli.store.database import open_reader, open_writer, report_database
from cortex_cli.store.erasing import Erased, Tombstone, erase_rows, scrub_file
from cortex_cli.store.locks import hold
from cortex_cli.store.placeholders import read_tags
from cortex_cli.store.rows import Record, Row, batch_rows
from cortex_cli.store.volumes import Volume, count_after, find_aged, read_days
from cortex_cli.store.workspace import keyed_id
from cortex_cli.store.writing import Inserted, insert_rows

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Appended", "Erased", "Journal", "Record", "Tombstone"]

T = TypeVar("T")

_PAGE = 1000
_SHOWN_CONFLICTS = 5
_KEY = "key"  # beside the journal: the workspace key, by which tombstones are recognised

_BY_SEQ = (
    "SELECT seq, body FROM events WHERE seq IN (SELECT value FROM json_each(?)) AND +kind = 'interaction' ORDER BY seq"
)
# The index on targets is partial, and used only where the query says so too; '+' keeps SQLite off the index of
# kinds, which nearly every row has in common.
_BY_TARGET = """
SELECT body FROM events
WHERE target IN (SELECT value FROM json_each(?)) AND target != '' AND +kind = 'feedback' ORDER BY seq
"""
_BY_ID = "SELECT body FROM events WHERE id = :name AND kind = 'interaction'"
_BY_NAME = """
SELECT body FROM events WHERE +kind = 'interaction' AND seq IN (
  SELECT seq FROM events WHERE id = :name UNION SELECT seq FROM aliases WHERE alias = :name
) ORDER BY seq
"""
_VOLUMES = "SELECT agent, sum(rows), sum(bytes) FROM volumes WHERE kind = 'interaction' GROUP BY agent ORDER BY agent"
_IN_EPISODE = "SELECT seq, body FROM events WHERE target = ? AND target != '' AND +kind = 'interaction' ORDER BY seq"
_NEWER = "SELECT 1 FROM events WHERE kind = ? AND agent = ? AND seq > ? LIMIT 1"
_INTERACTIONS = msgspec.json.Decoder(Interaction)
_FEEDBACK = msgspec.json.Decoder(Feedback)
_TOMBSTONES = msgspec.json.Decoder(Tombstone)


class Appended(msgspec.Struct, frozen=True):
    """What an append did: records *new*, records *known* already, the journal's *last* number after it.

    *conflicts* of the known had the id of a kept record and another content; the first one is kept, and
    *conflict_ids* names a few. *forgotten* were erased before and are not taken in again.
    """

    new: int
    known: int
    last: int
    conflicts: int = 0
    forgotten: int = 0
    conflict_ids: tuple[str, ...] = ()


class Journal:
    """The journal at *path*; a context manager. A file that does not exist yet reads as empty.

    *wait* is how long a write waits for another writer, in seconds. Not for use by several threads at
    once. Raises `IntegrityError` for a torn or foreign file, `LockedError`, `CortexError` on a full disk.
    """

    def __init__(self, path: Path, *, wait: float = 30.0, now: Clock = utc_now) -> None:
        self.path = path
        self._wait = wait
        self._now = now
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
        return self.append_rows(batch_rows(records))

    def append_rows(
        self, batches: Iterable[Sequence[Row]], *, told: Callable[[int], None] = lambda _: None
    ) -> Appended:
        """Keep rows that were rendered elsewhere, as `append` does: one durable transaction for each batch.

        *told* hears after each batch how many rows there have been.
        """
        new = known = forgotten = conflicts = 0
        shown: list[str] = []
        for batch in batches:
            done = self._append(batch)
            new, known, forgotten = new + done.new, known + done.known, forgotten + done.forgotten
            conflicts += len(done.conflicts)
            shown += done.conflicts[: _SHOWN_CONFLICTS - len(shown)]
            told(new + known + forgotten)
        return Appended(new, known, self.last(), conflicts, forgotten, tuple(shown))

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

    def bodies(self, *, agent: str = "", after: int = 0, until: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield number and JSON text of the interactions that `interactions` yields, without decoding them."""
        return self._events("interaction", agent, after, until)

    def read_many(self, seqs: Sequence[int]) -> list[Interaction]:
        """Return the interactions with the numbers *seqs*, in that order; raise `IntegrityError` when one is not there."""
        found: dict[int, bytes] = {}
        for start in range(0, len(seqs), _PAGE):
            found.update(self._query(_BY_SEQ, (_as_list(seqs[start : start + _PAGE]),)))
        if missing := [seq for seq in seqs if seq not in found]:
            raise IntegrityError(
                f"'{self.path}' has no interaction number {missing[0]}", hint="cortex fsck", state="nothing was changed"
            )
        return [self._decode(_INTERACTIONS, found[seq]) for seq in seqs]

    def feedback_on(self, target: str) -> list[Feedback]:
        """Return the judgements on the interaction or episode *target*, oldest first.

        *target* is an id, an alias or an episode; what was said of an interaction by any of its names is found.
        """
        names = {target}
        for record in self.called(target):
            names |= {record.id, *record.aliases}
        rows = self._query(_BY_TARGET, (_as_list(names),))
        return [self._decode(_FEEDBACK, body) for (body,) in rows]

    def find(self, id: str) -> Interaction | None:  # noqa: A002 - the field is called id wherever it appears
        """Return the interaction called *id*, or None."""
        rows = self._query("SELECT body FROM events WHERE id = ? AND kind = 'interaction'", (id,))
        return self._decode(_INTERACTIONS, rows[0][0]) if rows else None

    def called(self, name: str) -> list[Interaction]:
        """Return the interactions with the id or alias *name*, oldest first."""
        rows = self._query(_BY_NAME if self._has_tables() else _BY_ID, {"name": name})
        return [self._decode(_INTERACTIONS, body) for (body,) in rows]

    def resolve(self, name: str) -> str:
        """Return the id of the interaction with the id or alias *name*, the newest where there are several, or ''."""
        found = self.called(name)
        return found[-1].id if found else ""

    def has_episode(self, name: str) -> bool:
        """Tell whether an interaction belongs to the episode *name*."""
        sql = "SELECT 1 FROM events WHERE target = ? AND target != '' AND +kind = 'interaction' LIMIT 1"
        return bool(self._query(sql, (name,)))

    def in_episode(self, name: str) -> list[Interaction]:
        """Return the interactions of the episode *name*, oldest first."""
        return [self._decode(_INTERACTIONS, body) for _, body in self._query(_IN_EPISODE, (name,))]

    def has_news(self, agent: str, after: int) -> bool:
        """Tell whether an interaction of *agent*, a judgement or an erasure came after number *after*."""
        kinds = (("interaction", agent), ("feedback", ""), ("tombstone", ""))
        return any(self._query(_NEWER, (kind, name, after)) for kind, name in kinds)

    def known(self, ids: Iterable[str]) -> set[str]:
        """Return those of *ids* that are kept already; a few thousand at a time."""
        rows = self._query("SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))", (_as_list(ids),))
        return {name for (name,) in rows}

    def last(self) -> int:
        """Return the number of the newest event, 0 when there is none."""
        rows = self._query("SELECT max(seq) FROM events", ())
        return int(rows[0][0] or 0) if rows else 0

    def counts(self) -> dict[str, int]:
        """Return the number of interactions per agent, and of judgements under "feedback"."""
        table = "volumes" if self._has_tables() else "(SELECT kind, agent, 1 AS rows FROM events)"
        rows = self._query(f"SELECT kind, agent, sum(rows) FROM {table} GROUP BY kind, agent ORDER BY kind, agent", ())  # noqa: S608 - two fixed tables
        counts = {agent: count for kind, agent, count in rows if kind == "interaction"}
        return counts | {"feedback": sum(count for kind, _, count in rows if kind == "feedback")}

    def volumes(self) -> dict[str, Volume]:
        """Return how many interactions there are of each agent, and the bytes they take."""
        if not self._has_tables():
            return {agent: Volume(count, 0) for agent, count in self.counts().items() if agent != "feedback"}
        rows = self._query(_VOLUMES, ())
        return {agent: Volume(count, size) for agent, count, size in rows}

    def count_after(self, agent: str, after: int) -> int:
        """Return how many interactions of *agent* came after number *after*."""
        if self._has_tables():
            return count_after(self._query, agent, after)
        rows = self._query(
            "SELECT count(*) FROM events WHERE kind = 'interaction' AND agent = ? AND seq > ?", (agent, after)
        )
        return int(rows[0][0]) if rows else 0

    def days(self, agent: str, most: int = 30) -> list[tuple[str, int]]:
        """Return the newest *most* days on which anything arrived, with the interactions of *agent*, oldest first."""
        return read_days(self._query, agent, most) if self._has_tables() else []

    def aged(self, before: str, agent: str = "") -> Iterator[tuple[int, Interaction]]:
        """Yield the interactions of *agent*, or of all, from before *before*, by what they tell or else by arrival.

        For a file of version 1, whose arrivals are not known, only what it tells counts.
        """
        if self._has_tables():
            found = find_aged(self._query, agent, before)
        else:
            found = self._events("interaction", agent, 0, None)
        for seq, body in found:
            record = self._decode(_INTERACTIONS, body)
            if self._has_tables() or "" < record.time < before:
                yield seq, record

    def get_cursor(self, name: str) -> bytes | None:
        """Return the position kept as *name*, or None."""
        rows = self._query("SELECT value FROM cursors WHERE name = ?", (name,)) if self._has_tables() else []
        return bytes(rows[0][0]) if rows else None

    def put_cursor(self, name: str, value: bytes) -> None:
        """Keep the position *value* as *name*, in place of the one before; durable when it returns."""
        self.put_cursors({name: value})

    def put_cursors(self, values: Mapping[str, bytes]) -> None:
        """Keep positions by name, all or none, in place of those before; durable when it returns."""
        sql = "INSERT OR REPLACE INTO cursors (name, value) VALUES (?, ?)"

        def put(writer: "sqlite3.Connection") -> None:
            with writer:
                writer.executemany(sql, values.items())

        self._write("keep a position in the journal", put)

    def read_numbers(self, text: str) -> str:
        """Return *text* with its keyed placeholders as they are kept, such as `<ACCOUNT_3>`; unknown ones stay."""
        with report_database(self.path):
            reader = self._open_reader() if self._has_tables() else None
            return read_tags(reader, [text.encode()])[0].decode() if reader else text

    def tombstone(self, key: bytes, name: str) -> Tombstone | None:
        """Return when and why the interaction, alias or episode *name* was erased, or None when it was not."""
        rows = self._query("SELECT body FROM events WHERE id = ? AND kind = 'tombstone'", (keyed_id(key, name),))
        return self._decode(_TOMBSTONES, rows[0][0]) if rows else None

    def erase(self, ids: Sequence[str], *, reason: str, time: str, key: bytes, names: Sequence[str] = ()) -> Erased:
        """Remove the interactions *ids*, the feedback on them and on *names*, so that no byte of them is in the file.

        A tombstone of each stays: appending it again is refused, and so is what carries one of *names*. After a
        kill the same call again completes. Nothing is written to a journal that does not exist.
        """
        if not self.path.exists():
            return Erased()

        def erase(writer: "sqlite3.Connection") -> Erased:
            done = erase_rows(writer, ids, names, Tombstone(time, reason), key)
            scrub_file(writer)
            return done

        return self._write("erase from the journal", erase)

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

    def _append(self, batch: Sequence[Row]) -> Inserted:
        key, now = self.path.parent / _KEY, self._now()
        return self._write("append to the journal", lambda writer: insert_rows(writer, batch, key, now))

    def _write(self, purpose: str, work: Callable[["sqlite3.Connection"], T]) -> T:
        with hold(self._lock, purpose=purpose, wait=self._wait), report_database(self.path):
            return work(self._open_writer())

    def _has_tables(self) -> bool:
        # Asked each time: another process may migrate the file while this one reads.
        return self._query("PRAGMA user_version", ()) not in ([], [(1,)])

    def _events(self, kind: str, agent: str, after: int, until: int | None) -> Iterator[tuple[int, bytes]]:
        end = self.last() if until is None else until
        # '+' keeps SQLite off the index where it would have to sort: without an agent the order is the key's.
        where = "kind = ? AND agent = ?" if agent else "+kind = ?"
        sql = f"SELECT seq, body FROM events WHERE {where} AND seq > ? AND seq <= ? ORDER BY seq LIMIT {_PAGE}"  # noqa: S608 - no value of the user's is in it
        values = (kind, agent) if agent else (kind,)
        while rows := self._query(sql, (*values, after, end)):
            yield from rows
            after = rows[-1][0]

    def _query(self, sql: str, values: tuple[Any, ...] | dict[str, Any]) -> list[Any]:
        if self._reader is None and not self.path.exists():  # asked before SQLite is loaded, which takes 6 ms
            return []
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


def _as_list(values: Iterable[str] | Iterable[int]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _close_writer(writer: "sqlite3.Connection", lock: Path, wait: float) -> None:
    try:
        with hold(lock, purpose="close the journal", wait=wait):
            writer.close()
    except LockedError:
        # Everything acknowledged is durable. The holder has the file open, so this close checkpoints nothing.
        writer.close()

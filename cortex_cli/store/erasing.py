"""Rows out of the journal for good: neither they nor what was said about them can be read back from the file.

What stays of each is a tombstone: its keyed name, by which it is refused when a log tells it again.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import LockedError
from cortex_cli.store.placeholders import drop_unused, find_placeholders
from cortex_cli.store.schema import BUCKET_BITS
from cortex_cli.store.volumes import recount
from cortex_cli.store.workspace import keyed_id

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Erased", "Tombstone", "erase_rows", "scrub_file"]

_BATCH = 1000
_FIND = "SELECT seq, id, kind, agent, target, body FROM events WHERE {} IN (SELECT value FROM json_each(?)) AND "
_BY_ID = _FIND.format("id") + "+kind IN ('interaction', 'feedback')"
# The index on targets is partial, and used only where the query says so too.
_BY_TARGET = _FIND.format("target") + "+kind = 'feedback' AND target != ''"
_TOMB = """
INSERT INTO events (id, kind, agent, time, target, body) VALUES (?, 'tombstone', '', ?, '', ?)
ON CONFLICT (id) DO NOTHING
"""


class Erased(msgspec.Struct, frozen=True):
    """What an erasure removed: rows by kind, and the placeholders that no remaining record has."""

    interactions: int = 0
    feedback: int = 0
    placeholders: int = 0


class Tombstone(msgspec.Struct, frozen=True):
    """What is kept of something erased: when and why."""

    time: str
    reason: str = ""


class _Found(NamedTuple):
    seq: int
    id: str
    kind: str
    agent: str
    target: str
    body: bytes

    def aliases(self) -> list[str]:
        """Return what producers called it."""
        return msgspec.json.decode(self.body, type=_Aliases).aliases


class _Aliases(msgspec.Struct):
    aliases: list[str] = []


def erase_rows(
    connection: "sqlite3.Connection", ids: Sequence[str], names: Sequence[str], mark: Tombstone, key: bytes
) -> Erased:
    """Delete the rows *ids*, the feedback on them, on their aliases and on *names*; leave a tombstone of each.

    *names* are refused from now on too. In transactions of a thousand ids: after a kill, the same call again
    completes. The bytes are still in the file until `scrub_file`.
    """
    connection.execute("PRAGMA secure_delete = ON")
    counts = {"interaction": 0, "feedback": 0}
    used: set[str] = set()
    for chunk in _chunks([*ids, *names]):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = _find_rows(connection, chunk)
            used |= find_placeholders(row.body for row in rows)
            gone = _delete(connection, rows)
            _bury(connection, {*chunk, *gone}, mark, key)
        for row in rows:
            counts[row.kind] += 1
    dropped = _drop_placeholders(connection, used)
    return Erased(counts["interaction"], counts["feedback"], dropped)


def scrub_file(connection: "sqlite3.Connection") -> None:
    """Rewrite the file without its free space, and empty the log: what was deleted is in neither.

    Deleting overwrites a row, but pages that were split before keep copies of keys that moved out of them.
    Raises `LockedError` while somebody reads without an end.
    """
    connection.execute("VACUUM")
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise LockedError(
            "the journal is being read, so its log could not be emptied",
            hint="cortex forget --resume",
            state="the rows are deleted; their bytes may still be in the log of the journal",
        )


def _chunks(names: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(dict.fromkeys(names))
    while chunk := list(islice(rest, _BATCH)):
        yield chunk


def _find_rows(connection: "sqlite3.Connection", ids: list[str]) -> list[_Found]:
    rows = _select(connection, _BY_ID, ids)
    targets = {*ids, *(alias for row in rows if row.kind == "interaction" for alias in row.aliases())}
    targets |= _emptied(connection, rows)
    told = _select(connection, _BY_TARGET, targets)
    return list({row.seq: row for row in (*rows, *told)}.values())


def _select(connection: "sqlite3.Connection", sql: str, names: Iterable[str]) -> list[_Found]:
    asked = msgspec.json.encode(list(names)).decode()
    return [_Found(*row) for row in connection.execute(sql, (asked,))]


def _emptied(connection: "sqlite3.Connection", rows: list[_Found]) -> set[str]:
    """Return the episodes of which nothing is left without *rows*: what was said of them says nothing more."""
    gone = {row.seq for row in rows}
    sql = "SELECT seq FROM events WHERE target = ? AND target != '' AND +kind = 'interaction'"
    episodes = {row.target for row in rows if row.kind == "interaction" and row.target}
    return {name for name in episodes if all(seq in gone for (seq,) in connection.execute(sql, (name,)))}


def _delete(connection: "sqlite3.Connection", rows: list[_Found]) -> list[str]:
    """Delete *rows* and return their ids, and the aliases that nothing else has."""
    connection.executemany("DELETE FROM events WHERE seq = ?", [(row.seq,) for row in rows])
    pairs = [(alias, row.seq) for row in rows if row.kind == "interaction" for alias in row.aliases()]
    connection.executemany("DELETE FROM aliases WHERE alias = ? AND seq = ?", pairs)
    recount(connection, ((row.kind, row.agent, row.seq >> BUCKET_BITS) for row in rows))
    asked = msgspec.json.encode([alias for alias, _ in pairs]).decode()
    shared = connection.execute("SELECT alias FROM aliases WHERE alias IN (SELECT value FROM json_each(?))", (asked,))
    return [*(row.id for row in rows), *({alias for alias, _ in pairs} - {alias for (alias,) in shared})]


def _bury(connection: "sqlite3.Connection", names: Iterable[str], mark: Tombstone, key: bytes) -> None:
    body = canonical_json(mark)
    rows = sorted((keyed_id(key, name), mark.time, body) for name in names)
    connection.executemany(_TOMB, rows)


def _drop_placeholders(connection: "sqlite3.Connection", used: set[str]) -> int:
    """Forget the placeholders of *used* that no row has any more; reads every row when there are any."""
    if used:
        for (body,) in connection.execute("SELECT body FROM events WHERE kind != 'tombstone'"):
            used -= find_placeholders([body])
            if not used:
                break
    with connection:
        return drop_unused(connection, used)

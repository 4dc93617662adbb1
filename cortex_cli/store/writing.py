"""One batch of rows into the journal: what is new, what is known, what was forgotten and stays so."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cortex_cli.store.clock import rfc3339
from cortex_cli.store.placeholders import number_tags, read_tags
from cortex_cli.store.rows import Row
from cortex_cli.store.volumes import count_rows, note_arrival
from cortex_cli.store.workspace import keyed_id

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Inserted", "insert_rows"]

_INSERT = "INSERT INTO events (seq, id, kind, agent, time, target, body) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Inserted(NamedTuple):
    """What became of a batch: rows that were *new*, *known* or *forgotten*; *conflicts* are of the known."""

    new: int
    known: int
    forgotten: int
    conflicts: tuple[str, ...]


def insert_rows(connection: "sqlite3.Connection", batch: Sequence[Row], key: Path, now: datetime) -> Inserted:
    """Insert what is new of *batch* in one transaction; the caller holds the journal's lock.

    What has the keyed name of a tombstone, in its id, its target or an alias, is left out; *key* is the file of
    the workspace key.
    """
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        kept = _find_ids(connection, [row.id for row in batch])
        fresh: dict[str, Row] = {}
        again: list[Row] = []
        for row in batch:
            if row.id in kept or row.id in fresh:
                again.append(row)
            else:
                fresh[row.id] = row
        gone = _find_forgotten(connection, list(fresh.values()), key)
        rows = [row for name, row in fresh.items() if name not in gone] if gone else list(fresh.values())
        _insert(connection, rows, now)
        repeated = [row for row in again if row.id not in gone]
        conflicts = _find_conflicts(connection, repeated) if repeated else []
    return Inserted(len(rows), len(repeated), len(batch) - len(rows) - len(repeated), tuple(conflicts))


def _find_ids(connection: "sqlite3.Connection", ids: list[str]) -> set[str]:
    asked = msgspec.json.encode(ids).decode()
    rows = connection.execute("SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))", (asked,))
    return {name for (name,) in rows}


def _find_forgotten(connection: "sqlite3.Connection", rows: list[Row], path: Path) -> set[str]:
    has_any = "SELECT 1 FROM events WHERE kind = 'tombstone' LIMIT 1"
    # Without the key no name can be told from another any more, so nothing can be recognised either.
    if connection.execute(has_any).fetchone() is None or not path.exists():
        return set()
    key = path.read_bytes()
    names = [[keyed_id(key, name) for name in (row.id, row.target, *row.aliases) if name] for row in rows]
    found = _find_ids(connection, [name for each in names for name in each])
    return {row.id for row, each in zip(rows, names, strict=True) if not found.isdisjoint(each)}


def _insert(connection: "sqlite3.Connection", rows: list[Row], now: datetime) -> None:
    if not rows:
        return
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    first = (found[0] if found else 0) + 1
    bodies = number_tags(connection, [row.body for row in rows])
    connection.executemany(
        _INSERT,
        [
            (seq, row.id, row.kind, row.agent, row.time, row.target, body)
            for seq, (row, body) in enumerate(zip(rows, bodies, strict=True), first)
        ],
    )
    # Sorted, as neighbours in the index are then written together.
    aliases = sorted({(alias, seq) for seq, row in enumerate(rows, first) for alias in row.aliases})
    connection.executemany("INSERT INTO aliases (alias, seq) VALUES (?, ?)", aliases)
    count_rows(connection, rows, bodies, first, rfc3339(now))
    note_arrival(connection, first, rfc3339(now))


def _find_conflicts(connection: "sqlite3.Connection", rows: list[Row]) -> list[str]:
    asked = msgspec.json.encode([row.id for row in rows]).decode()
    sql = "SELECT id, body FROM events WHERE id IN (SELECT value FROM json_each(?))"
    kept = dict(connection.execute(sql, (asked,)))
    bodies = read_tags(connection, [row.body for row in rows])
    return [
        row.id for row, body in zip(rows, bodies, strict=True) if kept[row.id] != body and _differs(kept[row.id], body)
    ]


def _differs(kept: bytes, told: bytes) -> bool:
    one, two = _content(kept), _content(told)
    # Masked by other rules, the same text reads differently; that the ids agree says that it was the same.
    return one.pop("redaction", "") == two.pop("redaction", "") and one != two


def _content(body: bytes) -> dict[str, Any]:
    # Where a record was read is not what it says: overlapping exports tell the same record twice.
    value: dict[str, Any] = msgspec.json.decode(body)
    value.pop("origin", None)
    return value

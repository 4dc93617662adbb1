"""A journal as the first version of the schema kept it."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from cortex_cli.store.rows import Record, render_row

SCHEMA = """
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, agent TEXT NOT NULL,
  time TEXT NOT NULL, target TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX events_by_agent ON events (kind, agent);
CREATE INDEX events_by_target ON events (target) WHERE target != '';
PRAGMA application_id = 1129469016;
PRAGMA user_version = 1;
"""


def write_version_one(path: Path, records: Iterable[Record]) -> None:
    """Write *records* to a new file of version 1 at *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SCHEMA)
    insert = "INSERT INTO events (id, kind, agent, time, target, body) VALUES (?, ?, ?, ?, ?, ?)"
    connection.executemany(insert, [render_row(record)[:6] for record in records])
    connection.commit()
    connection.close()

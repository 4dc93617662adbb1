"""The tables of the journal, and how a file of an earlier version gets those it lacks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

__all__ = ["APPLICATION", "BUCKET_BITS", "VERSION", "create_tables", "migrate_tables"]

APPLICATION = 0x43525458  # "CRTX": a SQLite file of another program is refused, not migrated
VERSION = 2

# Rows are counted by 4,096 numbers: a million rows are 245 counters, and what lies between is read from an index.
BUCKET_BITS = 12

_EVENTS = """
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  agent TEXT NOT NULL,
  time TEXT NOT NULL,
  target TEXT NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX events_by_agent ON events (kind, agent);
CREATE INDEX events_by_target ON events (target) WHERE target != '';
"""
# aliases: what producers call an interaction. placeholders: the number of each masked value; kinds: the last
# number given, so that none is ever given twice. volumes: rows, bytes and oldest time by bucket of numbers. arrivals: the
# moment from which on rows of that number and above came, at most one an hour.
_ADDED_IN_2 = """
CREATE TABLE aliases (alias TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (alias, seq)) WITHOUT ROWID;
CREATE TABLE placeholders (tag TEXT PRIMARY KEY, kind TEXT NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE kinds (kind TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cursors (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE volumes (
  kind TEXT NOT NULL, agent TEXT NOT NULL, bucket INTEGER NOT NULL,
  rows INTEGER NOT NULL, bytes INTEGER NOT NULL, oldest TEXT NOT NULL,
  PRIMARY KEY (kind, agent, bucket)
) WITHOUT ROWID;
CREATE TABLE arrivals (seq INTEGER PRIMARY KEY, time TEXT NOT NULL);
"""
_COUNT_ALL = f"""
INSERT INTO volumes
SELECT kind, agent, seq >> {BUCKET_BITS}, count(*), sum(length(body)), min(CASE time WHEN '' THEN '{{now}}' ELSE time END)
FROM events GROUP BY 1, 2, 3;
"""  # noqa: S608 - no value of the user's is in it


def create_tables(connection: "sqlite3.Connection") -> None:
    """Make the tables in an empty file, all or none."""
    marks = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {_EVENTS} {_ADDED_IN_2} {marks} COMMIT;")


def migrate_tables(connection: "sqlite3.Connection", now: str) -> None:
    """Add what version 2 has to a file of version 1, all or nothing; no row is changed.

    When its rows came is not known: they count as having come *now*, so that none expires too early.
    """
    arrived = f"INSERT INTO arrivals SELECT 1, '{now}' WHERE EXISTS (SELECT 1 FROM events);"  # noqa: S608 - a moment we rendered
    marks = f"PRAGMA user_version = {VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {_ADDED_IN_2} {_COUNT_ALL.format(now=now)} {arrived} {marks} COMMIT;")

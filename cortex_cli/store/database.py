"""Connections to the journal's SQLite file: its version, its pragmas, and its failures in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cortex_cli.domain.errors import CortexError, IntegrityError, LockedError
from cortex_cli.store.clock import rfc3339, utc_now
from cortex_cli.store.schema import APPLICATION, VERSION, create_tables, migrate_tables

if TYPE_CHECKING:
    import sqlite3

__all__ = ["open_reader", "open_writer", "report_database"]

_OLDEST = 1  # files of this version are read as they are, and migrated by the first write
# Primary result codes of https://sqlite.org/rescode.html, as numbers because sqlite3 is imported late.
_DAMAGED = {11, 26}  # SQLITE_CORRUPT, SQLITE_NOTADB
_BUSY = {5, 6}  # SQLITE_BUSY, SQLITE_LOCKED


def open_writer(path: Path) -> "sqlite3.Connection":
    """Open *path* for writing, making or migrating it where needed; the caller holds the journal's lock.

    Durable commits: WAL and `synchronous=FULL`. No mmap: it was part of the damage seen with the WAL-reset bug.
    """
    import sqlite3

    connection = sqlite3.connect(path, isolation_level="DEFERRED", timeout=10.0)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA mmap_size = 0")
        # 16 MB of log between checkpoints: bulk imports spend less time moving pages.
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        if _is_new(connection):
            connection.execute("PRAGMA journal_mode = WAL")
            create_tables(connection)
        if _check_schema(connection, path) == _OLDEST:
            migrate_tables(connection, rfc3339(utc_now()))
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> "sqlite3.Connection | None":
    """Open *path* read-only: such a connection can neither write nor checkpoint, so it needs no lock.

    None when the first writer was killed, or is not yet done, before there was a table.
    """
    import sqlite3

    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10.0)
    try:
        if _is_new(connection):
            connection.close()
            return None
        _check_schema(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def report_database(path: Path) -> Iterator[None]:
    """Turn a `sqlite3.Error` at *path* into the error that says what to do about it."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in _DAMAGED:
            raise _damaged(path, str(error)) from error
        if primary in _BUSY:
            raise LockedError(
                f"'{path}' is in use by another process: {error}", state="nothing was changed", hint="cortex doctor"
            ) from error
        raise CortexError(
            f"'{path}' cannot be used: {error}",
            hint=f"df -h '{path.parent}' && ls -l '{path.parent}'",
            state="what was acknowledged before is kept; this write was not made",
        ) from error


def _is_new(connection: "sqlite3.Connection") -> bool:
    return connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchone() is None


def _check_schema(connection: "sqlite3.Connection", path: Path) -> int:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if application != APPLICATION:
        raise _damaged(path, "it is a SQLite file of another program")
    if version not in range(_OLDEST, VERSION + 1):
        raise _damaged(path, f"schema version {version}, this Cortex reads {_OLDEST} to {VERSION}")
    return version


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"'{path}' is not a sound journal: {why}",
        hint="cortex fsck",
        state="nothing was changed; keep the file and its -wal beside it, as both may hold records",
    )

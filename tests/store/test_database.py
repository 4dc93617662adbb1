import os
import sqlite3
from pathlib import Path

import pytest

from cortex_cli.domain.errors import CortexError, IntegrityError, LockedError
from cortex_cli.store.database import open_reader, open_writer, report_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def test_a_new_file_gets_the_schema_once(path: Path) -> None:
    for _ in range(2):
        writer = open_writer(path)
        tables = writer.execute("SELECT count(*) FROM sqlite_master WHERE name = 'events'").fetchone()
        writer.close()
        assert tables == (1,)


def test_numbers_are_never_used_twice_even_after_a_deletion(path: Path) -> None:
    writer = open_writer(path)
    insert = "INSERT INTO events (id, kind, agent, time, target, body) VALUES (?, '', '', '', '', '') RETURNING seq"
    with writer:
        first = writer.execute(insert, ("a",)).fetchone()
        writer.execute("DELETE FROM events")
        second = writer.execute(insert, ("b",)).fetchone()
    writer.close()
    assert (first, second) == ((1,), (2,))


def test_a_file_whose_first_writer_was_killed_reads_as_empty(path: Path) -> None:
    path.write_bytes(b"")
    assert open_reader(path) is None
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert open_reader(path) is None
    open_writer(path).close()
    reader = open_reader(path)
    assert reader is not None
    reader.close()


def test_a_path_with_signs_of_an_address_is_only_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=rwc#b%20c.db"
    open_writer(path).close()
    reader = open_reader(path)
    assert reader is not None
    reader.close()
    assert all(entry.name.startswith(path.name) for entry in tmp_path.iterdir())


def test_a_reader_never_makes_a_file(path: Path) -> None:
    with pytest.raises(CortexError, match="cannot be used"), report_database(path):
        open_reader(path)
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_reported_with_a_next_step(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        path = tmp_path / "file" / "journal.db"
        path.parent.write_text("no folder")
    else:
        path = tmp_path / "closed" / "journal.db"
        path.parent.mkdir(mode=0o500)
    with pytest.raises(CortexError) as caught, report_database(path):
        open_writer(path)
    assert "ls -l" in caught.value.hint


def test_a_busy_file_is_a_lock_not_a_damage(path: Path) -> None:
    open_writer(path).close()
    one, two = sqlite3.connect(path), sqlite3.connect(path, timeout=0)
    one.execute("BEGIN IMMEDIATE")
    with pytest.raises(LockedError, match="in use"), report_database(path):
        two.execute("BEGIN IMMEDIATE")
    one.close()
    two.close()


def test_damage_keeps_the_log_beside_the_file_in_mind(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    with pytest.raises(IntegrityError) as caught, report_database(path):
        open_writer(path)
    assert "-wal" in caught.value.state

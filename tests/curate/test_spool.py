from pathlib import Path

import pytest

from cortex_cli.curate.spool import Spool
from cortex_cli.domain.errors import CortexError, IntegrityError


def test_what_was_added_is_read_back_from_where_it_was_put(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        places = [(spool.add(data), data) for data in (b"one", b"", b"three" * 100_000, "größe".encode())]
        for start, data in reversed(places):
            assert spool.read(start, len(data)) == data


def test_nothing_of_it_can_be_seen_on_disk_also_while_it_is_open(tmp_path: Path) -> None:
    with Spool(tmp_path / "objects" / "tmp") as spool:
        spool.add(b"text of a user")
        assert list((tmp_path / "objects" / "tmp").iterdir()) == []


def test_reading_past_its_end_is_an_integrity_failure(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.add(b"abc")
        with pytest.raises(IntegrityError, match="gave 2 of 9 bytes back"):
            spool.read(1, 9)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CortexError, match="file"):
        Spool(tmp_path / "file" / "tmp")

import os
import resource
import stat
from pathlib import Path

import pytest

from cortex_cli.domain.errors import CortexError
from cortex_cli.store.atomic import fsync_folder, replacing, report_disk, temporary_name, write_atomic


def test_the_content_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.toml"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.toml"]


def test_an_empty_file_can_be_written(tmp_path: Path) -> None:
    write_atomic(tmp_path / "empty", b"")
    assert (tmp_path / "empty").read_bytes() == b""


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444])
def test_the_mode_is_exact_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "file", b"x", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_missing_folder_is_an_error_with_the_path_and_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(CortexError) as caught:
        write_atomic(tmp_path / "no" / "file", b"x")
    assert str(tmp_path / "no" / "file") in caught.value.message
    assert caught.value.hint.startswith("df -h")


def test_a_folder_in_the_way_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(CortexError):
        write_atomic(tmp_path / "file", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "state.toml"
    write_atomic(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CortexError, match="cannot be written"):
            write_atomic(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.toml"]


def test_temporary_names_differ_and_stay_beside_their_file() -> None:
    names = {temporary_name("a.toml") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith(".a.toml.") and name.endswith(".tmp") for name in names)


def test_syncing_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CortexError, match="No such file"), report_disk(tmp_path):
        fsync_folder(tmp_path / "missing")


def test_other_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), report_disk(tmp_path):
        raise ValueError("mine")


def test_a_block_that_ends_well_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_bytes(b"old")
    with replacing(path, mode=0o600) as target, target.open("wb") as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def write_half(path: Path) -> None:
    with replacing(path) as target:
        target.write_bytes(b"half")
        raise ZeroDivisionError


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_in_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CortexError, match="cannot be written"), replacing(tmp_path / "no" / "file") as target:
        target.write_bytes(b"x")

import os
import shutil
from pathlib import Path

import pytest

from cortex_cli.collect.sources import Source, expand_sources, open_source, stamp_source
from cortex_cli.domain.digests import digest_bytes
from cortex_cli.domain.errors import UsageError


def names(*given: object) -> list[str]:
    return [source.name for source in expand_sources([str(name) for name in given])]


def write(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}\n")


def test_a_source_has_its_own_name_and_the_digest_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"one\n")
    assert open_source(tmp_path / "a.jsonl") == Source("a.jsonl", tmp_path / "a.jsonl", digest_bytes(b"one\n"))


def test_the_digest_is_that_of_the_bytes_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntwo\nthree\n")
    assert stamp_source(Source("a.jsonl", path, start=4, end=8)).digest == digest_bytes(b"two\n")
    assert stamp_source(Source("a.jsonl", path, end=4)).digest == digest_bytes(b"one\n")


def test_what_is_no_regular_file_has_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in (Source("stdin", None), Source("pipe", tmp_path / "pipe"), Source("gone", tmp_path / "gone")):
        assert stamp_source(source) == source


def test_a_folder_stands_for_the_logs_below_it_sorted(tmp_path: Path) -> None:
    write(tmp_path, "b/z.jsonl", "b/a.jsonl.gz", "c.json", "notes.txt", "a.ndjson")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert names(tmp_path) == ["a.ndjson", "a.jsonl.gz", "z.jsonl", "c.json"]


@pytest.mark.parametrize(
    "name",
    [
        "a.jsonl",
        "a.ndjson",
        "a.json",
        "a.JSONL",
        "a.jsonl.zst",
        "a.json.gz",
        "logs.db",
        "traces.sqlite",
        "traces.sqlite3",
        "a.jsonl.1",
        "a.jsonl.12.gz",
        "a.jsonl-20260102",
        "a.jsonl.20260102.zst",
    ],
)
def test_a_folder_gives_logs_packed_and_rotated_ones_and_databases(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.log", "a.txt", "logs.db-wal", "a.jsonl.tmp", "a.py", "jsonl", "a.jsonl.gz.part"])
def test_a_folder_gives_nothing_else(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    assert names(tmp_path) == []


def test_our_own_folder_and_that_of_git_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, ".cortex/journal.db", ".git/a.json", ".claude/a.jsonl")
    assert names(tmp_path) == ["a.jsonl"]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    write(tmp_path, "log.txt")
    assert names(tmp_path / "log.txt") == ["log.txt"]


def test_a_pattern_stands_for_what_it_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a.jsonl", "x/b.jsonl", "x/y/c.jsonl", "x/y/c.txt")
    monkeypatch.chdir(tmp_path)
    assert names("**/*.jsonl") == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert names(tmp_path / "x" / "**") == ["b.jsonl", "c.jsonl", "c.txt"]
    assert names("[ab].jsonl") == ["a.jsonl"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    write(tmp_path, "a[1].jsonl", "a1.jsonl")
    assert names(tmp_path / "a[1].jsonl") == ["a[1].jsonl"]


def test_a_pattern_that_matches_nothing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="matches nothing"):
        names(tmp_path / "*.jsonl")


def test_a_file_that_is_meant_twice_is_there_once(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    assert names(tmp_path / "a.jsonl", tmp_path, tmp_path / "b.jsonl", "-", "-") == ["a.jsonl", "stdin"]


def test_a_missing_source_is_a_usage_error_before_anything_is_read(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl")
    with pytest.raises(UsageError, match="does not exist"):
        names(tmp_path / "a.jsonl", tmp_path / "none.jsonl")


def test_a_dangling_link_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "gone")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "b.jsonl")
    for name in ("a.jsonl", "b.jsonl"):
        with pytest.raises(UsageError, match="does not exist"):
            names(tmp_path / name)
    assert names(tmp_path) == []


def test_what_is_no_file_can_be_named_but_is_not_taken_from_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert names(tmp_path) == []
    assert names(tmp_path / "pipe.jsonl") == ["pipe.jsonl"]


def test_a_source_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        open_source(tmp_path / "a.jsonl")


def test_a_folder_that_goes_away_meanwhile_gives_what_is_left(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", "x/b.jsonl")
    found = expand_sources([str(tmp_path)])
    shutil.rmtree(tmp_path / "x")
    assert [stamp_source(source).digest != "" for source in found] == [True, False]

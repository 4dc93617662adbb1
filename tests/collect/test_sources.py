import gzip
import io
import os
from pathlib import Path

import pytest

from cortex_cli.collect import sources
from cortex_cli.collect.sources import Source, expand_sources, open_source, read_lines
from cortex_cli.domain.digests import digest_bytes
from cortex_cli.domain.errors import UsageError


def lines_of(path: Path) -> list[tuple[int, bytes, str]]:
    return [(line.number, line.data, line.fault) for line in read_lines(open_source(path))]


def test_lines_are_numbered_from_one_and_blank_ones_skipped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\n\n  \nfour")
    assert lines_of(tmp_path / "a") == [(1, b"one\n", ""), (4, b"four", "")]


def test_gzip_is_recognised_from_its_content_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(b"one\ntwo\n"))
    (tmp_path / "b.gz").write_bytes(b"plain\n")
    assert [data for _, data, _ in lines_of(tmp_path / "a.jsonl")] == [b"one\n", b"two\n"]
    assert [data for _, data, _ in lines_of(tmp_path / "b.gz")] == [b"plain\n"]


def test_two_gzip_members_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert [data for _, data, _ in lines_of(tmp_path / "a")] == [b"one\n", b"two\n"]


def test_a_truncated_gzip_gives_its_lines_and_then_the_fault(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(os.urandom(40).hex().encode() + b"\n" for _ in range(200)))
    (tmp_path / "a").write_bytes(whole[: len(whole) * 3 // 4])
    found = lines_of(tmp_path / "a")
    assert len(found) > 50
    assert found[-1][2] == "damaged_gzip"
    assert not any(fault for _, _, fault in found[:-1])


def test_a_corrupt_gzip_names_the_fault(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(b"one\ntwo\n" * 100))
    whole[-6] ^= 0xFF
    (tmp_path / "a").write_bytes(whole)
    assert lines_of(tmp_path / "a")[-1][2] == "damaged_gzip"


def test_a_line_longer_than_the_limit_is_refused_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_LINE", 10)
    (tmp_path / "a").write_bytes(b"x" * 35 + b"\nnext\n" + b"y" * 11 + b"\n" + b"z" * 9 + b"\n")
    assert lines_of(tmp_path / "a") == [
        (1, b"", "line_too_long"),
        (2, b"next\n", ""),
        (3, b"", "line_too_long"),
        (4, b"z" * 9 + b"\n", ""),
    ]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert lines_of(tmp_path / "a") == []


def test_a_source_has_its_own_name_and_the_digest_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"one\n")
    assert open_source(tmp_path / "a.jsonl") == Source("a.jsonl", tmp_path / "a.jsonl", digest_bytes(b"one\n"))


def test_a_folder_stands_for_the_logs_below_it_sorted(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("b/z.jsonl", "b/a.jsonl.gz", "c.json", "notes.txt", "a.ndjson"):
        (tmp_path / name).write_bytes(b"{}\n")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    names = [source.name for source in expand_sources([str(tmp_path)])]
    assert names == ["a.ndjson", "a.jsonl.gz", "z.jsonl", "c.json"]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"{}\n")
    assert [source.name for source in expand_sources([str(tmp_path / "log.txt")])] == ["log.txt"]


def test_a_missing_source_is_a_usage_error_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n")
    with pytest.raises(UsageError, match="does not exist"):
        expand_sources([str(tmp_path / "a.jsonl"), str(tmp_path / "none.jsonl")])


def test_a_dangling_link_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="does not exist"):
        expand_sources([str(tmp_path / "a.jsonl")])


def test_standard_input_is_read_plain_or_packed_and_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (b"one\ntwo\n", gzip.compress(b"one\ntwo\n")):
        stdin = io.TextIOWrapper(io.BytesIO(data))
        monkeypatch.setattr("sys.stdin", stdin)
        (source,) = expand_sources(["-"])
        assert [line.data for line in read_lines(source)] == [b"one\n", b"two\n"]
        assert source == Source("stdin", None, "")
        assert not stdin.closed

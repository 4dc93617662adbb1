import gzip
import io
import os
import threading
from pathlib import Path

import pytest

from cortex_cli.collect import lines
from cortex_cli.collect.lines import Lines, read_lines
from cortex_cli.collect.sources import Source, expand_sources, open_source


def lines_of(path: Path) -> list[tuple[int, bytes, str]]:
    return [(line.number, line.data, line.fault) for line in read_lines(open_source(path))]


def test_lines_are_numbered_from_one_and_blank_ones_skipped(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\n\n  \nfour")
    assert lines_of(tmp_path / "a") == [(1, b"one\n", ""), (4, b"four", "")]


def test_a_part_of_a_file_is_read_with_the_numbers_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\ntwo\nthree\nfour\n")
    found = Lines(Source("a", tmp_path / "a", start=4, line=1, end=14))
    assert [(line.number, line.data) for line in found] == [(2, b"two\n"), (3, b"three\n")]
    assert (found.offset, found.number) == (14, 3)


def test_what_is_appended_while_reading_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo\n")
    found = iter(Lines(Source("a", path, end=8)))
    assert next(found).data == b"one\n"
    with path.open("ab") as stream:
        stream.write(b"three\n")
    assert [line.data for line in found] == [b"two\n"]


def test_a_file_that_is_cut_short_while_it_is_read_ends_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 99 + b"\n" + b"y" * 999_999 + b"\n")
    found = iter(Lines(Source("a", path, end=1_000_100)))
    assert len(next(found).data) == 100
    os.truncate(path, 100)
    assert sum(len(line.data) for line in found) < 1_000_000


def test_a_file_that_is_deleted_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\n" * 200_000)
    found = iter(Lines(open_source(path)))
    next(found)
    path.unlink()
    assert sum(1 for _ in found) == 199_999


def test_a_line_longer_than_the_limit_is_refused_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 10)
    data = b"x" * 35 + b"\nnext\n" + b"y" * 11 + b"\n" + b"z" * 9 + b"\n"
    (tmp_path / "a").write_bytes(data)
    assert lines_of(tmp_path / "a") == [
        (1, b"", "line_too_long"),
        (2, b"next\n", ""),
        (3, b"", "line_too_long"),
        (4, b"z" * 9 + b"\n", ""),
    ]
    found = Lines(open_source(tmp_path / "a"))
    assert [line.number for line in found] == [1, 2, 3, 4]
    assert found.offset == len(data)


def test_a_bomb_of_one_line_is_refused_without_being_held(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a", "wb", compresslevel=1) as stream:
        for _ in range(80):
            stream.write(b" " * (1 << 20))
        stream.write(b"\n{}\n")
    assert lines_of(tmp_path / "a") == [(1, b"", "line_too_long"), (2, b"{}\n", "")]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").write_bytes(b"\n \n\t\r\n")
    (tmp_path / "c").write_bytes(gzip.compress(b""))
    assert lines_of(tmp_path / "a") == lines_of(tmp_path / "b") == lines_of(tmp_path / "c") == []


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf{}\n{}\n")
    found = Lines(open_source(tmp_path / "a"))
    assert [line.data for line in found] == [b"{}\n", b"{}\n"]
    assert found.offset == 9


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_other_unicode_is_refused_once_and_not_line_by_line(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a").write_bytes('{"a": 1}\n{"a": 2}\n'.encode(encoding))
    assert lines_of(tmp_path / "a") == [(1, b"", "utf16")]


def test_a_document_is_taken_apart_into_its_values(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b'[\n  {"a": 1},\n  {"b": 2}\n]\n'))
    found = Lines(open_source(tmp_path / "a"))
    assert [(line.number, line.data) for line in found] == [(1, b'{"a": 1}'), (2, b'{"b": 2}')]
    assert found.whole


def test_a_packed_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b"SQLite format 3\0" + bytes(100)))
    (line,) = read_lines(open_source(tmp_path / "a"))
    assert (line.fault, "unpack" in line.detail) == ("packed_database", True)


def test_what_cannot_be_read_is_a_line_that_says_so(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        (line,) = read_lines(Source("a", path))
        assert line.fault == "unreadable"
        assert line.detail


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(gzip.compress(b"one\ntwo\n"),))
    writer.start()
    found = [line.data for line in read_lines(Source("pipe", tmp_path / "pipe"))]
    writer.join()
    assert found == [b"one\n", b"two\n"]


def test_standard_input_is_read_plain_or_packed_and_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (b"one\ntwo\n", gzip.compress(b"one\ntwo\n")):
        stdin = io.TextIOWrapper(io.BytesIO(data))
        monkeypatch.setattr("sys.stdin", stdin)
        (source,) = expand_sources(["-"])
        assert [line.data for line in read_lines(source)] == [b"one\n", b"two\n"]
        assert source == Source("stdin", None)
        assert not stdin.closed

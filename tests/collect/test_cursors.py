import gzip
import json
import os
from pathlib import Path

import msgspec
import pytest

from cortex_cli.collect.cursors import Cursor, Cursors, Look, parse_cursor
from cortex_cli.collect.reading import Reading
from cortex_cli.collect.records import Quarantined
from cortex_cli.collect.reports import Counts, Tally
from cortex_cli.collect.sources import Source

CURSORS = Cursors(b"k" * 32, "standard/2")


def line(number: int) -> str:
    return json.dumps({"task_id": f"t-{number}", "status": "ok", "agent": "shell"}) + "\n"


def read(path: Path, cursor: Cursor | None = None, cursors: Cursors = CURSORS) -> tuple[list[int], Cursor | None]:
    """Read *path* as a collection would: the lines that gave records, and the cursor afterwards."""
    look = cursors.look(Source(path.name, path), cursor)
    if look.source is None:
        return [], cursor
    counts = Counts()
    reading = Reading(look.source)
    records = list(Tally(str).follow("k", reading, counts))
    return [record.origin.line for record in records], cursors.make(reading, look.modified, counts, look.before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text("".join(map(line, range(1, 4))))
    return tmp_path / "a.jsonl"


def append(path: Path, text: str) -> None:
    with path.open("a") as stream:
        stream.write(text)


def later(path: Path) -> None:
    """Give *path* the time that a write some time later would."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000_000))


def test_what_has_not_changed_is_passed_over_with_its_counts(path: Path) -> None:
    lines, cursor = read(path)
    assert lines == [1, 2, 3]
    assert cursor is not None
    look = CURSORS.look(Source("a.jsonl", path), cursor)
    assert look == Look(None, cursor.counts, path.stat().st_mtime_ns)
    assert (cursor.counts.lines, cursor.counts.interactions) == (3, 3)


def test_what_has_grown_is_read_on_and_counted_as_a_whole(path: Path) -> None:
    _, cursor = read(path)
    append(path, line(4) + line(5))
    lines, grown = read(path, cursor)
    assert lines == [4, 5]
    assert grown is not None
    assert (grown.counts.lines, grown.counts.interactions, grown.line) == (5, 5, 5)
    assert grown.offset == grown.size == path.stat().st_size


def test_a_new_time_alone_changes_nothing(path: Path) -> None:
    _, cursor = read(path)
    later(path)
    assert read(path, cursor) == ([], cursor)


def test_a_torn_last_line_is_read_when_it_is_complete_and_counted_once(path: Path) -> None:
    append(path, line(4)[:20])
    lines, torn = read(path)
    assert lines == [1, 2, 3]
    assert torn is not None
    assert (torn.unended, torn.counts.lines, torn.counts.quarantined) == ("torn_line", 4, {"torn_line": 1})
    assert CURSORS.look(Source("a.jsonl", path), torn).source is None
    append(path, line(4)[20:])
    lines, whole = read(path, torn)
    assert lines == [4]
    assert whole is not None
    assert (whole.unended, whole.counts.lines, whole.counts.quarantined) == ("", 4, {})
    assert whole.counts.samples == []


@pytest.mark.parametrize(
    "text", ["".join(map(line, range(7, 19))), "".join(map(line, range(1, 3))), line(1)[:-2] + ', "x": 1}\n' + line(9)]
)
def test_a_file_whose_content_was_replaced_is_read_from_its_start(path: Path, text: str) -> None:
    _, cursor = read(path)
    with path.open("r+") as stream:
        stream.truncate()
        stream.write(text)
    later(path)
    lines, again = read(path, cursor)
    assert lines[0] == 1
    assert again is not None
    assert again.counts.lines == text.count("\n")


def test_a_file_whose_middle_was_rewritten_up_to_where_it_was_read_is_read_from_its_start(path: Path) -> None:
    _, cursor = read(path)
    path.write_text(line(1) + line(2) + line(7) + line(8))
    assert read(path, cursor)[0] == [1, 2, 3, 4]


def test_a_rotated_file_is_known_by_its_new_name_and_the_new_one_is_not(path: Path) -> None:
    _, cursor = read(path)
    name = CURSORS.name(Source("a.jsonl", path))
    rotated = path.rename(path.with_name("a.jsonl.1"))
    path.write_text(line(9))
    assert CURSORS.name(Source("a.jsonl.1", rotated)) == name
    assert read(rotated, cursor) == ([], cursor)
    assert CURSORS.name(Source("a.jsonl", path)) != name


def test_other_options_read_everything_again(path: Path) -> None:
    _, cursor = read(path)
    assert read(path, cursor, Cursors(b"k" * 32, "strict/2"))[0] == [1, 2, 3]


def test_what_is_read_as_a_whole_is_read_again_as_a_whole(tmp_path: Path) -> None:
    for name, data in (
        ("a.json", b"[" + line(1).encode() + b"]"),
        ("a.gz", gzip.compress(line(1).encode(), mtime=0)),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        lines, cursor = read(path)
        assert lines == [1]
        assert read(path, cursor) == ([], cursor)
        path.write_bytes(data.replace(b"[", b"[" + line(2).encode() + b",") if name == "a.json" else data * 2)
        later(path)
        assert read(path, cursor)[0] == [1, 2]


def test_a_reading_ends_where_it_is_told_to(path: Path) -> None:
    size = len(line(1)) * 2
    look = CURSORS.look(Source("a.jsonl", path, end=size), None)
    assert look.source is not None
    assert look.source.end == size
    assert len([item for item in Reading(look.source) if not isinstance(item, Quarantined)]) == 2


def test_what_is_no_regular_file_has_no_cursor(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source in (Source("stdin", None), Source("pipe", tmp_path / "pipe"), Source("gone", tmp_path / "gone")):
        assert CURSORS.name(source) == ""
        assert CURSORS.look(source, None) == Look(source)


def test_no_path_and_no_text_is_in_a_cursor(path: Path) -> None:
    _, cursor = read(path)
    kept = msgspec.json.encode(cursor) + CURSORS.name(Source("a.jsonl", path)).encode()
    assert b"a.jsonl" not in kept
    assert b"t-1" not in kept
    assert cursor is not None
    # As a whole value: a digest may hold a short number by chance.
    assert path.stat().st_ino not in msgspec.structs.astuple(cursor)
    assert str(path.stat().st_ino) not in msgspec.structs.astuple(cursor)
    assert Cursors(b"x" * 32, "").name(Source("a.jsonl", path)) != CURSORS.name(Source("a.jsonl", path))


def test_a_cursor_is_kept_as_bytes_and_one_of_another_version_is_none(path: Path) -> None:
    _, cursor = read(path)
    assert parse_cursor(msgspec.json.encode(cursor)) == cursor
    assert parse_cursor(None) is parse_cursor(b"{}") is parse_cursor(b"\xff") is None

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_cli.collect.cursors import Cursor, Cursors
from cortex_cli.collect.following import Follower
from cortex_cli.collect.reading import Reading
from cortex_cli.collect.reports import Counts, Tally
from cortex_cli.collect.sources import Source

NOW = 1_800_000_000.0


def line(number: int) -> str:
    return json.dumps({"task_id": f"t-{number}", "status": "ok", "agent": "shell"}) + "\n"


def chat(text: str) -> str:
    return json.dumps({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]}) + "\n"


class Scene:
    """A follower, and the cursors of what it gave."""

    def __init__(self, *names: Path, form: str = "") -> None:
        self.follower = Follower(tuple(map(str, names)), form, quiet=6.0, clock=lambda: NOW)
        self.cursors = Cursors(b"k" * 32, "")
        self.kept: dict[str, Cursor] = {}

    def cursor(self, source: Source) -> Cursor | None:
        return self.kept.get(self.cursors.name(source))

    def look(self) -> list[str]:
        """Read what is ready: each record as the name of its source and its task."""
        found: list[str] = []
        for source in self.follower.find_ready(self.cursor):
            look = self.cursors.look(source, self.cursor(source))
            if look.source is None:
                continue
            reading, counts = Reading(look.source, agent="shell"), Counts()
            records = list(Tally(str).follow("k", reading, counts))
            found += [f"{source.name}:{record.origin.line}" for record in records]
            found += [f"{source.name}:{sample.reason}" for sample in counts.samples]
            self.kept[self.cursors.name(source)] = self.cursors.make(reading, look.modified, counts, look.before)
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.follower.close()


def write(path: Path, text: str | bytes, *, age: float = 0.0) -> None:
    """Append *text* to *path*, as if it had been written *age* seconds ago."""
    with path.open("ab") as stream:
        stream.write(text.encode() if isinstance(text, str) else text)
    os.utime(path, (NOW - age, NOW - age + path.stat().st_size / 1e6))


def test_a_log_is_read_as_it_grows_up_to_its_last_whole_line(scene: Scene, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", line(1) + line(2) + line(3)[:9])
    assert scene.look() == ["a.jsonl:1", "a.jsonl:2"]
    assert scene.look() == []
    write(tmp_path / "a.jsonl", line(3)[9:])
    assert scene.look() == ["a.jsonl:3"]
    write(tmp_path / "a.jsonl", "x" * 200_000)
    assert scene.look() == []
    write(tmp_path / "a.jsonl", "\n" + line(5))
    assert scene.look() == ["a.jsonl:5", "a.jsonl:not_json"]


def test_a_file_that_appears_is_found(scene: Scene, tmp_path: Path) -> None:
    assert scene.look() == []
    (tmp_path / "x").mkdir()
    write(tmp_path / "x" / "a.jsonl", line(1))
    assert scene.look() == ["a.jsonl:1"]


def test_a_first_line_that_is_not_complete_is_waited_for(scene: Scene, tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", line(1)[:9])
    assert scene.look() == []
    write(tmp_path / "a.jsonl", line(1)[9:])
    assert scene.look() == ["a.jsonl:1"]


def test_a_rotated_log_is_read_to_its_end_and_the_new_one_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    scene = Scene(path)
    write(path, line(1))
    assert scene.look() == ["a.jsonl:1"]
    write(path, line(2) + line(3).rstrip())
    path.rename(tmp_path / "a.jsonl.1")
    write(path, line(4))
    assert scene.look() == ["a.jsonl:2", "a.jsonl:3", "a.jsonl:1"]
    assert scene.look() == []
    scene.follower.close()


def test_a_rotated_log_is_known_in_the_folder_that_is_followed(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, line(1))
    assert scene.look() == ["a.jsonl:1"]
    write(path, line(2))
    path.rename(tmp_path / "a.jsonl.1")
    write(path, line(3))
    assert sorted(scene.look()) == ["a.jsonl:1", "a.jsonl:2"]
    assert scene.look() == []


def test_what_a_deleted_log_got_last_is_read(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, line(1))
    scene.look()
    write(path, line(2))
    path.unlink()
    assert scene.look() == ["a.jsonl:2"]
    assert scene.look() == []


def test_a_log_that_is_copied_and_cut_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    scene = Scene(path)
    write(path, line(1) + line(2))
    scene.look()
    os.truncate(path, 0)
    write(path, line(3))
    assert scene.look() == ["a.jsonl:1"]
    scene.follower.close()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"[" + line(1).encode() + b"]"),
        ("a.jsonl.gz", gzip.compress(line(1).encode(), mtime=0)),
        ("a.jsonl", chat("joined").encode()),
        ("b.jsonl", b'{"colour": "green"}\n'),
    ],
)
def test_what_is_read_as_a_whole_is_read_when_it_is_quiet(scene: Scene, tmp_path: Path, name: str, data: bytes) -> None:
    write(tmp_path / name, data, age=5.0)
    assert scene.look() == []
    write(tmp_path / name, b"", age=7.0)
    assert len(scene.look()) == 1
    assert scene.look() == []


def test_a_forced_format_decides_how_a_log_is_followed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, form="cortex")
    write(tmp_path / "a.jsonl", '{"unknown": 1}\n')
    assert len(scene.look()) == 1
    scene.follower.close()


def test_what_was_read_by_an_earlier_follower_is_read_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first = Scene(tmp_path)
    write(path, line(1))
    first.look()
    first.follower.close()
    write(path, line(2))
    second = Scene(tmp_path)
    second.kept = first.kept
    assert second.look() == ["a.jsonl:2"]
    second.follower.close()


def count_open() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_only_so_many_files_are_held_open(scene: Scene, tmp_path: Path) -> None:
    for number in range(200):
        write(tmp_path / f"{number}.jsonl", line(number))
    before = count_open()
    assert len(scene.look()) == 200
    scene.look()
    assert count_open() - before <= 128
    scene.follower.close()
    assert count_open() == before


def test_names_that_are_gone_for_a_while_stop_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "none.jsonl", tmp_path / "*.ndjson", tmp_path / "folder")
    assert scene.look() == []
    write(tmp_path / "a.ndjson", line(1))
    assert scene.look() == ["a.ndjson:1"]
    scene.follower.close()

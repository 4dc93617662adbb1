import threading
from pathlib import Path

import pytest

from cortex_cli.domain.errors import CortexError
from cortex_cli.store.spool import Spool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "private" / "spool"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_line_is_on_the_disk_when_append_returns(folder: Path) -> None:
    name = Spool(folder).append(b"one")
    assert (folder / name).read_bytes() == b"one\n"


def test_only_the_owner_may_read_it(folder: Path) -> None:
    name = Spool(folder).append(b"one")
    assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_goes_with_its_last_line(folder: Path) -> None:
    spool = Spool(folder)
    names = [spool.append(line) for line in (b"one", b"two")]
    assert spool.size == 8
    spool.release(names[0])
    assert files(folder) == [names[1]]
    spool.release(names[1])
    assert (files(folder), spool.size) == ([], 0)


def test_what_was_left_is_replayed_in_order_and_released_alike(folder: Path) -> None:
    first = Spool(folder)
    names = [first.append(line) for line in (b"one", b"two")]
    later = Spool(folder)
    assert list(later.replay()) == list(zip(names, (b"one", b"two"), strict=True))
    assert later.append(b"three") > names[1]
    for name in names:
        later.release(name)
    assert len(files(folder)) == 1


def test_a_torn_last_line_was_never_acknowledged(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "000000000001.jsonl").write_bytes(b"whole\ntor")
    (folder / "000000000002.jsonl").write_bytes(b"tor")
    (folder / "notes.txt").write_bytes(b"not ours")
    spool = Spool(folder)
    assert list(spool.replay()) == [("000000000001.jsonl", b"whole")]
    assert files(folder) == ["000000000001.jsonl", "notes.txt"]


def test_lines_of_many_threads_are_all_kept_once_and_share_files(folder: Path) -> None:
    spool = Spool(folder)
    names: dict[bytes, str] = {}
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for turn in range(10):
            line = b"%d-%d" % (number, turn)
            names[line] = spool.append(line)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [(name, line) for name in files(folder) for line in (folder / name).read_bytes().splitlines()]
    assert sorted(kept) == sorted((name, line) for line, name in names.items())
    for name in names.values():
        spool.release(name)
    assert files(folder) == []


def test_what_the_disk_refuses_is_told_to_each_and_leaves_nothing(folder: Path) -> None:
    spool = Spool(folder)
    (folder / "000000000001.jsonl").write_bytes(b"")
    with pytest.raises(CortexError, match="cannot be written"):
        spool.append(b"one")
    assert spool.append(b"two") == "000000000002.jsonl"
    assert spool.size == 4

import os
from pathlib import Path

import pytest

from cortex_cli.domain.errors import CortexError, LockedError
from cortex_cli.store.locks import hold, read_holder


def test_the_holder_is_named_to_the_one_who_waits(tmp_path: Path) -> None:
    path = tmp_path / "registry.lock"
    with hold(path, purpose="promote"), pytest.raises(LockedError) as caught, hold(path, purpose="roll back", wait=0.0):
        pass
    assert f"pid {os.getpid()}, 'promote', since 20" in caught.value.message
    assert "to roll back" in caught.value.message
    assert caught.value.exit_code == 11


def test_a_released_lock_is_free_and_leaves_no_holder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "registry.lock"
    with hold(path, purpose="first"):
        assert "first" in read_holder(path)
    assert read_holder(path) == ""
    with hold(path, purpose="second", wait=0.0):
        assert "second" in read_holder(path)


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with pytest.raises(ValueError, match="inside"), hold(path, purpose="fail"):
        raise ValueError("inside")
    with hold(path, purpose="again", wait=0.0):
        pass


def test_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    child = os.fork()
    if child == 0:
        with hold(path, purpose="die"):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert "die" in read_holder(path)
    with hold(path, purpose="live", wait=5.0):
        assert "live" in read_holder(path)


def test_two_processes_are_never_inside_at_once(tmp_path: Path) -> None:
    path, shared = tmp_path / "lock", tmp_path / "number"
    shared.write_text("0")
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            for _ in range(50):
                with hold(path, purpose="count"):
                    shared.write_text(str(int(shared.read_text()) + 1))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert shared.read_text() == "100"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_torn_holder_file_is_no_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.holder").write_text(text)
    assert read_holder(tmp_path / "lock") == ""


def test_a_place_where_no_lock_can_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CortexError, match="cannot be written"), hold(tmp_path / "file" / "lock", purpose="x"):
        pass

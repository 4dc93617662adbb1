import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import IntegrityError, NoWorkspaceError
from cortex_cli.store.workspace import Workspace, find_workspace, keyed_id, open_key


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "cortex.toml").write_text("")
    return Workspace(tmp_path)


def test_a_workspace_is_found_from_any_folder_below(workspace: Workspace) -> None:
    below = workspace.root / "registry" / "agents"
    below.mkdir(parents=True)
    assert find_workspace(below) == workspace
    assert find_workspace(workspace.root) == workspace


def test_the_nearest_workspace_is_taken(workspace: Workspace) -> None:
    inner = workspace.root / "inner"
    inner.mkdir()
    (inner / "cortex.toml").write_text("")
    assert find_workspace(inner).root == inner


def test_a_relative_start_is_understood(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.root)
    assert find_workspace(Path()) == workspace


def test_no_workspace_says_where_was_looked_and_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(NoWorkspaceError) as caught:
        find_workspace(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint == "cortex init"
    assert caught.value.exit_code == 10


def test_a_folder_called_cortex_toml_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "cortex.toml").mkdir()
    with pytest.raises(NoWorkspaceError):
        find_workspace(tmp_path)


def test_everything_private_lies_under_the_ignored_folder(workspace: Workspace) -> None:
    paths = [workspace.journal_path, workspace.objects_root, workspace.runs_root, workspace.locks_root]
    assert {path.parent for path in [*paths, workspace.key_path]} == {workspace.private}
    assert workspace.private == workspace.root / ".cortex"
    assert workspace.config_path == workspace.root / "cortex.toml"


def test_the_key_is_made_once_and_only_its_owner_reads_it(workspace: Workspace) -> None:
    key = open_key(workspace)
    assert len(key) == 32
    assert open_key(workspace) == key
    assert stat.S_IMODE(workspace.key_path.stat().st_mode) == 0o600
    assert [entry.name for entry in workspace.private.iterdir()] == ["key"]


def test_two_workspaces_have_different_keys(tmp_path: Path) -> None:
    assert open_key(Workspace(tmp_path / "a")) != open_key(Workspace(tmp_path / "b"))


def test_first_users_at_the_same_time_get_one_key(workspace: Workspace) -> None:
    reader, writer = os.pipe()
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            os.write(writer, open_key(workspace))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    keys = os.read(reader, 8 * 32)
    os.close(reader)
    os.close(writer)
    assert len(keys) == 8 * 32
    assert {keys[start : start + 32] for start in range(0, 256, 32)} == {open_key(workspace)}


def test_a_torn_key_is_refused_and_kept(workspace: Workspace) -> None:
    workspace.private.mkdir()
    workspace.key_path.write_bytes(b"short")
    with pytest.raises(IntegrityError, match="5 bytes"):
        open_key(workspace)
    assert workspace.key_path.read_bytes() == b"short"


def test_a_keyed_id_depends_on_key_and_text() -> None:
    assert keyed_id(b"k" * 32, "i-1") == keyed_id(b"k" * 32, "i-1")
    assert keyed_id(b"k" * 32, "i-1") != keyed_id(b"l" * 32, "i-1")
    assert keyed_id(b"k" * 32, "i-1") != keyed_id(b"k" * 32, "i-2")


@given(st.binary(min_size=32, max_size=32), st.text())
def test_a_keyed_id_has_one_form(key: bytes, text: str) -> None:
    found = keyed_id(key, text)
    assert found.startswith("k-")
    assert len(found) == 26
    assert set(found[2:]) <= set("0123456789abcdef")

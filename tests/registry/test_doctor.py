import os
from collections.abc import Callable
from pathlib import Path

from cortex_cli.registry.copies import Pending, write_pending
from cortex_cli.registry.doctor import Row, check_machine, check_workspace
from cortex_cli.registry.git import Git
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.workspace import Workspace, open_key

User = Callable[..., str]


def rows(found: list[Row]) -> dict[str, Row]:
    return {row.check: row for row in found}


def test_this_machine_has_what_cortex_needs() -> None:
    found = rows(check_machine(os.environ))
    assert {name: row.state for name, row in found.items() if name in ("git", "python", "sqlite")} == {
        "git": "ok",
        "python": "ok",
        "sqlite": "ok",
    }
    assert "starter model" in found
    assert "extra train" in found


def test_what_is_wrong_comes_with_advice(tmp_path: Path) -> None:
    for row in check_machine({"PATH": str(tmp_path)}):
        assert row.state == "ok" or row.advice, row


def test_a_machine_without_git_fails(tmp_path: Path) -> None:
    assert rows(check_machine({"PATH": str(tmp_path)}))["git"].state == "fail"


def test_an_old_git_fails_with_what_was_found(tmp_path: Path) -> None:
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\necho git version 2.30.2\n", encoding="utf-8")
    script.chmod(0o755)
    row = rows(check_machine({"PATH": str(tmp_path)}))["git"]
    assert row.state == "fail"
    assert "2.30.2" in row.found
    assert "2.36" in row.advice


def test_a_sound_workspace_is_ok_throughout(root: Path) -> None:
    workspace = Workspace(root)
    open_key(workspace)
    found = check_workspace(workspace)
    assert {row.state for row in found} == {"ok"}
    assert rows(found)["branch"].found == "main"
    assert rows(found)["registry"].found == "2 agents"
    assert rows(found)["key"].found == "mode 0600"


def test_a_key_that_others_can_read_is_warned_of(root: Path) -> None:
    workspace = Workspace(root)
    open_key(workspace)
    workspace.key_path.chmod(0o644)
    row = rows(check_workspace(workspace))["key"]
    assert (row.state, row.found) == ("warn", "mode 0644: others can read it")
    assert row.advice == f"chmod 600 '{workspace.key_path}'"


def test_a_folder_that_is_no_repository_fails(tmp_path: Path) -> None:
    assert rows(check_workspace(Workspace(tmp_path)))["repository"].state == "fail"


def test_a_detached_head_a_lock_and_lagging_copies_are_told(root: Path, user: User) -> None:
    user("checkout", "--quiet", "--detach")
    (root / ".git" / "index.lock").touch()
    git = Git(root)
    write_pending(git, Pending(git.head(), git.head(), {}))
    found = rows(check_workspace(Workspace(root)))
    assert found["branch"].state == "fail"
    assert found["lock file"].advice == "cortex fsck --repair"
    assert found["worktree"].state == "warn"


def test_a_registry_that_cannot_be_read_fails(root: Path) -> None:
    from cortex_cli.registry.repository import Registry

    Registry(Workspace(root)).commit(Trailers("note", "x"), {"registry/agents/broken.toml": b"x ="})
    row = rows(check_workspace(Workspace(root)))["registry"]
    assert row.state == "fail"
    assert "registry/agents/broken.toml" in row.found
    assert row.advice == "cortex fsck"

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.registry.copies import Pending, pending_path, write_pending
from cortex_cli.registry.fsck import check
from cortex_cli.registry.git import Git
from cortex_cli.registry.history import read_log
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.settings import load_settings
from cortex_cli.store.workspace import Workspace, find_workspace

Run = Callable[..., str]


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """Starter content in small: data only, with what must not be copied beside it."""
    root = tmp_path / "starter"
    files = {
        "recipes/dispatch.toml": 'stage = "train"\n',
        "recipes/.keep": "",
        "prompts/dispatch/default.md": "answer\n",
        "registry/models/base.toml": 'name = "base"\nkind = "embedded"\nsource = "starter:base"\n',
        "registry/models/base/model.safetensors": "weights",
        "datasets/texts/rows.jsonl": "{}\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run git in a folder as its user would."""

    def make(root: Path, *args: str) -> str:
        return subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    return make


FILES = (
    ".gitignore",
    "cortex.toml",
    "prompts/dispatch/default.md",
    "recipes/dispatch.toml",
    "registry/models/base.toml",
)


def test_a_new_folder_becomes_a_workspace_by_one_commit(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "new" / "lab"
    started = start_workspace(root, starter=starter)
    assert (started.state, started.root, started.files) == ("created", root, FILES)
    assert run(root, "log", "--format=%H %s") == f"{started.commit} init(lab): workspace"
    assert run(root, "ls-files").split() == list(FILES)
    assert run(root, "status", "--porcelain") == ""
    assert run(root, "branch", "--show-current") == "main"
    assert find_workspace(root / "prompts").root == root


def test_the_weights_of_a_model_stay_in_the_package(tmp_path: Path, starter: Path) -> None:
    root = tmp_path / "lab"
    start_workspace(root, starter=starter)
    assert not (root / "registry" / "models" / "base").exists()
    assert not (root / "datasets").exists()
    assert Registry(Workspace(root)).snapshot().model("base").source == "starter:base"


def test_agents_and_variants_of_the_starter_come_with_it(tmp_path: Path, starter: Path) -> None:
    (starter / "registry" / "agents").mkdir()
    (starter / "registry" / "agents" / "dispatch.toml").write_text('agent = "dispatch"\n', encoding="utf-8")
    root = tmp_path / "lab"
    assert "registry/agents/dispatch.toml" in start_workspace(root, starter=starter).files
    assert [agent.agent for agent in Registry(Workspace(root)).snapshot().agents()] == ["dispatch"]


def test_the_settings_are_those_of_the_workspace(tmp_path: Path, starter: Path) -> None:
    start_workspace(tmp_path / "lab", name='my "own" name', starter=starter)
    assert load_settings(tmp_path / "lab", env={}).name == 'my "own" name'


def test_a_new_workspace_is_sound(tmp_path: Path, starter: Path) -> None:
    root = tmp_path / "lab"
    start_workspace(root, starter=starter)
    registry = Registry(Workspace(root))
    assert check(registry, ObjectStore(registry.workspace.objects_root)) == []
    assert [event.action for event in read_log(registry)] == ["init"]


def test_the_repository_is_set_to_be_durable(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    start_workspace(root, starter=starter)
    settings = {key: run(root, "config", "--local", key) for key in ("core.fsync", "gc.auto", "transfer.fsckObjects")}
    assert settings == {"core.fsync": "committed,reference", "gc.auto": "0", "transfer.fsckObjects": "true"}
    assert run(root, "config", "--local", "core.logAllRefUpdates") == "always"


def test_starting_again_is_nothing_to_do(tmp_path: Path, starter: Path) -> None:
    first = start_workspace(tmp_path / "lab", starter=starter)
    again = start_workspace(tmp_path / "lab", starter=starter)
    assert (again.state, again.commit, again.files) == ("present", first.commit, ())


def test_a_workspace_that_has_moved_on_stays_as_it_is(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    start_workspace(root, starter=starter)
    (root / "prompts" / "dispatch" / "default.md").write_text("mine\n", encoding="utf-8")
    run(root, "rm", "--quiet", "recipes/dispatch.toml")
    before = run(root, "status", "--porcelain")
    assert start_workspace(root, starter=starter).state == "present"
    assert run(root, "status", "--porcelain") == before


def test_an_existing_repository_keeps_its_history_and_its_dirty_files(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    root.mkdir()
    run(root, "init", "--quiet", "--initial-branch=trunk")
    (root / "app.py").write_text("one\n", encoding="utf-8")
    (root / "lib.py").write_text("one\n", encoding="utf-8")
    run(root, "add", ".")
    run(root, "commit", "--quiet", "--message=mine")
    (root / "app.py").write_text("two\n", encoding="utf-8")
    (root / "lib.py").write_text("two\n", encoding="utf-8")
    run(root, "add", "lib.py")
    (root / "notes.txt").write_text("untracked\n", encoding="utf-8")
    before = run(root, "status", "--porcelain")
    start_workspace(root, starter=starter)
    assert run(root, "status", "--porcelain") == before
    assert run(root, "log", "--format=%s").splitlines() == ["init(lab): workspace", "mine"]
    assert run(root, "branch", "--show-current") == "trunk"


def test_a_conflicting_file_is_refused_before_anything_is_written(tmp_path: Path, starter: Path) -> None:
    root = tmp_path / "lab"
    (root / "recipes").mkdir(parents=True)
    (root / "recipes" / "dispatch.toml").write_text("mine\n", encoding="utf-8")
    (root / "cortex.toml").write_text("also mine\n", encoding="utf-8")
    with pytest.raises(ConflictError) as caught:
        start_workspace(root, starter=starter)
    assert "'cortex.toml', 'recipes/dispatch.toml'" in caught.value.message
    assert caught.value.state == "nothing was changed"
    assert sorted(path.name for path in root.rglob("*")) == ["cortex.toml", "dispatch.toml", "recipes"]


def test_a_folder_or_a_link_where_a_file_belongs_is_refused(tmp_path: Path, starter: Path) -> None:
    root = tmp_path / "lab"
    (root / "cortex.toml").mkdir(parents=True)
    with pytest.raises(ConflictError, match=r"cortex\.toml"):
        start_workspace(root, starter=starter)
    (root / "cortex.toml").rmdir()
    (root / "recipes").write_text("a file\n", encoding="utf-8")
    with pytest.raises(ConflictError, match=r"recipes/dispatch\.toml"):
        start_workspace(root, starter=starter)
    (root / "recipes").unlink()
    (root / "cortex.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConflictError, match=r"cortex\.toml"):
        start_workspace(root, starter=starter)


def test_a_file_is_no_folder_to_start_in(tmp_path: Path, starter: Path) -> None:
    (tmp_path / "lab").write_text("a file\n", encoding="utf-8")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        start_workspace(tmp_path / "lab", starter=starter)


def test_files_that_are_equal_already_are_no_conflict(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    (root / "prompts" / "dispatch").mkdir(parents=True)
    (root / "prompts" / "dispatch" / "default.md").write_text("answer\n", encoding="utf-8")
    assert start_workspace(root, starter=starter).state == "created"
    assert run(root, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("", ".cortex/\n"),
        ("*.pyc\n", "*.pyc\n.cortex/\n"),
        ("*.pyc", "*.pyc\n.cortex/\n"),
        (".cortex/\n", ".cortex/\n"),
    ],
)
def test_a_gitignore_is_appended_to(tmp_path: Path, starter: Path, run: Run, found: str, wanted: str) -> None:
    root = tmp_path / "lab"
    root.mkdir()
    if found:
        (root / ".gitignore").write_text(found, encoding="utf-8")
    start_workspace(root, starter=starter)
    assert (root / ".gitignore").read_text(encoding="utf-8") == wanted
    assert run(root, "show", "HEAD:.gitignore") == wanted.strip()
    assert run(root, "status", "--porcelain") == ""


def test_a_committed_gitignore_is_appended_to_by_the_same_commit(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    root.mkdir()
    run(root, "init", "--quiet", "--initial-branch=main")
    (root / ".gitignore").write_text("*.pyc\n", encoding="utf-8")
    run(root, "add", ".")
    run(root, "commit", "--quiet", "--message=mine")
    assert ".gitignore" in start_workspace(root, starter=starter).files
    assert (root / ".gitignore").read_text(encoding="utf-8") == "*.pyc\n.cortex/\n"
    assert run(root, "status", "--porcelain") == ""


def test_a_gitignore_that_the_user_is_editing_is_left_to_the_user(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    root.mkdir()
    run(root, "init", "--quiet", "--initial-branch=main")
    (root / ".gitignore").write_text("*.pyc\n", encoding="utf-8")
    run(root, "add", ".")
    run(root, "commit", "--quiet", "--message=mine")
    (root / ".gitignore").write_text("*.pyc\n*.tmp\n", encoding="utf-8")
    assert ".gitignore" not in start_workspace(root, starter=starter).files
    assert (root / ".gitignore").read_text(encoding="utf-8") == "*.pyc\n*.tmp\n"
    (root / ".cortex").mkdir()
    (root / ".cortex" / "journal.db").touch()
    assert run(root, "status", "--porcelain") == "M .gitignore"


def test_a_start_that_was_killed_is_completed_by_the_next(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    root.mkdir()
    Git.create(root)
    assert start_workspace(root, starter=starter).state == "created"


def test_a_start_killed_before_the_worktree_was_written_is_completed(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    started = start_workspace(root, starter=starter)
    blobs = {path: run(root, "rev-parse", f"HEAD:{path}") for path in started.files}
    run(root, "rm", "--quiet", "-r", "-f", ".")
    write_pending(Git(root), Pending("", started.commit, blobs))
    assert start_workspace(root, starter=starter).state == "present"
    assert (root / "cortex.toml").exists()
    assert run(root, "status", "--porcelain") == ""
    assert not pending_path(Git(root)).exists()


@pytest.mark.parametrize("name", ["a\nb", "x" * 300, "\x1b[31m"])
def test_a_name_that_is_no_printable_line_is_refused(tmp_path: Path, starter: Path, name: str) -> None:
    with pytest.raises(UsageError):
        start_workspace(tmp_path / "lab", name=name, starter=starter)
    assert not (tmp_path / "lab").exists()


def test_an_old_git_starts_nothing(tmp_path: Path, starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "git"
    script.write_text("#!/bin/sh\necho git version 2.11.0\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(UsageError, match=r"found 'git version 2\.11\.0'"):
        start_workspace(tmp_path / "lab", starter=starter)
    assert not (tmp_path / "lab").exists()


def test_two_starts_at_once_make_one_workspace(tmp_path: Path, starter: Path, run: Run) -> None:
    root = tmp_path / "lab"
    code = (
        "import sys; from pathlib import Path; from cortex_cli.registry.start import start_workspace; "
        "print(start_workspace(Path(sys.argv[1]), starter=Path(sys.argv[2])).commit)"
    )
    command = [sys.executable, "-c", code, str(root), str(starter)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {child.communicate()[0].strip() for child in children}
    assert {child.returncode for child in children} == {0}
    assert said == {run(root, "rev-parse", "HEAD")}
    assert run(root, "rev-list", "--count", "HEAD") == "1"
    assert run(root, "status", "--porcelain") == ""


def test_the_starter_of_this_package_makes_a_sound_workspace(tmp_path: Path) -> None:
    root = tmp_path / "lab"
    start_workspace(root)
    registry = Registry(Workspace(root))
    assert check(registry, ObjectStore(registry.workspace.objects_root)) == []
    assert os.listdir(root / "recipes")  # noqa: PTH208  # the shipped recipes are there

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.domain.errors import CortexError, LockedError, NoWorkspaceError, UsageError
from cortex_cli.registry.git import CORTEX, MINIMUM, Git, LostRaceError, find_git, parse_version, require_version

User = Callable[..., str]


def fake_git(folder: Path, says: str) -> str:
    """Put a git on a PATH of its own that says it is another version; return that PATH."""
    folder.mkdir()
    script = folder / "git"
    script.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    script.chmod(0o755)
    return str(folder)


def test_the_binary_is_an_absolute_path() -> None:
    assert Path(find_git(os.environ)).is_absolute()


def test_a_machine_without_git_is_a_usage_error_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not installed") as caught:
        find_git({"PATH": str(tmp_path)})
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("git version 2.39.5", (2, 39, 5)),
        ("git version 2.36", (2, 36, 0)),
        ("git version 2.45.2.windows.1", (2, 45, 2)),
        ("git version 2.39.3 (Apple Git-146)", (2, 39, 3)),
        ("something else", (0, 0, 0)),
    ],
)
def test_versions_are_read_from_what_git_says(text: str, version: tuple[int, int, int]) -> None:
    assert parse_version(text) == version


def test_a_git_older_than_needed_is_named_with_what_was_found(root: Path, tmp_path: Path) -> None:
    git = Git(root, environ={"PATH": fake_git(tmp_path / "bin", "git version 2.25.1")})
    with pytest.raises(UsageError) as caught:
        require_version(git.binary)
    assert "2.36" in caught.value.message
    assert "git version 2.25.1" in caught.value.message
    assert git.binary in caught.value.message
    assert caught.value.exit_code == 2


def test_the_present_git_is_new_enough(root: Path) -> None:
    require_version(Git(root).binary)
    assert MINIMUM == (2, 36, 0)


def test_a_folder_without_a_repository_is_refused_even_below_one(root: Path) -> None:
    inner = root / "prompts"
    with pytest.raises(NoWorkspaceError, match="not a git repository"):
        Git(inner)


def test_the_callers_git_variables_are_not_seen(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Git(root).head()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_AUTHOR_DATE", "nonsense")
    assert Git(root).run("rev-parse", "HEAD").decode().strip() == expected


def test_hooks_of_the_user_do_not_run(root: Path) -> None:
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    witness = root / "hook-ran"
    hook = hooks / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch '{witness}'\n", encoding="utf-8")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    git = Git(root)
    git.run("update-ref", "refs/heads/other", git.head())
    assert not witness.exists()


def test_arguments_never_reach_a_shell(root: Path, tmp_path: Path) -> None:
    witness = tmp_path / "shell-ran"
    with pytest.raises(UsageError, match="names no commit"):
        Git(root).resolve(f"HEAD; touch {witness}")
    assert not witness.exists()


@pytest.mark.parametrize("rev", ["--all", "-h", "--git-dir", "nowhere", "HEAD:cortex.toml", ""])
def test_a_revision_is_never_taken_for_an_option(root: Path, rev: str) -> None:
    with pytest.raises(UsageError):
        Git(root).resolve(rev)


def test_head_is_read_without_a_process_and_equals_what_git_says(root: Path, user: User) -> None:
    assert Git(root).head() == user("rev-parse", "HEAD")


def test_head_is_found_in_packed_refs(root: Path, user: User) -> None:
    expected = user("rev-parse", "HEAD")
    user("pack-refs", "--all", "--prune")
    assert not (root / ".git" / "refs" / "heads" / "main").exists()
    assert Git(root).head() == expected


def test_head_of_a_detached_worktree_is_its_commit_and_no_branch(root: Path, user: User) -> None:
    user("checkout", "--quiet", "--detach")
    assert Git(root).head() == user("rev-parse", "HEAD")
    assert Git(root).branch() == ""


def test_a_branch_without_commits_has_an_empty_head(tmp_path: Path) -> None:
    git = Git.create(tmp_path)
    assert git.head() == ""
    assert git.branch() == "refs/heads/main"


def test_a_linked_worktree_has_its_own_head_and_shares_the_refs(root: Path, tmp_path: Path, user: User) -> None:
    user("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    git = Git(tmp_path / "side")
    assert git.branch() == "refs/heads/side"
    assert git.head() == user("rev-parse", "side")
    assert git.common == (root / ".git").resolve()
    assert git.directory != git.common


def test_creating_over_an_existing_repository_leaves_it_as_it_is(root: Path) -> None:
    before = Git(root).head()
    assert Git.create(root).head() == before


def test_the_author_is_who_the_user_is_to_git(root: Path) -> None:
    assert Git(root).identity() == ("Ada", "ada@example.org")


def test_the_environment_names_the_author_before_the_configuration(root: Path) -> None:
    environ = dict(os.environ) | {"GIT_AUTHOR_NAME": "Grace", "GIT_AUTHOR_EMAIL": "grace@example.org"}
    assert Git(root, environ=environ).identity() == ("Grace", "grace@example.org")


def test_without_any_identity_cortex_signs(root: Path, own_home: Path) -> None:
    (own_home / ".gitconfig").unlink()
    assert Git(root).identity() == CORTEX


def test_a_name_that_git_would_refuse_is_replaced(root: Path) -> None:
    environ = dict(os.environ) | {"GIT_AUTHOR_NAME": "<>", "GIT_AUTHOR_EMAIL": "<>"}
    assert Git(root, environ=environ).identity() == CORTEX


def test_a_lock_file_is_named_with_the_way_out(root: Path) -> None:
    git = Git(root)
    lock = root / ".git" / "refs" / "heads" / "main.lock"
    lock.touch()
    with pytest.raises(LockedError) as caught:
        git.run("update-ref", "refs/heads/main", git.head())
    assert str(lock) in caught.value.message
    assert caught.value.hint == "cortex fsck --repair"
    assert caught.value.exit_code == 11


def test_the_lock_of_the_configuration_is_named_as_well(root: Path) -> None:
    (root / ".git" / "config.lock").touch()
    with pytest.raises(LockedError, match=r"'\.git/config\.lock' blocks git"):
        Git(root).run("config", "--local", "gc.auto", "0")


def test_a_lost_compare_and_swap_is_told_from_a_failure(root: Path) -> None:
    git = Git(root)
    head, parent = git.head(), git.resolve("HEAD~1")
    with pytest.raises(LostRaceError):
        git.run("update-ref", "refs/heads/main", parent, parent)
    assert git.head() == head


def test_creating_a_branch_that_exists_is_a_lost_race(root: Path) -> None:
    git = Git(root)
    with pytest.raises(LostRaceError):
        git.run("update-ref", "refs/heads/main", git.head(), "0" * 40)


def test_another_failure_carries_gits_own_words(root: Path) -> None:
    with pytest.raises(CortexError, match=r"git cat-file failed: .*Not a valid object name nothing"):
        Git(root).run("cat-file", "-p", "nothing")


def test_a_git_ended_by_a_signal_says_which(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "git"
    script.write_text("#!/bin/sh\nkill -25 $$\n", encoding="utf-8")
    script.chmod(0o755)
    with pytest.raises(CortexError, match="ended by SIGXFSZ"):
        Git(root, environ={"PATH": str(folder)}).run("hash-object")


def test_records_come_one_by_one_and_the_process_is_gone_when_the_reader_stops(root: Path) -> None:
    stream = Git(root).records("log", "-z", "--format=%H")
    assert len(next(stream)) == 40
    del stream  # a leaked process or pipe would be a ResourceWarning, and that an error


def test_a_failing_stream_raises_what_went_wrong(root: Path) -> None:
    with pytest.raises(CortexError, match="git log failed: fatal: bad revision 'nowhere'"):
        list(Git(root).records("log", "-z", "nowhere", "--"))


def test_a_repository_of_another_user_is_refused_with_gits_own_remedy(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    os.chown(root, 12345, 12345)
    os.chown(root / ".git", 12345, 12345)
    with pytest.raises(UsageError, match="belongs to another user") as caught:
        Git(root).run("rev-parse", "HEAD")
    assert "safe.directory" in caught.value.hint


def test_a_repository_that_the_user_declared_safe_is_used(root: Path, own_home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another user")
    os.chown(root, 12345, 12345)
    os.chown(root / ".git", 12345, 12345)
    subprocess.run(["git", "config", "--global", "--add", "safe.directory", str(root)], check=True)
    git = Git(root)
    assert git.run("rev-parse", "HEAD").decode().strip() == git.head()

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortex_cli.domain.errors import ConflictError, CortexError, IntegrityError, LockedError, UsageError
from cortex_cli.registry.copies import pending_path
from cortex_cli.registry.git import Git
from cortex_cli.registry.repository import Change, Registry
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.locks import hold
from cortex_cli.store.workspace import Workspace

User = Callable[..., str]

NOTE = Trailers("note", "shell", to="x")
PATH = "registry/notes/a.toml"


def test_a_commit_holds_the_file_and_its_account(registry: Registry, user: User) -> None:
    before = user("rev-parse", "HEAD")
    commit = registry.commit(NOTE, {PATH: b"x = 1\n"})
    assert user("rev-parse", "HEAD") == commit
    assert user("rev-parse", "HEAD~1") == before
    assert user("show", f"HEAD:{PATH}") == "x = 1"
    assert user("log", "-1", "--format=%s|%an <%ae>|%cn <%ce>") == (
        "note(shell): x|Ada <ada@example.org>|cortex <cortex@localhost>"
    )
    assert user("log", "-1", "--format=%(trailers:key=Cortex-Actor,valueonly)") == "human"


def test_worktree_and_index_follow_the_commit(registry: Registry, root: Path, user: User) -> None:
    registry.commit(NOTE, {PATH: b"x = 1\n"})
    registry.commit(NOTE, {PATH: b"x = 2\n"})
    assert (root / PATH).read_bytes() == b"x = 2\n"
    assert user("status", "--porcelain") == ""


def test_a_removed_file_goes_from_worktree_and_index_with_its_empty_folder(
    registry: Registry, root: Path, user: User
) -> None:
    registry.commit(NOTE, {PATH: b"x = 1\n"})
    registry.commit(NOTE, {PATH: None})
    assert not (root / "registry" / "notes").exists()
    assert user("status", "--porcelain") == ""
    assert user("ls-tree", "-r", "--name-only", "HEAD", "registry/notes") == ""


def test_several_paths_are_one_commit(registry: Registry, user: User) -> None:
    registry.commit(NOTE, {PATH: b"1", "datasets/calls/v0001.toml": b"2", "cortex.toml": b"schema = 1\n"})
    assert user("show", "--name-only", "--format=", "HEAD").split() == [
        "cortex.toml",
        "datasets/calls/v0001.toml",
        PATH,
    ]


def test_without_a_difference_there_is_no_commit(registry: Registry) -> None:
    first = registry.commit(NOTE, {PATH: b"x = 1\n"})
    assert registry.commit(NOTE, {PATH: b"x = 1\n"}) == first
    assert registry.commit(NOTE, {"registry/never/was.toml": None}) == first
    assert registry.commit(NOTE, {}) == first


def test_another_actor_signs_as_cortex_and_is_named_in_the_account(root: Path, user: User) -> None:
    Registry(Workspace(root), actor="cron").commit(NOTE, {PATH: b"x"})
    assert user("log", "-1", "--format=%an|%(trailers:key=Cortex-Actor,valueonly,separator=)") == "cortex|cron"


def test_the_clock_of_a_commit_is_the_one_passed_in(root: Path, user: User) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    Registry(Workspace(root), now=lambda: moment).commit(NOTE, {PATH: b"x"})
    assert user("log", "-1", "--format=%aI %cI") == "2026-01-02T03:04:05+00:00 2026-01-02T03:04:05+00:00"


def test_the_first_commit_of_a_branch_has_no_parent(tmp_path: Path) -> None:
    git = Git.create(tmp_path)
    commit = Registry(Workspace(tmp_path)).commit(NOTE, {"cortex.toml": b"schema = 1\n"})
    assert git.head() == commit
    assert git.run("rev-list", "--parents", "HEAD").decode().strip() == commit
    assert git.run("status", "--porcelain") == b""


def test_dirty_staged_and_untracked_files_of_the_user_stay_as_they_are(
    registry: Registry, root: Path, user: User
) -> None:
    (root / "prompts" / "shell" / "default.md").write_text("dirty\n", encoding="utf-8")
    (root / "prompts" / "dispatch" / "default.md").write_text("staged\n", encoding="utf-8")
    user("add", "prompts/dispatch/default.md")
    (root / "prompts" / "dispatch" / "default.md").write_text("staged, then dirty\n", encoding="utf-8")
    (root / "notes.txt").write_text("untracked\n", encoding="utf-8")
    user("rm", "--quiet", "--cached", ".gitignore")
    before = user("status", "--porcelain=v2", "--untracked-files=all")
    registry.commit(NOTE, {PATH: b"x = 1\n"})
    assert user("status", "--porcelain=v2", "--untracked-files=all") == before
    assert user("show", ":prompts/dispatch/default.md") == "staged"
    assert user("show", "--name-only", "--format=", "HEAD") == PATH


def test_commits_of_the_user_between_ours_are_built_upon(registry: Registry, root: Path, user: User) -> None:
    registry.commit(NOTE, {PATH: b"1"})
    (root / "README.md").write_text("mine\n", encoding="utf-8")
    user("add", "README.md")
    user("commit", "--quiet", "--message=mine")
    registry.commit(NOTE, {PATH: b"2"})
    user("commit", "--quiet", "--allow-empty", "--message=empty")
    registry.commit(NOTE, {PATH: b"3"})
    assert user("log", "--format=%s", "-5").splitlines() == [
        "note(shell): x",
        "empty",
        "note(shell): x",
        "mine",
        "note(shell): x",
    ]
    assert user("show", "HEAD:README.md") == "mine"
    assert user("status", "--porcelain") == ""


@pytest.mark.parametrize("how", ["edited", "staged", "removed", "staged as removed"])
def test_a_path_that_the_user_has_changed_is_not_overwritten(
    registry: Registry, root: Path, user: User, how: str
) -> None:
    before = registry.commit(NOTE, {PATH: b"x = 1\n"})
    if "removed" in how:
        (root / PATH).unlink()
    else:
        (root / PATH).write_text("mine\n", encoding="utf-8")
    if "staged" in how:
        user("add", PATH)
    status = user("status", "--porcelain")
    with pytest.raises(ConflictError) as caught:
        registry.commit(NOTE, {PATH: b"x = 2\n"})
    assert PATH in caught.value.message
    assert caught.value.state == "nothing was changed"
    assert caught.value.exit_code == 12
    assert user("rev-parse", "HEAD") == before
    assert user("status", "--porcelain") == status


def test_an_untracked_file_in_the_way_is_not_overwritten(registry: Registry, root: Path) -> None:
    (root / "registry" / "notes").mkdir()
    (root / PATH).write_text("mine\n", encoding="utf-8")
    with pytest.raises(ConflictError):
        registry.commit(NOTE, {PATH: b"x"})
    assert (root / PATH).read_text(encoding="utf-8") == "mine\n"


def test_what_the_user_has_already_written_may_be_committed(registry: Registry, root: Path, user: User) -> None:
    (root / "prompts" / "shell" / "default.md").write_text("better\n", encoding="utf-8")
    registry.commit(NOTE, {"prompts/shell/default.md": b"better\n"})
    assert user("status", "--porcelain") == ""
    assert user("show", "HEAD:prompts/shell/default.md") == "better"


def test_line_ends_that_the_users_git_turns_are_no_edit(registry: Registry, root: Path, user: User) -> None:
    registry.commit(NOTE, {PATH: b"x = 1\n"})
    user("config", "core.autocrlf", "true")
    (root / PATH).write_bytes(b"x = 1\r\n")
    commit = registry.commit(NOTE, {PATH: b"x = 2\n"})
    assert user("rev-parse", "HEAD") == commit
    assert (root / PATH).read_bytes() == b"x = 2\n"


@pytest.mark.parametrize("parent", ["registry", "registry/notes"])
def test_a_link_is_never_followed_out_of_the_workspace(
    registry: Registry, root: Path, tmp_path: Path, parent: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    if (root / parent).exists():
        (root / parent).rename(tmp_path / "moved")
    (root / parent).symlink_to(outside)
    with pytest.raises(ConflictError, match="not a folder of the worktree"):
        registry.commit(NOTE, {PATH: b"x"})
    assert list(outside.iterdir()) == []


def test_a_file_replaced_by_a_link_or_a_folder_is_a_conflict(registry: Registry, root: Path, tmp_path: Path) -> None:
    registry.commit(NOTE, {PATH: b"x"})
    (root / PATH).unlink()
    (root / PATH).symlink_to(tmp_path / "target")
    with pytest.raises(ConflictError):
        registry.commit(NOTE, {PATH: b"y"})
    (root / PATH).unlink()
    (root / PATH).mkdir()
    with pytest.raises(ConflictError, match="is a folder"):
        registry.commit(NOTE, {PATH: b"y"})
    assert not (tmp_path / "target").exists()


def test_a_file_where_a_folder_is_needed_is_a_conflict(registry: Registry, root: Path, user: User) -> None:
    (root / "registry" / "notes").write_text("a file\n", encoding="utf-8")
    user("add", ".")
    user("commit", "--quiet", "--message=file")
    with pytest.raises(ConflictError):
        registry.commit(NOTE, {PATH: b"x"})


@pytest.mark.parametrize("path", ["../x", "/etc/x", ".git/config", "a//b", "registry/.hidden", "", "a/../b", "x\ny"])
def test_a_path_out_of_the_workspace_is_refused(registry: Registry, path: str) -> None:
    with pytest.raises(UsageError, match="is not allowed"):
        registry.commit(NOTE, {path: b"x"})


def test_a_detached_head_is_refused(registry: Registry, user: User) -> None:
    user("checkout", "--quiet", "--detach")
    with pytest.raises(ConflictError, match="HEAD is detached") as caught:
        registry.commit(NOTE, {PATH: b"x"})
    assert caught.value.hint == "git switch main"


@pytest.mark.parametrize("command", ["merge", "rebase", "cherry-pick", "revert"])
def test_a_merge_or_its_like_under_way_is_refused(registry: Registry, root: Path, user: User, command: str) -> None:
    def write(text: str) -> None:
        (root / "prompts" / "shell" / "default.md").write_text(text, encoding="utf-8")
        user("commit", "--quiet", "--all", f"--message={text}")

    user("branch", "side")
    write("one\n")
    target = "side"
    if command == "revert":
        write("two\n")
        target = "HEAD~1"
    else:
        user("switch", "--quiet", "side")
        write("other\n")
        user("switch", "--quiet", "main")
    done = subprocess.run(["git", command, target], cwd=root, capture_output=True, check=False)
    assert done.returncode != 0
    with pytest.raises(ConflictError, match=f"a {command} is under way"):
        registry.commit(NOTE, {PATH: b"x"})


@pytest.mark.parametrize("name", ["index.lock", "HEAD.lock", "refs/heads/main.lock"])
def test_a_stale_lock_file_is_named_and_nothing_moves(root: Path, user: User, name: str) -> None:
    before = user("rev-parse", "HEAD")
    lock = root / ".git" / name
    lock.touch()
    with pytest.raises(LockedError) as caught:
        Registry(Workspace(root), wait=0.05).commit(NOTE, {PATH: b"x"})
    assert str(lock) in caught.value.message
    assert caught.value.hint == "cortex fsck --repair"
    assert user("rev-parse", "HEAD") == before
    assert not (root / PATH).exists()


def test_a_lock_that_another_git_gives_back_is_waited_for(registry: Registry, root: Path) -> None:
    lock = root / ".git" / "index.lock"
    lock.touch()
    timer = threading.Timer(0.1, lock.unlink)
    timer.start()
    registry.commit(NOTE, {PATH: b"x"})
    timer.join()
    assert (root / PATH).read_bytes() == b"x"


def test_a_held_registry_names_its_holder(root: Path, registry: Registry) -> None:
    with hold(registry.lock_path, purpose="a long promotion"), pytest.raises(LockedError) as caught:
        Registry(Workspace(root), wait=0.05).commit(NOTE, {PATH: b"x"})
    assert "a long promotion" in caught.value.message
    assert str(os.getpid()) in caught.value.message
    assert caught.value.exit_code == 11


def test_a_plan_runs_again_when_a_foreign_commit_came_first(registry: Registry, user: User) -> None:
    seen: list[str] = []

    def plan(snapshot: Snapshot) -> Change:
        seen.append(snapshot.commit)
        if len(seen) < 3:
            user("commit", "--quiet", "--allow-empty", f"--message=foreign {len(seen)}")
        return Change(NOTE, {PATH: snapshot.commit.encode()})

    done = registry.update(plan)
    assert len(set(seen)) == 3
    assert user("rev-parse", f"{done.commit}~1") == seen[-1]
    assert user("show", f"HEAD:{PATH}") == seen[-1]
    assert user("log", "-3", "--format=%s").splitlines()[1:] == ["foreign 2", "foreign 1"]


def test_a_blind_commit_does_not_overwrite_what_another_git_committed_meanwhile(root: Path, user: User) -> None:
    # The clock is asked between reading and publishing: the moment in which a foreign git may come first.
    def intrude() -> datetime:
        (root / "registry" / "notes").mkdir(exist_ok=True)
        (root / PATH).write_text("theirs\n", encoding="utf-8")
        user("add", PATH)
        user("commit", "--quiet", "--message=theirs")
        return datetime(2026, 1, 2, tzinfo=UTC)

    with pytest.raises(ConflictError, match="changed by another commit meanwhile"):
        Registry(Workspace(root), now=intrude).commit(NOTE, {PATH: b"ours\n"})
    assert user("show", f"HEAD:{PATH}") == "theirs"
    assert user("status", "--porcelain") == ""


def test_each_commit_is_signed_by_its_own_actor(registry: Registry, user: User) -> None:
    registry.commit(NOTE, {PATH: b"1"})
    registry.commit(Trailers("note", "shell", actor="cron"), {PATH: b"2"})
    registry.commit(NOTE, {PATH: b"3"})
    assert user("log", "-3", "--format=%an").split() == ["Ada", "cortex", "Ada"]


def test_losing_every_race_is_a_conflict_that_changes_nothing(registry: Registry, root: Path, user: User) -> None:
    def plan(_: Snapshot) -> Change:
        user("commit", "--quiet", "--allow-empty", "--message=foreign")
        return Change(NOTE, {PATH: b"x"})

    with pytest.raises(ConflictError, match="8 times in a row"):
        registry.update(plan)
    assert not (root / PATH).exists()
    assert not pending_path(registry.git).exists()


def test_a_plan_that_raises_changes_nothing(registry: Registry, user: User) -> None:
    before = user("rev-parse", "HEAD")

    def plan(_: Snapshot) -> Change:
        raise UsageError("no")

    with pytest.raises(UsageError):
        registry.update(plan)
    assert user("rev-parse", "HEAD") == before


def test_the_reflog_tells_what_was_done(registry: Registry, user: User) -> None:
    registry.commit(NOTE, {PATH: b"x"})
    assert "note(shell): x" in user("reflog", "-1")


def test_a_branch_switched_while_committing_keeps_its_worktree(registry: Registry, root: Path, user: User) -> None:
    user("branch", "side")

    def plan(_: Snapshot) -> Change:
        user("switch", "--quiet", "side")
        return Change(NOTE, {PATH: b"x"})

    done = registry.update(plan)
    assert user("rev-parse", "main") == done.commit
    assert not (root / PATH).exists()
    assert user("status", "--porcelain") == ""


def test_each_linked_worktree_commits_to_its_own_branch(
    registry: Registry, root: Path, tmp_path: Path, user: User
) -> None:
    side = tmp_path / "side"
    user("worktree", "add", "--quiet", "-b", "side", str(side))
    other = Registry(Workspace(side))
    assert other.lock_path.resolve() == registry.lock_path.resolve()
    commit = other.commit(NOTE, {PATH: b"x"})
    assert user("rev-parse", "side") == commit
    assert (side / PATH).read_bytes() == b"x"
    assert not (root / PATH).exists()
    assert user("status", "--porcelain") == ""


def test_packed_refs_are_committed_upon(registry: Registry, user: User) -> None:
    user("pack-refs", "--all", "--prune")
    user("gc", "--quiet")
    registry.commit(NOTE, {PATH: b"x"})
    assert user("fsck", "--full", "--strict", "--no-dangling") == ""
    assert user("show", f"HEAD:{PATH}") == "x"


def test_a_head_whose_tree_is_lost_is_never_committed_upon(registry: Registry, root: Path, user: User) -> None:
    before = user("rev-parse", "HEAD")
    oid = user("rev-parse", "HEAD^{tree}")
    (root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(IntegrityError):
        registry.commit(NOTE, {PATH: b"x"})
    assert user("rev-parse", "HEAD") == before


def test_a_git_older_than_needed_commits_nothing(root: Path, tmp_path: Path, user: User) -> None:
    before = user("rev-parse", "HEAD")
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\necho 'git version 2.20.1'\n", encoding="utf-8")
    (folder / "git").chmod(0o755)
    old = Registry(Workspace(root), git=Git(root, environ={"PATH": str(folder)}))
    with pytest.raises(UsageError, match=r"found 'git version 2\.20\.1'") as caught:
        old.commit(NOTE, {PATH: b"x"})
    assert caught.value.exit_code == 2
    assert user("rev-parse", "HEAD") == before


FULL_DISK = """
import random, resource, sys
from pathlib import Path
from cortex_cli.domain.errors import CortexError
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.workspace import Workspace

registry = Registry(Workspace(Path(sys.argv[1])))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
data = random.Random(1).randbytes(50_000)
try:
    registry.commit(Trailers("note", "shell", to="x"), {"registry/notes/a.toml": data})
except CortexError as error:
    print(type(error).__name__, error.message)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("limit", [0, 100, 1000, 20_000])
def test_a_full_disk_is_a_clear_error_and_nothing_is_lost(root: Path, user: User, limit: int) -> None:
    before = user("rev-parse", "HEAD")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(root), str(limit)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stdout or "git " in done.stdout
    assert user("rev-parse", "HEAD") == before
    assert user("fsck", "--full", "--strict", "--no-dangling") == ""
    assert user("status", "--porcelain") == ""
    Registry(Workspace(root)).commit(NOTE, {PATH: b"now there is room"})
    assert user("show", f"HEAD:{PATH}") == "now there is room"


def test_a_folder_of_objects_that_cannot_be_written_is_a_clear_error(root: Path, user: User) -> None:
    # A file in the place of a folder stops root as well, whom a read-only mode would not.
    before = user("rev-parse", "HEAD")
    objects = root / ".git" / "objects"
    registry = Registry(Workspace(root))
    oid = registry.git.run("hash-object", "--stdin", stdin=b"blocked").decode().strip()
    blocked = objects / oid[:2]
    if blocked.is_dir():
        pytest.skip("the folder of this object is already in use")
    blocked.write_text("in the way", encoding="utf-8")
    with pytest.raises(CortexError, match="git hash-object failed"):
        registry.commit(NOTE, {PATH: b"blocked"})
    assert user("rev-parse", "HEAD") == before
    assert not (root / PATH).exists()


NOBODY = 65534


@pytest.fixture
def modest(template: Path) -> Iterator[Path]:
    """A workspace whose owner is not root, and a process that acts as that owner: modes hold for it."""
    folder = Path(tempfile.mkdtemp())
    root = Path(shutil.copytree(template, folder / "lab"))
    Registry(Workspace(root)).commit(NOTE, {"registry/warm.toml": b"all modules are imported"})
    is_root = os.geteuid() == 0
    if is_root:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield root
    finally:
        if is_root:
            os.seteuid(0)
        for path in (root, root / ".git", root / "registry"):
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_a_worktree_that_cannot_be_written_does_not_undo_the_commit(modest: Path) -> None:
    registry = Registry(Workspace(modest))
    (modest / "registry").chmod(0o555)
    commit = registry.commit(NOTE, {PATH: b"x"})
    assert registry.git.head() == commit
    assert not (modest / PATH).exists()
    assert pending_path(registry.git).exists()
    (modest / "registry").chmod(0o755)
    registry.commit(NOTE, {"registry/other.toml": b"y"})
    assert (modest / PATH).read_bytes() == b"x"
    assert not pending_path(registry.git).exists()
    assert registry.git.run("status", "--porcelain") == b""


def test_a_read_only_git_folder_is_a_clear_error_and_nothing_moves(modest: Path) -> None:
    registry = Registry(Workspace(modest))
    before = registry.git.head()
    (modest / ".git").chmod(0o555)
    with pytest.raises(CortexError, match="cannot be written: Permission denied") as caught:
        registry.commit(NOTE, {PATH: b"x"})
    assert caught.value.hint
    assert registry.git.head() == before
    assert not (modest / PATH).exists()


def test_a_read_only_object_folder_is_a_clear_error_and_nothing_moves(modest: Path) -> None:
    registry = Registry(Workspace(modest))
    before = registry.git.head()
    folders = [modest / ".git" / "objects", *(modest / ".git" / "objects").iterdir()]
    for folder in folders:
        folder.chmod(0o555)
    with pytest.raises(CortexError, match=r"git hash-object failed: .*insufficient permission"):
        registry.commit(NOTE, {PATH: b"x"})
    for folder in folders:
        folder.chmod(0o755)
    assert registry.git.head() == before
    assert not (modest / PATH).exists()

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.domain.errors import IntegrityError, LockedError
from cortex_cli.registry.copies import Copy, Pending, finish, finish_pending, pending_path, read_pending, write_pending
from cortex_cli.registry.git import Git
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers

User = Callable[..., str]

NOTE = Trailers("note", "shell", to="x")
PATH = "registry/notes/a.toml"
OTHER = "registry/notes/b.toml"


class Cut:
    """A registry whose last commit was killed between moving the branch and renewing the worktree."""

    def __init__(self, registry: Registry, user: User) -> None:
        self.git = registry.git
        self.user = user
        self.old = registry.commit(NOTE, {PATH: b"old\n", OTHER: b"stays\n"})
        self.new = registry.commit(NOTE, {PATH: b"new\n", OTHER: None, "registry/notes/c.toml": b"added\n"})
        blobs = {path: user("rev-parse", "--verify", f"{self.new}:{path}") for path in (PATH, "registry/notes/c.toml")}
        user("checkout", "--quiet", self.old, "--", "registry/notes")
        user("rm", "--quiet", "--force", "registry/notes/c.toml")
        write_pending(self.git, Pending(self.old, self.new, blobs | {OTHER: ""}))

    def is_whole(self) -> bool:
        """Tell whether worktree and index are what HEAD holds, and no record is left."""
        return self.user("status", "--porcelain") == "" and not pending_path(self.git).exists()


@pytest.fixture
def cut(registry: Registry, user: User) -> Cut:
    return Cut(registry, user)


def test_the_next_write_finishes_what_a_kill_cut_off(cut: Cut, registry: Registry, root: Path) -> None:
    registry.commit(NOTE, {"registry/notes/d.toml": b"next\n"})
    assert (root / PATH).read_bytes() == b"new\n"
    assert not (root / OTHER).exists()
    assert (root / "registry/notes/c.toml").read_bytes() == b"added\n"
    assert cut.is_whole()


def test_the_next_write_may_touch_the_very_path_that_lags(cut: Cut, registry: Registry, root: Path) -> None:
    registry.commit(NOTE, {PATH: b"newer\n"})
    assert (root / PATH).read_bytes() == b"newer\n"
    assert cut.is_whole()


def test_finishing_twice_is_finishing_once(cut: Cut) -> None:
    assert finish_pending(cut.git) is True
    assert finish_pending(cut.git) is False
    assert cut.is_whole()


def test_a_renewal_cut_off_between_worktree_and_index_is_finished(cut: Cut, root: Path) -> None:
    (root / PATH).write_bytes(b"new\n")
    finish_pending(cut.git)
    assert cut.is_whole()


def test_a_renewal_cut_off_between_two_files_is_finished(cut: Cut, root: Path, user: User) -> None:
    (root / OTHER).unlink()
    user("update-index", "--remove", OTHER)
    finish_pending(cut.git)
    assert cut.is_whole()


def test_what_the_user_wrote_after_the_kill_stays(cut: Cut, root: Path, user: User) -> None:
    (root / PATH).write_text("mine\n", encoding="utf-8")
    finish_pending(cut.git)
    assert (root / PATH).read_text(encoding="utf-8") == "mine\n"
    assert not (root / OTHER).exists()
    assert user("show", f":{PATH}") == "old"
    assert not pending_path(cut.git).exists()


def test_what_the_user_staged_after_the_kill_stays(cut: Cut, root: Path, user: User) -> None:
    (root / PATH).write_text("mine\n", encoding="utf-8")
    user("add", PATH)
    (root / PATH).write_bytes(b"old\n")
    finish_pending(cut.git)
    assert user("show", f":{PATH}") == "mine"
    assert (root / PATH).read_bytes() == b"old\n"


def test_a_branch_that_never_moved_leaves_nothing_to_finish(cut: Cut, root: Path, user: User) -> None:
    user("reset", "--quiet", "--hard", cut.old)
    write_pending(cut.git, Pending(cut.old, cut.new, {PATH: user("rev-parse", f"{cut.new}:{PATH}")}))
    finish_pending(cut.git)
    assert (root / PATH).read_bytes() == b"old\n"
    assert cut.is_whole()


def test_another_branch_checked_out_since_is_left_alone(cut: Cut, root: Path, user: User) -> None:
    user("checkout", "--quiet", "--force", "-b", "side", cut.old)
    finish_pending(cut.git)
    assert (root / PATH).read_bytes() == b"old\n"
    assert cut.is_whole()


def test_a_first_commit_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    git = Git.create(tmp_path)
    blob = git.run("hash-object", "-w", "--stdin", stdin=b"schema = 1\n").decode().strip()
    tree = git.run("mktree", stdin=f"100644 blob {blob}\tcortex.toml\n".encode()).decode().strip()
    commit = (
        git.run(
            "commit-tree",
            tree,
            "-m",
            "x",
            env={
                "GIT_AUTHOR_NAME": "a",
                "GIT_AUTHOR_EMAIL": "a",
                "GIT_COMMITTER_NAME": "a",
                "GIT_COMMITTER_EMAIL": "a",
            },
        )
        .decode()
        .strip()
    )
    git.run("update-ref", "refs/heads/main", commit)
    write_pending(git, Pending("", commit, {"cortex.toml": blob}))
    assert finish_pending(git)
    assert (tmp_path / "cortex.toml").read_bytes() == b"schema = 1\n"
    assert git.run("status", "--porcelain") == b""


def test_a_blocked_index_keeps_the_record_for_later(cut: Cut, root: Path) -> None:
    lock = root / ".git" / "index.lock"
    lock.touch()
    with pytest.raises(LockedError, match=r"index\.lock"):
        finish_pending(cut.git)
    assert read_pending(cut.git) is not None
    lock.unlink()
    finish_pending(cut.git)
    assert cut.is_whole()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"parent": "x"}'])
def test_a_record_that_cannot_be_read_is_dropped(cut: Cut, text: str) -> None:
    pending_path(cut.git).write_text(text, encoding="utf-8")
    assert read_pending(cut.git) is None
    assert finish_pending(cut.git) is False
    assert not pending_path(cut.git).exists()


def test_a_lost_blob_stops_the_renewal_and_removes_no_file(cut: Cut, root: Path, user: User) -> None:
    oid = user("rev-parse", f"{cut.new}:{PATH}")
    (root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(IntegrityError):
        finish_pending(cut.git)
    assert (root / PATH).read_bytes() == b"old\n"
    assert read_pending(cut.git) is not None


def test_the_record_is_plain_json(cut: Cut) -> None:
    record = json.loads(pending_path(cut.git).read_text(encoding="utf-8"))
    assert record["parent"] == cut.old
    assert record["commit"] == cut.new
    assert set(record["blobs"]) == {PATH, OTHER, "registry/notes/c.toml"}


def test_a_copy_that_became_a_folder_is_left_alone(registry: Registry, root: Path) -> None:
    (root / PATH).mkdir(parents=True)
    finish(registry.git, [Copy(PATH, None, b"x", "0" * 40)])
    assert (root / PATH).is_dir()

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.domain.errors import LockedError
from cortex_cli.registry.copies import Pending, pending_path, write_pending
from cortex_cli.registry.fsck import check
from cortex_cli.registry.repair import repair
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.clock import Clock
from cortex_cli.store.locks import hold
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

User = Callable[..., str]


def test_a_sound_registry_needs_no_repair(registry: Registry, objects: ObjectStore) -> None:
    assert repair(registry, objects) == []


def test_stale_locks_go_and_the_next_commit_succeeds(
    registry: Registry, objects: ObjectStore, root: Path, later: Clock
) -> None:
    for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock"):
        (root / ".git" / name).touch()
    done = repair(registry, objects, now=later)
    assert [item.what for item in done] == ["removed a stale lock file"] * 3
    registry.commit(Trailers("note", "x"), {"registry/notes/a.toml": b"x"})
    assert check(registry, objects) == []


def test_a_fresh_lock_stays(registry: Registry, objects: ObjectStore, root: Path) -> None:
    lock = root / ".git" / "HEAD.lock"
    lock.touch()
    assert repair(registry, objects) == []
    assert lock.exists()


def test_a_lock_goes_by_its_own_age_and_no_other(registry: Registry, objects: ObjectStore, root: Path) -> None:
    old, new = root / ".git" / "HEAD.lock", root / ".git" / "index.lock"
    old.touch()
    new.touch()
    os.utime(old, (old.stat().st_atime, old.stat().st_mtime - 61))
    repair(registry, objects)
    assert not old.exists()
    assert new.exists()


def test_no_lock_goes_while_a_git_command_runs_in_the_worktree(
    registry: Registry, objects: ObjectStore, root: Path, later: Clock
) -> None:
    lock = root / ".git" / "index.lock"
    lock.touch()
    command = ["git", "cat-file", "--batch-check"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=root / "prompts", stdin=pipe, stdout=pipe) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        # Its answer shows that it runs: for a moment after exec a process still has its parent's name.
        running.stdin.write(b"HEAD\n")
        running.stdin.flush()
        assert running.stdout.readline()
        with pytest.raises(LockedError) as caught:
            repair(registry, objects, now=later)
        running.stdin.close()
    assert str(running.pid) in caught.value.message
    assert lock.exists()
    repair(registry, objects, now=later)
    assert not lock.exists()


def test_a_git_command_elsewhere_is_no_obstacle(
    registry: Registry, objects: ObjectStore, root: Path, tmp_path: Path, later: Clock
) -> None:
    (root / ".git" / "index.lock").touch()
    command = ["git", "hash-object", "--stdin"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        assert len(repair(registry, objects, now=later)) == 1
        assert running.stdin is not None
        running.stdin.close()


def test_repair_waits_for_the_registrys_own_lock(root: Path, objects: ObjectStore, later: Clock) -> None:
    registry = Registry(Workspace(root), wait=0.05)
    (root / ".git" / "index.lock").touch()
    with hold(registry.lock_path, purpose="a promotion"), pytest.raises(LockedError, match="a promotion"):
        repair(registry, objects, now=later)
    assert (root / ".git" / "index.lock").exists()


def test_old_leftovers_go_and_fresh_ones_stay(
    registry: Registry, objects: ObjectStore, root: Path, later: Clock
) -> None:
    (objects.root / "tmp").mkdir(parents=True)
    left = [objects.root / "tmp" / "put.1.tmp", root / ".git" / ".cortex-pending.json.1.tmp"]
    for path in left:
        path.touch()
    assert repair(registry, objects) == []
    assert {item.subject for item in repair(registry, objects, now=later)} == {str(path) for path in left}
    assert not any(path.exists() for path in left)


def test_a_renewal_that_was_cut_off_is_finished_even_behind_a_stale_lock(
    registry: Registry, objects: ObjectStore, root: Path, user: User, later: Clock
) -> None:
    path = "registry/notes/a.toml"
    old = registry.git.head()
    new = registry.commit(Trailers("note", "x"), {path: b"new\n"})
    user("rm", "--quiet", path)
    write_pending(registry.git, Pending(old, new, {path: user("rev-parse", f"HEAD:{path}")}))
    (root / ".git" / "index.lock").touch()
    done = repair(registry, objects, now=later)
    assert "brought the worktree's copies up to the last commit" in [item.what for item in done]
    assert (root / path).read_bytes() == b"new\n"
    assert user("status", "--porcelain") == ""
    assert not pending_path(registry.git).exists()


def test_corrupt_objects_are_set_aside_and_sound_ones_stay(registry: Registry, objects: ObjectStore) -> None:
    good, bad = objects.put_bytes(b"good"), objects.put_bytes(b"bad")
    objects.path(bad).chmod(0o644)
    objects.path(bad).write_bytes(b"BAD")
    done = repair(registry, objects)
    assert [item.subject for item in done] == [bad]
    assert not objects.has(bad)
    assert objects.verify(good)
    aside = registry.workspace.private / "quarantine" / bad.removeprefix("sha256:")
    assert aside.read_bytes() == b"BAD"
    assert objects.put_bytes(b"bad") == bad
    assert objects.verify(bad)


def test_repair_never_rewrites_history(registry: Registry, objects: ObjectStore, user: User, later: Clock) -> None:
    user("commit", "--quiet", "--allow-empty", "--message=x\n\nCortex-Action: promote\nCortex-Target: dispatch")
    before = user("rev-parse", "HEAD")
    repair(registry, objects, now=later)
    assert user("rev-parse", "HEAD") == before
    assert [item.severity for item in check(registry, objects)] == ["error"]


def test_the_lock_of_a_killed_holder_is_free_at_once(registry: Registry, objects: ObjectStore) -> None:
    code = (
        "import os, sys; from pathlib import Path; from cortex_cli.store.locks import hold\n"
        "with hold(Path(sys.argv[1]), purpose='doomed'): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(registry.lock_path)], check=False)
    assert killed.returncode == -9
    registry.commit(Trailers("note", "x"), {"registry/notes/a.toml": b"x"})
    assert check(registry, objects) == []

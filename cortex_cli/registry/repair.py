"""Mending what a kill or a bad disk left behind, only when asked; history is never rewritten."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cortex_cli.domain.errors import LockedError
from cortex_cli.registry.copies import finish_pending
from cortex_cli.registry.fsck import STALE_SECONDS, find_leftovers, find_locks
from cortex_cli.registry.git import Git
from cortex_cli.registry.repository import Registry
from cortex_cli.store.atomic import fsync_folder
from cortex_cli.store.clock import Clock, utc_now
from cortex_cli.store.locks import hold
from cortex_cli.store.objects import ObjectStore

__all__ = ["Repaired", "repair"]


class Repaired(NamedTuple):
    """One thing that was mended: what it was about and what was done."""

    subject: str
    what: str


def repair(registry: Registry, objects: ObjectStore, *, now: Clock = utc_now) -> list[Repaired]:
    """Remove lock and temporary files older than a minute, finish cut-off renewals, set bad objects aside.

    All of it under the registry's own lock, and no lock file goes while a git command runs in the
    worktree: then `LockedError` names it. Bad objects move to `.cortex/quarantine/`.
    """
    git = registry.git
    with hold(registry.lock_path, purpose="repair", wait=registry.wait):
        done = list(_remove_locks(git, now))
        done += _remove_leftovers(git, objects, now)
        if finish_pending(git):
            done.append(Repaired(str(git.root), "brought the worktree's copies up to the last commit"))
        done += _set_aside(objects, registry.workspace.private / "quarantine")
    return done


def _remove_locks(git: Git, now: Clock) -> Iterator[Repaired]:
    stale = [path for path in find_locks(git) if _is_stale(path, now)]
    busy = _find_git_process(git.root) if stale else 0
    if busy:
        raise LockedError(
            f"'{stale[0]}' may be held by the git command with pid {busy}, which runs in this worktree",
            hint=f"ps -fp {busy}",
            state="nothing was changed",
        )
    for path in stale:
        path.unlink(missing_ok=True)
        yield Repaired(str(path), "removed a stale lock file")


def _remove_leftovers(git: Git, objects: ObjectStore, now: Clock) -> Iterator[Repaired]:
    for path in find_leftovers(git, objects):
        if _is_stale(path, now):
            path.unlink(missing_ok=True)
            yield Repaired(str(path), "removed the temporary file of a killed writer")


def _set_aside(objects: ObjectStore, quarantine: Path) -> Iterator[Repaired]:
    for digest in list(objects.digests()):
        if objects.verify(digest):
            continue
        quarantine.mkdir(parents=True, exist_ok=True)
        source, target = objects.path(digest), quarantine / digest.removeprefix("sha256:")
        source.replace(target)
        fsync_folder(quarantine)
        fsync_folder(source.parent)
        yield Repaired(digest, f"moved a corrupt object to '{target}'")


def _is_stale(path: Path, now: Clock) -> bool:
    try:
        return now().timestamp() - path.stat().st_mtime > STALE_SECONDS
    except FileNotFoundError:
        return False


def _find_git_process(root: Path) -> int:
    """Return the pid of a git command working in *root*; 0 when there is none or the system does not tell."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name = (entry / "comm").read_text(encoding="utf-8").strip()
            place = Path(os.readlink(entry / "cwd"))  # noqa: PTH115  # Path.readlink is the same call, in two steps
        except OSError:  # it has ended, or belongs to another user
            continue
        if name == "git" and (place == root or root in place.parents):
            return int(entry.name)
    return 0

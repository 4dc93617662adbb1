"""The worktree's copies of what was committed: the user's edits are seen before, and kept, always.

A record in the git folder says which copies a commit is about to renew. It is written before the
branch moves and removed when they are done, so that the next write can finish what a kill cut off.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cortex_cli.domain.errors import ConflictError
from cortex_cli.registry.catfile import CatFile
from cortex_cli.registry.git import Git
from cortex_cli.store.atomic import report_disk, write_atomic

__all__ = ["Copy", "Pending", "check_untouched", "finish", "finish_pending", "pending_path", "read_pending"]

_ZERO = "0" * 40


class Copy(NamedTuple):
    """One path of a change: its content before and after (None: no file) and the blob id after ("": none)."""

    path: str
    before: bytes | None
    after: bytes | None
    oid: str = ""


class Pending(NamedTuple):
    """A commit whose copies in the worktree may not be renewed yet; *parent* is empty for the first commit.

    *blobs* says for each path which blob the commit has there, empty where it removed the file.
    """

    parent: str
    commit: str
    blobs: dict[str, str]


def pending_path(git: Git) -> Path:
    """Return where the record of an unfinished renewal lies."""
    return git.directory / "cortex-pending.json"


def read_pending(git: Git) -> Pending | None:
    """Return the record of an unfinished renewal; None when there is none that can be read."""
    try:
        parts = json.loads(pending_path(git).read_bytes())
        return Pending(parts["parent"], parts["commit"], dict(parts["blobs"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_pending(git: Git, pending: Pending) -> None:
    """Leave the durable record of *pending*."""
    write_atomic(pending_path(git), json.dumps(pending._asdict()).encode())


def drop_pending(git: Git) -> None:
    """Remove the record; a crash that brings it back costs a check and nothing else."""
    pending_path(git).unlink(missing_ok=True)


def check_untouched(git: Git, objects: CatFile, copies: Iterable[Copy]) -> None:
    """Raise `ConflictError` when the user has changed a path of *copies* and not committed it.

    A copy that already has the new content is no conflict: then the user asked for the same.
    """
    for copy in copies:
        _check_parents(git.root, copy.path)
        staged = objects.find(f":{copy.path}")
        if (staged.data if staged else None) not in (copy.before, copy.after):
            raise _edited(copy.path, "has staged changes")
        if not _is_one_of(git, copy):
            raise _edited(copy.path, "has changes that are not committed")


def finish(git: Git, copies: Iterable[Copy]) -> None:
    """Bring the worktree and the index from *before* to *after*; what the user changed meanwhile stays.

    Raises `LockedError` when another git holds the index and `CortexError` when the disk refuses; the
    record then stays for the next time.
    """
    mine = [copy for copy in copies if _renew(git, copy)]
    lines = [f"100644 {copy.oid}\t{copy.path}" if copy.oid else f"0 {_ZERO}\t{copy.path}" for copy in mine]
    if lines:
        git.run("update-index", "--add", "--index-info", stdin="\n".join(lines).encode() + b"\n")
    drop_pending(git)


def finish_pending(git: Git) -> bool:
    """Finish what a killed write left undone and tell whether there was anything.

    Only a path that HEAD still has as that commit made it is renewed, and only over the old content.
    """
    pending = read_pending(git)
    if pending is None:
        pending_path(git).unlink(missing_ok=True)
        return False
    with CatFile(git) as objects:
        found = [_recall(objects, pending, path) for path in pending.blobs]
        lagging = [copy for copy in found if _is_head(objects, copy) and _is_staged_old(objects, copy)]
    finish(git, lagging)
    return True


def _recall(objects: CatFile, pending: Pending, path: str) -> Copy:
    before = objects.find(f"{pending.parent}:{path}") if pending.parent else None
    oid = pending.blobs[path]
    return Copy(path, before.data if before else None, objects.load(oid).data if oid else None, oid)


def _is_head(objects: CatFile, copy: Copy) -> bool:
    head = objects.find(f"HEAD:{copy.path}")
    return (head.oid if head else "") == copy.oid


def _is_staged_old(objects: CatFile, copy: Copy) -> bool:
    staged = objects.find(f":{copy.path}")
    return (staged.data if staged else None) in (copy.before, copy.after)


def _renew(git: Git, copy: Copy) -> bool:
    """Write the copy unless the user has changed it; tell whether worktree and HEAD now agree."""
    path = git.root / copy.path
    try:
        _check_parents(git.root, copy.path)
        found = _read(path)
        if found == copy.after:
            return True
        if found != copy.before and not _is_one_of(git, copy):
            return False
        with report_disk(path):
            _write(git.root, path, copy.after)
    except ConflictError:
        return False
    return True


def _is_one_of(git: Git, copy: Copy) -> bool:
    found = _read(git.root / copy.path)
    if found in (copy.before, copy.after):
        return True
    if found is None or copy.before is None:
        return False
    # Line ends and other filters of the user's git may make the copy differ from the committed bytes.
    cleaned = git.ask("hash-object", "--path", copy.path, "--", copy.path).stdout.strip()
    return cleaned == git.run("hash-object", "--stdin", stdin=copy.before).strip()


def _read(path: Path) -> bytes | None:
    if path.is_symlink():
        return b"symlink to " + os.fsencode(path.readlink())  # never followed, never equal to a manifest
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError as error:
        raise ConflictError(f"'{path}' is a folder, a file is needed", state="nothing was changed") from error


def _check_parents(root: Path, path: str) -> None:
    for parent in list(Path(path).parents)[:-1]:
        place = root / parent
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise ConflictError(f"'{parent}' is not a folder of the worktree", state="nothing was changed")


def _write(root: Path, path: Path, data: bytes | None) -> None:
    if data is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
        return
    path.unlink(missing_ok=True)
    with suppress(OSError):  # the first folder that is not empty ends it, as with git itself
        for parent in path.parents:
            if parent == root:
                return
            parent.rmdir()


def _edited(path: str, what: str) -> ConflictError:
    return ConflictError(
        f"'{path}' {what}, which this would overwrite: commit or restore them first",
        hint=f"git diff HEAD -- '{path}'",
        state="nothing was changed",
    )

"""One lock between processes, and who holds it: a waiter that gives up can name the holder."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cortex_cli.domain.errors import LockedError
from cortex_cli.store.atomic import report_disk, temporary_name
from cortex_cli.store.clock import rfc3339, utc_now

__all__ = ["hold", "read_holder"]


@contextmanager
def hold(path: Path, *, purpose: str, wait: float = 30.0) -> Iterator[None]:
    """Hold the lock file *path* for *purpose*, waiting at most *wait* seconds for another holder.

    The kernel frees the lock when its process dies, so no lock outlives a kill. Not reentrant: a
    second `hold` of the same path in one process waits like any other. Raises `LockedError`.
    """
    import filelock

    with report_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, timeout=wait, poll_interval=0.01)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise _locked(path, purpose, wait) from error
    try:
        _write_holder(path, purpose)
        yield
    finally:
        with suppress(OSError):
            _holder_path(path).unlink()
        lock.release()


def read_holder(path: Path) -> str:
    """Return who holds the lock *path*, such as "pid 12, 'promote', since ..."; empty when nobody said so."""
    try:
        holder = json.loads(_holder_path(path).read_text(encoding="utf-8"))
        return f"pid {holder['pid']}, '{holder['purpose']}', since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _locked(path: Path, purpose: str, wait: float) -> LockedError:
    holder = read_holder(path) or "a process that has not said who it is"
    return LockedError(
        f"'{path}' is locked by {holder}; waited {wait:g} s to {purpose}",
        hint="run the command again, with a longer --wait if the other one is expected to take time",
        state="nothing was changed",
    )


def _holder_path(path: Path) -> Path:
    return path.with_name(path.name + ".holder")


def _write_holder(path: Path, purpose: str) -> None:
    # Renamed, not synced: it informs the one who waits, and nothing is decided by it.
    target = _holder_path(path)
    made = target.with_name(temporary_name(target.name))
    text = json.dumps({"pid": os.getpid(), "purpose": purpose, "since": rfc3339(utc_now())})
    with report_disk(target):
        made.write_text(text, encoding="utf-8")
        made.replace(target)

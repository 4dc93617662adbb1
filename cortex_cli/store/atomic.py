"""Files that are either whole or not there: temporary file, fsync, rename, fsync of the folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cortex_cli.domain.errors import CortexError

__all__ = ["fsync_folder", "replacing", "report_disk", "temporary_name", "write_atomic"]


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace *path* by a file with *data*; a reader sees the old or the new content, never a part.

    Durable when it returns. On failure the old file stands and the temporary one is removed; after a
    kill a file `.<name>.<random>.tmp` may be left beside it. Raises `CortexError` when the disk refuses.
    """
    with report_disk(path):
        temporary = path.with_name(temporary_name(path.name))
        try:
            _write_synced(temporary, data, mode)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        fsync_folder(path.parent)


@contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Give a temporary path beside *path* to write, of any size; it becomes *path* when the block ends well.

    Durable then. When the block raises, the old file stands and the temporary one is removed.
    """
    with report_disk(path):
        temporary = path.with_name(temporary_name(path.name))
        try:
            yield temporary
            temporary.chmod(mode)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        fsync_folder(path.parent)


def temporary_name(name: str) -> str:
    """Return a name that no other writer uses, recognisable as the leftover of a killed one."""
    return f".{name}.{os.urandom(8).hex()}.tmp"


def fsync_folder(path: Path) -> None:
    """Make the entries of folder *path* durable: without it a power cut can undo a rename."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def report_disk(path: Path) -> Iterator[None]:
    """Turn an `OSError` of writing *path* (full disk, read-only folder) into a `CortexError` that names it."""
    try:
        yield
    except OSError as error:
        raise CortexError(
            f"'{path}' cannot be written: {error.strerror or error}",
            hint=f"df -h '{path.parent}' && ls -ld '{path.parent}'",
            state="what was acknowledged before is kept; this write was not made",
        ) from error


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        view = memoryview(data)
        while view:  # a raw write may take only a part, above all when the disk is nearly full
            view = view[stream.write(view) :]
        os.fchmod(stream.fileno(), mode)  # the umask does not decide about keys and read-only objects
        os.fsync(stream.fileno())

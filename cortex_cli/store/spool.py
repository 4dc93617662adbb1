"""Lines that are durable before they have a place: small files that are written once and removed when settled.

Whoever appends at the same time shares one file, one `fsync` and so one wait. A file whose lines are all released
is removed; what is left after a kill is replayed by the next one to open the folder.
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cortex_cli.domain.errors import CortexError
from cortex_cli.store.atomic import fsync_folder, report_disk

__all__ = ["Spool"]

_NAME = re.compile(r"[0-9]{12}\.jsonl")


class Spool:
    """The spool in *folder*, which only its owner may read; safe for many threads, for one process at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with report_disk(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._waiting: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._next = 1 + max((int(path.stem) for path in self._paths()), default=0)
        self._group = _Group()
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    @property
    def size(self) -> int:
        """The number of bytes that are not released yet."""
        with self._lock:
            return sum(self._sizes.values())

    def replay(self) -> Iterator[tuple[str, bytes]]:
        """Yield what an earlier process left, as name of the file and line; to be called before anything is appended.

        A last line that is torn was never acknowledged, and is left out.
        """
        for path in self._paths():
            with report_disk(path):
                data = path.read_bytes()
            lines = data.split(b"\n")[:-1]
            self._note(path.name, len(lines), len(data))
            if not lines:
                self._remove(path.name)
            yield from ((path.name, line) for line in lines)

    def append(self, line: bytes) -> str:
        """Write *line*, which has no newline in it, and return the name of its file; durable when it returns.

        Raises `CortexError` when the disk refuses; then nothing of the line is left.
        """
        with self._lock:
            group = self._group
            group.lines.append(line)
        # While one thread writes, the next group gathers behind it; its first member in here writes all of it.
        with self._writing:
            if not group.name:
                self._write(group)
        if group.error is not None:
            raise group.error
        return group.name

    def release(self, name: str) -> None:
        """Settle one line of the file *name*; the file goes with the last one."""
        with self._lock:
            self._waiting[name] -= 1
            settled = self._waiting[name] == 0
        if settled:
            self._remove(name)

    def _write(self, group: "_Group") -> None:
        with self._lock:
            self._group = _Group()
            group.name = f"{self._next:012d}.jsonl"
            self._next += 1
        data = b"".join(line + b"\n" for line in group.lines)
        path = self._folder / group.name
        try:
            with report_disk(path):
                _write_synced(path, data)
        except CortexError as error:
            group.error = error
            with suppress(OSError):
                path.unlink()
            return
        self._note(group.name, len(group.lines), len(data))

    def _note(self, name: str, lines: int, size: int) -> None:
        with self._lock:
            self._waiting[name], self._sizes[name] = lines, size

    def _remove(self, name: str) -> None:
        path = self._folder / name
        # If the removal is undone by a power cut, the lines are replayed: whoever reads them knows them already.
        with report_disk(path):
            path.unlink(missing_ok=True)
        with self._lock:
            del self._waiting[name], self._sizes[name]

    def _paths(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))


class _Group:
    """Lines that are written together; *name* is that of their file once somebody has written it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.name = ""
        self.error: CortexError | None = None


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        view = memoryview(data)
        while view:  # a raw write may take only a part
            view = view[stream.write(view) :]
        os.fsync(stream.fileno())
    fsync_folder(path.parent)

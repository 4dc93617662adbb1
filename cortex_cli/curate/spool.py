"""A heap of bytes on disk without a name: what passes between the two passes of a curation, and nothing after it."""

import os
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from cortex_cli.domain.errors import IntegrityError
from cortex_cli.store.atomic import report_disk

__all__ = ["Spool"]


class Spool:
    """Bytes by their place, in a file under *folder* that has no name: a kill leaves nothing of it behind.

    What is in it is redacted text. It is never synced: it is not meant to outlive the process.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with report_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by the exit of this class
        self._size = 0

    def __enter__(self) -> Self:
        """Return the spool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, which removes it."""
        self._file.close()

    def add(self, data: bytes) -> int:
        """Append *data* and return where it begins."""
        start = self._size
        rest = memoryview(data)
        with report_disk(self._folder):
            while rest:  # a raw write may take only a part
                rest = rest[self._file.write(rest) :]
        self._size += len(data)
        return start

    def read(self, start: int, length: int) -> bytes:
        """Return *length* bytes from *start*; raise `IntegrityError` when they cannot be read back."""
        data = os.pread(self._file.fileno(), length, start)
        if len(data) != length:
            raise IntegrityError(
                f"temporary file under '{self._folder}' gave {len(data)} of {length} bytes back",
                hint="cortex doctor",
                state="no dataset version was made",
            )
        return data

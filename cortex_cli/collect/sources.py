"""Where records are read from: files, folders and standard input, plain or gzip, one line at a time."""

import gzip
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cortex_cli.domain.errors import UsageError

__all__ = ["Line", "Source", "expand_sources", "open_source", "read_lines"]

# A longer line is refused instead of held in memory; the longest prompts of today are a few MB.
MAX_LINE = 64 << 20
_GZIP = b"\x1f\x8b"
_SUFFIXES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")


class Line(NamedTuple):
    """A line by its number from 1: its bytes, or in *fault* the reason why there are none."""

    number: int
    data: bytes
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or standard input when *path* is None. *digest* is that of the file as it lies there.

    *name* is the file's own name without its folders, which may hold a user's name.
    """

    name: str
    path: Path | None
    digest: str


def expand_sources(names: Iterable[str]) -> list[Source]:
    """Return the sources that *names* stand for: "-", files, and folders with the logs below them, sorted.

    Raises `UsageError` for a name that is neither, before anything is read.
    """
    sources: list[Source] = []
    for name in names:
        if name == "-":
            sources.append(Source("stdin", None, ""))
        else:
            sources += [open_source(path) for path in _find_files(Path(name))]
    return sources


def open_source(path: Path) -> Source:
    """Return the file *path* as a source, with its digest."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"source '{path}' cannot be read: {error.strerror}", state="nothing was changed") from error
    return Source(path.name, path, "sha256:" + digest)


def read_lines(source: Source) -> Iterator[Line]:
    """Yield every line that is not blank; damage inside the file ends it with a line that names the fault."""
    with _open(source) as raw:
        packed = raw.peek(2)[:2] == _GZIP
        stream = gzip.GzipFile(fileobj=raw, mode="rb") if packed else raw
        number = 0
        try:
            for number, data in enumerate(_split(stream), 1):
                if len(data) > MAX_LINE:
                    yield Line(number, b"", "line_too_long")
                elif data.strip():
                    yield Line(number, data)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            yield Line(number + 1, b"", "damaged_gzip")


@contextmanager
def _open(source: Source) -> Iterator[io.BufferedReader]:
    if source.path is not None:
        with source.path.open("rb") as stream:
            yield stream
        return
    # A reader of our own that can look ahead; standard input itself stays open.
    reader: io.BufferedReader = io.BufferedReader(sys.stdin.buffer)  # type: ignore[arg-type]  # any binary stream will do
    try:
        yield reader
    finally:
        reader.detach()


def _split(stream: io.BufferedIOBase) -> Iterator[bytes]:
    while data := stream.readline(MAX_LINE + 1):
        if len(data) > MAX_LINE and not data.endswith(b"\n"):
            _skip_line(stream)
        yield data


def _skip_line(stream: io.BufferedIOBase) -> None:
    while rest := stream.readline(MAX_LINE):
        if rest.endswith(b"\n"):
            return


def _find_files(path: Path) -> list[Path]:
    if path.is_dir():
        # Links to folders are not followed: a loop of them would never end.
        found = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
        return sorted(file for file in found if file.name.endswith(_SUFFIXES) and file.is_file())
    if not path.exists():
        raise UsageError(
            f"source '{path}' does not exist",
            hint=f"ls -l '{path.parent}'",
            state="nothing was changed",
        )
    return [path]

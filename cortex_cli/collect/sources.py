"""Where records are read from: files, folders, patterns and standard input."""

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cortex_cli.domain.errors import UsageError

__all__ = ["Source", "expand_sources", "open_source", "stamp_source"]

# What is taken from a folder: logs, their rotated and packed forms, and databases. Plain `.log` files are text
# more often than JSON, so they are taken only when they are named.
_LOGS = re.compile(r"\.(?:jsonl|ndjson|json|db|sqlite3?)(?:\.\d{1,4}|[.-]\d{8})?(?:\.gz|\.zst)?\Z", re.IGNORECASE)
# Ours would be read back into itself; git's hold no logs.
_PASSED_OVER = {".cortex", ".git"}
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One file, or standard input when *path* is None; *digest* is that of the bytes that are read.

    *name* is the file's own name without its folders, which may hold a user's name. Reading begins at byte
    *start*, after line *line*, and ends before byte *end*, or with the file when that is None.
    """

    name: str
    path: Path | None
    digest: str = ""
    start: int = 0
    line: int = 0
    end: int | None = None


def expand_sources(names: Iterable[str]) -> list[Source]:
    """Return the sources that *names* stand for: "-", files, patterns, and folders with the logs below them, sorted.

    A file that is meant twice is there once. Raises `UsageError` for a name that is neither, before anything
    is read. A folder that cannot be listed is a source that cannot be read.
    """
    found: dict[str, Source] = {}
    for name in names:
        if name == "-":
            found["-"] = Source("stdin", None)
            continue
        for path in _find_files(name):
            found.setdefault(os.path.realpath(path), Source(path.name, path))
    return list(found.values())


def open_source(path: Path) -> Source:
    """Return the file *path* as a source, with its digest; raise `UsageError` when it cannot be read."""
    source = stamp_source(Source(path.name, path))
    if not source.digest:
        raise UsageError(f"source '{path}' cannot be read", hint=f"ls -l '{path}'", state="nothing was changed")
    return source


def stamp_source(source: Source) -> Source:
    """Return *source* with the digest of what is to be read of it.

    What is no regular file, or cannot be read, stays as it is: reading it tells why.
    """
    if source.path is None or not source.path.is_file():
        return source
    try:
        return replace(source, digest=_digest(source.path, source.start, source.end))
    except OSError:
        return source


def _digest(path: Path, start: int, end: int | None) -> str:
    hasher = hashlib.sha256()
    left = end - start if end is not None else None
    with path.open("rb") as stream:
        stream.seek(start)
        while data := stream.read(_CHUNK if left is None else min(_CHUNK, left)):
            hasher.update(data)
            left = left - len(data) if left is not None else None
    return "sha256:" + hasher.hexdigest()


def _find_files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return sorted(_walk(path))
    if path.exists():
        return [path]
    matches = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        what = "matches nothing" if glob.has_magic(name) else "does not exist"
        raise UsageError(f"source '{name}' {what}", hint=f"ls -l '{path.parent}'", state="nothing was changed")
    # `**` names folders too; what is in them it names as well.
    return [found for found in map(Path, matches) if not found.is_dir()]


def _walk(root: Path) -> Iterator[Path]:
    refused: list[OSError] = []
    # Links to folders are not followed: a loop of them would never end.
    for folder, folders, names in os.walk(root, onerror=refused.append):
        folders[:] = [name for name in folders if name not in _PASSED_OVER]
        paths = (Path(folder) / name for name in names if _LOGS.search(name))
        yield from (path for path in paths if path.is_file())
    # Reading it fails, and is reported with its reason.
    yield from (Path(error.filename) for error in refused if error.filename)

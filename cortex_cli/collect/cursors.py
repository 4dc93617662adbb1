"""How far a file has been read: what has not changed is passed over, what has grown is read on.

A cursor belongs to a file, not to its name, so that a log that is rotated away is known where it lies. It
holds no text and no path: names and samples are digests under the workspace key.
"""

import hashlib
import hmac
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from cortex_cli.collect.reading import Reading
from cortex_cli.collect.reports import Counts, add_counts
from cortex_cli.collect.sources import Source

__all__ = ["Cursor", "Cursors", "Look", "parse_cursor"]

# Of what was read, this much from its begin and its end is compared: another file is told by less.
_PROBE = 4096


class Cursor(msgspec.Struct, frozen=True):
    """A file of *size* bytes, *modified* then, of which *offset* bytes were read, which are *line* lines.

    *stamp* stands for the options of that reading, *begin* and *end* for the first and the last bytes that
    were read. *unended* is the reason for which its last line was refused because it has no end yet; *counts*
    includes it. A file whose lines do not *stand_alone* is read from its start.
    """

    stamp: str
    size: int
    modified: int
    offset: int
    line: int
    begin: str
    end: str
    stand_alone: bool
    unended: str
    counts: Counts


class Look(NamedTuple):
    """What is to be read of a source, or None when nothing changed, and what was counted in it before.

    *modified* is when the file was, in nanoseconds.
    """

    source: Source | None
    before: Counts | None = None
    modified: int = 0


@dataclass(frozen=True, slots=True)
class Cursors:
    """Makes and compares cursors for readings whose options are *stamp*, under the workspace *key*."""

    key: bytes
    stamp: str

    def name(self, source: Source) -> str:
        """Return the name of the cursor of *source*, or '' when it is no regular file."""
        found = _stat(source.path)
        if found is None:
            return ""
        return "collect-" + self._digest([f"{found.st_dev}:{found.st_ino}".encode()])[:24]

    def look(self, source: Source, cursor: Cursor | None) -> Look:
        """Compare *source* with its *cursor*; what is to be read ends where the file ends now, or before."""
        found = _stat(source.path)
        if found is None:
            return Look(source)
        modified = found.st_mtime_ns
        size = found.st_size if source.end is None else min(source.end, found.st_size)
        whole = replace(source, end=size)
        if cursor is None or cursor.stamp != self.stamp:
            return Look(whole, None, modified)
        if (cursor.size, cursor.modified) == (found.st_size, modified):
            return Look(None, cursor.counts, modified)
        if not cursor.stand_alone or size < cursor.offset or not self._same(source.path, cursor):
            return Look(whole, None, modified)
        if size == cursor.offset:
            return Look(None, cursor.counts, modified)
        before = cursor.counts.take_back(cursor.unended) if cursor.unended else cursor.counts
        return Look(replace(whole, start=cursor.offset, line=cursor.line), before, modified)

    def make(self, reading: Reading, modified: int, counts: Counts, before: Counts | None) -> Cursor:
        """Return the cursor of the file that *reading* has read to its end, when it was *modified* last."""
        source, offset = reading.source, reading.offset
        begin, end = self._probe(source.path, offset) if reading.stands_alone else ("", "")
        return Cursor(
            stamp=self.stamp,
            size=source.end or 0,
            modified=modified,
            offset=offset,
            line=reading.last_line,
            begin=begin,
            end=end,
            stand_alone=reading.stands_alone,
            unended=reading.unended,
            counts=add_counts([counts] if before is None else [before, counts]),
        )

    def _same(self, path: Path | None, cursor: Cursor) -> bool:
        return self._probe(path, cursor.offset) == (cursor.begin, cursor.end)

    def _probe(self, path: Path | None, offset: int) -> tuple[str, str]:
        if path is None:
            return "", ""
        size = min(offset, _PROBE)
        try:
            with path.open("rb") as stream:
                begin = stream.read(size)
                stream.seek(offset - size)
                return self._digest([begin]), self._digest([stream.read(size)])
        except OSError:
            return "", "unreadable"

    def _digest(self, parts: Iterable[bytes]) -> str:
        return hmac.new(self.key, b"cursor\0" + b"\0".join(parts), hashlib.sha256).hexdigest()


def parse_cursor(data: bytes | None) -> Cursor | None:
    """Return the cursor that *data* holds; None when there is none, or of another version."""
    try:
        return msgspec.json.decode(data, type=Cursor) if data else None
    except msgspec.DecodeError:
        return None


def _stat(path: Path | None) -> os.stat_result | None:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return found if found is not None and stat.S_ISREG(found.st_mode) else None

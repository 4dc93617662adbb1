"""Line after line of a source: what stands on one, or the value that stands for one in a document or a database."""

import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from cortex_cli.collect.documents import is_document, read_values
from cortex_cli.collect.sources import Source
from cortex_cli.collect.streams import SQLITE, Content, DamagedError, open_stream

__all__ = ["Line", "Lines", "read_lines"]

# A longer line is refused instead of held in memory; the longest prompts of today are a few MB.
MAX_LINE = 64 << 20
# Enough to see the first line of nearly every log.
_HEAD = 256 << 10
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line by its number from 1: its bytes, or in *fault* the reason why there are none.

    Of a database *value* is a row. *detail* says more about a fault.
    """

    number: int
    data: bytes
    fault: str = ""
    detail: str = ""
    value: dict[str, Any] | None = None


class Lines:
    """The lines of *source* that are not blank; iterate it once.

    The elements of a document count as its lines. Damage ends the lines with one that names the fault.
    *content* tells what the source is, and *whole* that it is read as a document. *offset* is the number of bytes
    that have been read where every line stands for itself, and *number* that of the last line.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.content: Content = "plain"
        self.whole = False
        self.offset = source.start
        self.number = source.line

    def __iter__(self) -> Iterator[Line]:
        """Yield line after line."""
        try:
            with open_stream(self.source) as (content, stream):
                self.content = content
                if content in {"sqlite", "utf16"}:
                    yield self._refuse(content, "")
                    return
                yield from self._read(stream)
        except DamagedError as error:
            yield self._refuse(error.reason, error.detail)
        except OSError as error:
            yield self._refuse("unreadable", error.strerror or type(error).__name__)

    def _read(self, stream: io.BufferedReader) -> Iterator[Line]:
        head = b"" if self.source.start else stream.peek(_HEAD)
        if head.startswith(SQLITE):
            raise DamagedError("packed_database", "a database is read where it lies: unpack it first")
        if head.startswith(_BOM):
            self.offset += len(stream.read(len(_BOM)))
            head = head[len(_BOM) :]
        self.whole = is_document(head.decode("utf-8", "replace"))
        if not self.whole:
            yield from self._split(stream)
            return
        for value in read_values(stream):
            self.number += 1
            yield Line(self.number, value)

    def _split(self, stream: io.BufferedReader) -> Iterator[Line]:
        while data := stream.readline(MAX_LINE + 1):
            self.number += 1
            self.offset += len(data)
            if len(data) > MAX_LINE:
                self.offset += 0 if data.endswith(b"\n") else _skip_line(stream)
                yield Line(self.number, b"", "line_too_long", f"it has more than {MAX_LINE >> 20} MiB")
            elif not data.isspace():
                yield Line(self.number, data)

    def _refuse(self, reason: str, detail: str) -> Line:
        return Line(self.number + 1, b"", reason, detail)


def read_lines(source: Source) -> Iterator[Line]:
    """Yield the lines of *source*, as `Lines` does."""
    return iter(Lines(source))


def _skip_line(stream: io.BufferedReader) -> int:
    size = 0
    while rest := stream.readline(MAX_LINE):
        size += len(rest)
        if rest.endswith(b"\n"):
            break
    return size

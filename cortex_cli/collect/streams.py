"""The bytes of a source: what they are by their first few, unpacked as they are read, never all at once."""

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from cortex_cli.collect.sources import Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["SQLITE", "Content", "DamagedError", "Stream", "open_stream"]

Content = Literal["plain", "gzip", "zstd", "sqlite", "utf16"]

SQLITE = b"SQLite format 3\0"
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BUFFER = 256 << 10
# A kilobyte of zstd unpacks to 32 MiB at most (measured on zeros), so no bomb fills the memory.
_PACKED = 1024
# What the zstd tool itself accepts without being told to: 128 MiB.
_WINDOW = 1 << 27


class DamagedError(Exception):
    """Report that what was to be read is damaged from here on; *reason* is a word to count by."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Stream(NamedTuple):
    """What a source holds, and its bytes, unpacked; of a database the file's own."""

    content: Content
    reader: io.BufferedReader


@contextmanager
def open_stream(source: Source) -> Iterator[Stream]:
    """Open *source* and look at its first bytes.

    Reading raises `DamagedError` where it is damaged, and `OSError` where it cannot be read.
    """
    with _open(source) as raw:
        content = "plain" if source.start else _tell(raw.peek(len(SQLITE))[: len(SQLITE)])
        if content == "gzip":
            yield Stream(content, io.BufferedReader(_Gzip(raw), _BUFFER))
        elif content == "zstd":
            yield Stream(content, io.BufferedReader(_Zstd(raw), _BUFFER))
        else:
            yield Stream(content, raw)


def _tell(head: bytes) -> Content:
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD):
        return "zstd"
    if head == SQLITE:
        return "sqlite"
    # Without a mark, every other byte of UTF-16 is zero as long as it is ASCII, and JSON begins so.
    bare = len(head) > 1 and (head[0] == 0) != (head[1] == 0)
    return "utf16" if head.startswith(_UTF16) or bare else "plain"


@contextmanager
def _open(source: Source) -> Iterator[io.BufferedReader]:
    if source.path is None:
        # A reader of our own that can look ahead; standard input itself stays open.
        reader: io.BufferedReader = io.BufferedReader(sys.stdin.buffer, _BUFFER)  # type: ignore[arg-type]  # any binary stream will do
        try:
            yield reader
        finally:
            reader.detach()
        return
    with source.path.open("rb", buffering=0) as raw:
        if source.start:
            raw.seek(source.start)
        left = None if source.end is None else source.end - source.start
        yield io.BufferedReader(raw if left is None else _Span(raw, left), _BUFFER)


class _Raw(io.RawIOBase):
    """A raw stream over another one."""

    def readable(self) -> bool:
        return True


class _Span(_Raw):
    """The next *left* bytes of *raw*: what is appended meanwhile belongs to the next reading."""

    def __init__(self, raw: IO[bytes], left: int) -> None:
        self._raw = raw
        self._left = left

    def readinto(self, buffer: "WriteableBuffer") -> int:
        data = self._raw.read(min(len(memoryview(buffer)), self._left)) or b""
        self._left -= len(data)
        memoryview(buffer)[: len(data)] = data
        return len(data)


class _Gzip(_Raw):
    """Unpacked gzip, of one or several members."""

    def __init__(self, raw: io.BufferedReader) -> None:
        self._file = gzip.GzipFile(fileobj=raw, mode="rb")

    def readinto(self, buffer: "WriteableBuffer") -> int:
        try:
            return self._file.readinto1(buffer)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DamagedError("damaged_gzip", str(error)) from error


class _Zstd(_Raw):
    """Unpacked zstd, of one or several frames."""

    def __init__(self, raw: io.BufferedReader) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._frame: Any = None
        self._raw = raw
        self._packed = b""
        self._unpacked = memoryview(b"")

    def readinto(self, buffer: "WriteableBuffer") -> int:
        while not self._unpacked and self._unpack():
            pass
        taken = self._unpacked[: len(memoryview(buffer))]
        self._unpacked = self._unpacked[len(taken) :]
        memoryview(buffer)[: len(taken)] = taken
        return len(taken)

    def _unpack(self) -> bool:
        self._packed = self._packed or self._raw.read(_PACKED)
        if not self._packed:
            if self._frame is not None:
                raise DamagedError("damaged_zstd", "the last frame is not complete")
            return False
        self._frame = self._frame or self._decompressor.decompressobj()
        try:
            self._unpacked = memoryview(self._frame.decompress(self._packed))
        except self._error as error:
            raise DamagedError("damaged_zstd", str(error)) from error
        self._packed = self._frame.unused_data if self._frame.eof else b""
        self._frame = None if self._frame.eof else self._frame
        return True

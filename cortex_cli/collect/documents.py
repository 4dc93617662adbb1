"""JSON documents: one value over many lines, a list, or a list in an envelope, taken apart value by value.

The standard library finds where a value ends, and nothing else: its text is decoded like a line, by the
stricter decoder. So one bad value of a list loses itself only, a torn list keeps what came before, and
memory holds one value, not the document.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator

import msgspec

from cortex_cli.collect.streams import DamagedError

__all__ = ["is_document", "read_values"]

# A larger value is refused instead of held in memory.
MAX_VALUE = 64 << 20
_CHUNK = 1 << 20
_BLANK = " \t\r\n"
# Under these words a reply or an export holds its list; beside them only what these others say of it.
_LISTS = ("data", "traces", "items", "results", "records", "logs")
_ABOUT = (
    "object", "meta", "metadata", "pagination", "has_more", "first_id", "last_id", "next_page_token", "nextPageToken",
    "next_cursor", "cursor", "next", "previous", "total", "totalItems", "total_count", "count", "page", "limit",
    "size", "version", "status", "success", "exported_at",
)  # fmt: skip
_ENVELOPE = re.compile(
    rf'\s*\{{\s*(?:"(?:{"|".join(_ABOUT)})"\s*:\s*(?:"[^"\\]*"|[-+.\deE]+|true|false|null|\{{[^{{}}]*\}})\s*,\s*)*'
    rf'"(?:{"|".join(_LISTS)})"\s*:\s*\[\s*[{{\]]'
)
_BROKEN = ("{", "[", ",")


def is_document(head: str) -> bool:
    """Tell from its beginning whether a text is a document rather than a value per line."""
    head = head.lstrip(_BLANK)
    if head.startswith("["):
        return True
    if not head.startswith("{") or _ENVELOPE.match(head):
        return head.startswith("{")
    first, newline, rest = head.partition("\n")
    # Printed over several lines, it breaks after one of these; a torn line is followed by the next value.
    broken = first.rstrip().endswith(_BROKEN) and not rest.startswith("{")
    return bool(newline) and broken and not _is_whole(first)


def read_values(stream: io.BufferedIOBase) -> Iterator[bytes]:
    """Yield the text of each value; raise `DamagedError` where the next one cannot be found."""
    text = _Text(stream)
    while start := text.peek():
        if start == "[":
            yield from _read_list(text)
        elif start == "{":
            yield from _read_object(text)
        else:
            yield text.take_value()
        text.mark()


def _is_whole(line: str) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


class _Text:
    """The text of a document, of which only what has been read since `mark` is kept."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        # Bytes that are not UTF-8 come out as they went in: the value they are in is refused, not the document.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._scan = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
        self._text = ""
        self._at = 0
        self._mark = 0
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is not blank, or '' at the end."""
        while True:
            rest = len(self._text)
            while self._at < rest and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < rest or not self._fill():
                return self._text[self._at : self._at + 1]

    def take(self, expected: str) -> str:
        """Take the next character, which must be in *expected*."""
        found = self.peek()
        if not found:
            raise DamagedError("torn_document", "the document ends inside a value")
        if found not in expected:
            raise DamagedError("not_json", f"{found!r} where one of {' '.join(expected)} is expected")
        self._at += 1
        return found

    def take_value(self) -> bytes:
        """Take the next value and return its text."""
        self.peek()
        end = self._find_end()  # reading on moves the text, so where it starts is asked afterwards
        value = self._text[self._at : end]
        self._at = end
        return value.encode("utf-8", "surrogateescape")

    def look_at_list(self) -> bool:
        """Tell whether a list of objects, or an empty one, is next."""
        if self.peek() != "[":
            return False
        while re.fullmatch(rf"\[[{_BLANK}]*", self._text[self._at : self._at + 64]) and self._fill():
            pass
        return re.match(rf"\[[{_BLANK}]*[{{\]]", self._text[self._at : self._at + 64]) is not None

    def mark(self) -> None:
        """Let go of what has been read; `go_back` comes back here."""
        self._mark = self._at

    def go_back(self) -> None:
        """Read again from the mark."""
        self._at = self._mark

    def _find_end(self) -> int:
        while True:
            try:
                end = self._scan(self._text, self._at)[1]
            except RecursionError as error:
                raise DamagedError("too_deep", "a value is nested too deeply") from error
            except ValueError as error:
                if not self._fill():
                    raise self._judge(error) from error
                continue
            # A number may go on in what is not read yet.
            if end < len(self._text) or not self._fill():
                return end

    def _judge(self, error: ValueError) -> DamagedError:
        torn = getattr(error, "pos", 0) >= len(self._text.rstrip()) or "Unterminated" in str(error)
        return DamagedError("torn_document" if torn else "not_json", str(error))

    def _fill(self) -> bool:
        if self._ended:
            return False
        if len(self._text) - self._at > MAX_VALUE:
            raise DamagedError("document_too_large", f"a value of the document has more than {MAX_VALUE >> 20} MiB")
        kept = self._text[self._mark :]
        # Twice as much each time, so that scanning a long value again and again stays linear.
        data = self._stream.read(max(_CHUNK, len(kept)))
        self._ended = not data
        self._at, self._mark = self._at - self._mark, 0
        self._text = kept + self._decode(data, final=self._ended)
        return True


def _read_list(text: _Text) -> Iterator[bytes]:
    text.take("[")
    text.mark()
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.take_value()
        text.mark()
        if text.take(",]") == "]":
            return


def _read_object(text: _Text) -> Iterator[bytes]:
    text.mark()
    text.take("{")
    while text.peek() == '"':
        key = text.take_value().strip(b'"').decode("utf-8", "replace")
        text.take(":")
        if key in _LISTS and text.look_at_list():
            yield from _read_list(text)
            _skip_members(text)
            return
        if key not in _ABOUT:
            break
        text.take_value()
        if text.take(",}") == "}":
            break
    text.go_back()
    yield text.take_value()


def _skip_members(text: _Text) -> None:
    # What an envelope says after its list, such as where the next page is.
    while text.take(",}") == ",":
        text.take_value()
        text.take(":")
        text.take_value()

"""Reading one source: recognise its format, then turn line after line into records or reasons."""

import difflib
import importlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import msgspec

from cortex_cli.collect.records import BadRecordError, Format, Parser, Place, Quarantined, Record
from cortex_cli.collect.sources import Line, Source, read_lines
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Origin

__all__ = ["FORMATS", "UNKNOWN_FORMAT", "Reading", "find_format", "load_format", "read_records"]

# Name -> module under `formats`. The order is that of asking: a format with more telling fields comes first.
FORMATS = {
    "nl2bash-judged": "nl2bash",
    "outcomes": "outcomes",
    "cortex": "cortex",
    "openai-chat": "openai_chat",
}
# The reason under which lines of a source in no known format are counted.
UNKNOWN_FORMAT = "unknown_format"
# Lines that are looked at for a format: the first may be torn, or of a producer's own kind.
_SAMPLE = 20
_DECODER = msgspec.json.Decoder()
_DETAIL = 200


class Reading:
    """One pass over *source*, in *format* or in the one that its first lines show; iterate it once.

    *agent* is given to records that name none. While it is iterated, `format` and `lines` tell what
    was found; every line gives either records or one `Quarantined`. Of a source in no known format
    every line is quarantined, so that one foreign file does not stop a folder.
    """

    def __init__(self, source: Source, *, format: str = "", agent: str = "") -> None:  # noqa: A002 - the word of the command line and of every message
        self.source = source
        self.format = format
        self.lines = 0
        self._agent = agent

    def __iter__(self) -> Iterator[Record | Quarantined]:
        """Yield every record, and what is none with its reason."""
        lines = read_lines(self.source)
        sample = list(islice(lines, _SAMPLE))
        if not sample:
            return
        chosen = load_format(self.format) if self.format else find_format(sample)
        parser = chosen.start() if chosen else _NoFormat()
        self.format = chosen.name if chosen else ""
        for line in chain(sample, lines):
            self.lines += 1
            yield from self._read(parser, line)
        yield from parser.finish()

    def _read(self, parser: Parser, line: Line) -> Iterator[Record | Quarantined]:
        origin = Origin(self.source.name, line.number, self.source.digest)
        try:
            # A list, not a generator: of a bad line nothing is given, not its first half.
            yield from list(parser.read(_decode(line), Place(origin, self._agent)))
        except BadRecordError as error:
            yield Quarantined(error.reason, error.detail[:_DETAIL], origin)


def read_records(source: Source, *, format: str = "", agent: str = "") -> Iterator[Record | Quarantined]:  # noqa: A002 - as in Reading
    """Yield the records of *source* and what could not be one, as `Reading` does."""
    return iter(Reading(source, format=format, agent=agent))


def load_format(name: str) -> Format:
    """Return the format called *name*; raise `UsageError` with a suggestion when there is none."""
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        suggestion = f", did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"format {name!r} is not known{suggestion} Known: {', '.join(sorted(FORMATS))}", state="nothing was changed"
        )
    loaded: Format = importlib.import_module(f"cortex_cli.collect.formats.{FORMATS[name]}").FORMAT
    return loaded


def find_format(sample: list[Line]) -> Format | None:
    """Return the first format that recognises a line of *sample*, or None."""
    formats = [load_format(known) for known in FORMATS]
    for line in sample:
        try:
            value = _decode(line)
        except BadRecordError:
            continue
        for candidate in formats:
            if candidate.recognises(value):
                return candidate
    return None


class _NoFormat:
    """The parser of a source that no format recognises."""

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record]:  # noqa: ARG002 - the protocol passes it
        raise BadRecordError(UNKNOWN_FORMAT, f"an object with the fields {', '.join(sorted(value)[:8])}")

    def finish(self) -> Iterable[Record]:
        return ()


def _decode(line: Line) -> dict[str, Any]:
    if line.fault:
        raise BadRecordError(line.fault, "the line cannot be read")
    try:
        value = _DECODER.decode(line.data)
    except UnicodeDecodeError as error:
        raise BadRecordError("not_utf8", str(error)) from error
    except RecursionError as error:
        raise BadRecordError("too_deep", "the value is nested too deeply") from error
    except msgspec.DecodeError as error:
        torn = not line.data.endswith(b"\n") and "truncated" in str(error)
        raise BadRecordError("torn_line" if torn else "not_json", str(error)) from error
    if not isinstance(value, dict):
        raise BadRecordError("not_an_object", f"the line is a {type(value).__name__}, expected an object")
    return value

"""Reading one source: recognise its format, then turn line after line into records or reasons."""

import difflib
import importlib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.databases import find_rows
from cortex_cli.collect.lines import Line, Lines
from cortex_cli.collect.records import BadRecordError, Format, Parser, Place, Quarantined, Record, Skipped
from cortex_cli.collect.sources import Source
from cortex_cli.collect.streams import DamagedError
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Origin

__all__ = ["FORMATS", "UNKNOWN_FORMAT", "Joint", "Late", "Reading", "find_format", "load_format", "read_records"]

# Name -> module under `formats`. The order is that of asking: a format with more telling fields comes first.
FORMATS = {
    "nl2bash-judged": "nl2bash",
    "otel": "otel",
    "openinference": "openinference",
    "mlflow": "mlflow",
    "langfuse": "langfuse",
    "litellm": "litellm",
    "tensorzero": "tensorzero",
    "llm": "llm",
    "claude-code": "claude_code",
    "codex": "codex",
    "routing": "routing",
    "outcomes": "outcomes",
    "cortex": "cortex",
    "openai-batch": "openai_batch",
    "openai-responses": "openai_responses",
    "preference": "preference",
    "openai-chat": "openai_chat",
    "trl": "trl",
    "sharegpt": "sharegpt",
    "alpaca": "alpaca",
}
# The reason under which lines of a source in no known format are counted.
UNKNOWN_FORMAT = "unknown_format"
# Lines that are looked at for a format: the first may be torn, or of a producer's own kind.
_SAMPLE = 20
_DECODER = msgspec.json.Decoder()
_DETAIL = 200
_FAULTS = {
    "utf16": "the text is UTF-16; JSON is UTF-8: iconv -f UTF-16 -t UTF-8",
    "sqlite": "no format knows the tables of this database",
}
_Found = Record | Skipped | Quarantined


class Late(NamedTuple):
    """What came when all sources were read, and whether it refuses a line that *waited* for others until then."""

    format: str
    item: Record | Quarantined
    waited: bool


class Joint:
    """Parsers that several readings share, for formats whose values belong together over more than one source."""

    def __init__(self) -> None:
        self._parsers: dict[str, Parser] = {}
        self._readings: list[Reading] = []

    def share(self, chosen: Format, reading: "Reading") -> Parser:
        """Return the parser of format *chosen*, which *reading* uses too."""
        self._readings.append(reading)
        return self._parsers.setdefault(chosen.name, chosen.start())

    def finish(self) -> Iterator[Late]:
        """Yield what the parsers held back until all sources were read."""
        for name, parser in self._parsers.items():
            for item in parser.finish():
                yield Late(name, item, isinstance(item, Quarantined) and self._refuse(item.origin))

    def _refuse(self, origin: Origin) -> bool:
        at = (origin.source, origin.digest)
        found = (each for each in self._readings if (each.source.name, each.source.digest) == at)
        return any(reading.refuse_joined(origin.line) for reading in found)


class Reading:
    """One pass over *source*, in *format* or in those that its lines show; iterate it once.

    *agent* is given to records that name none. A line that the format of the first lines does not know, and
    another one does, is read by that one; a format that was given is kept to. Of a source in no known format
    every line is quarantined, so that one foreign file does not stop a folder.

    Every line counts once: it *gave* records, or was *refused* with `Quarantined`, or is in *skipped* by its
    reason, or was *joined* to a record that another line gives. *current* is the format of the latest item;
    *offset* and *stands_alone* tell where another reading can go on when the source has grown, and *unended*
    why a last line without an end was refused, which that reading begins with.
    """

    def __init__(self, source: Source, *, format: str = "", agent: str = "", joint: Joint | None = None) -> None:  # noqa: A002 - the word of the command line and of every message
        self.source = source
        self.format = self.current = format
        self.lines = self.gave = self.refused = self.joined = 0
        self.skipped: Counter[str] = Counter()
        self.unended = ""
        self._agent = agent
        self._joint = joint
        self._forced = bool(format)
        self._lines = Lines(source)
        self._tail = 0
        self._chosen: Format | None = None
        self._used: dict[str, tuple[Format, Parser]] = {}
        self._waiting: set[int] = set()

    def __iter__(self) -> Iterator[Record | Quarantined]:
        """Yield every record, and what is none with its reason."""
        try:
            yield from self._read_all()
        except DamagedError as error:
            self.lines += 1
            self.refused += 1
            yield Quarantined(error.reason, error.detail[:_DETAIL], self._origin(self.lines))
        for name, (chosen, parser) in self._used.items():
            if not self._shares(chosen):
                self.current = name
                yield from self._finish(parser)

    @property
    def stands_alone(self) -> bool:
        """Tell whether every line that was read stands for itself, so that new ones can be read without the old."""
        plain = self._lines.content == "plain" and not self._lines.whole and self._chosen is not None
        return plain and not any(chosen.joins or chosen.together for chosen, _ in self._used.values())

    @property
    def offset(self) -> int:
        """Return up to which byte the lines are complete."""
        return self._lines.offset - self._tail

    @property
    def last_line(self) -> int:
        """Return the number of the last complete line."""
        return self._lines.number - bool(self.unended)

    @property
    def is_shared(self) -> bool:
        """Tell whether some of the source waits for other sources."""
        return any(self._shares(chosen) for chosen, _ in self._used.values())

    def refuse_joined(self, line: int) -> bool:
        """Count *line* as refused if it waited for others, and tell whether it did."""
        if line not in self._waiting:
            return False
        self._waiting.discard(line)
        self.joined -= 1
        self.refused += 1
        return True

    def _read_all(self) -> Iterator[Record | Quarantined]:
        lines = self._open()
        sample = list(islice(lines, _SAMPLE))
        self._choose(sample)
        decode = self._chosen.decode_line if self._chosen else None
        for line in chain(sample, lines):
            self.lines += 1
            place = Place(self._origin(line.number), self._agent)
            record = decode(line.data, place) if decode and line.data else None
            if record is None:
                yield from self._read_line(line, place)
                continue
            self.gave += 1
            yield record

    def _open(self) -> Iterator[Line]:
        lines = iter(self._lines)
        first = next(lines, None)
        path = self.source.path
        if first is None or first.fault != "sqlite" or path is None:
            return chain([] if first is None else [first], lines)
        rows = find_rows(path, [load_format(name) for name in ([self.format] if self._forced else FORMATS)])
        if rows is None:
            return iter([first])
        self._use(rows.format)
        return (Line(number, b"", value=value) for number, value in enumerate(rows.values, 1))

    def _choose(self, sample: list[Line]) -> None:
        if self._chosen is None and sample:
            chosen = load_format(self.format) if self._forced else find_format(sample)
            if chosen is not None:
                self._use(chosen)

    def _use(self, chosen: Format) -> None:
        self._chosen = chosen
        self.format = self.current = chosen.name

    def _read_line(self, line: Line, place: Place) -> Iterator[Record | Quarantined]:
        self.current = self.format
        try:
            found = self._parse(self._decode(line), place)
        except BadRecordError as error:
            self.refused += 1
            yield Quarantined(error.reason, error.detail[:_DETAIL], place.origin)
            return
        self._count(found, line.number)
        yield from (item for item in found if not isinstance(item, Skipped))

    def _decode(self, line: Line) -> dict[str, Any]:
        try:
            return _decode(line)
        except BadRecordError as error:
            # The line may still be being written: another reading begins with it.
            whole = self._lines.whole or self._lines.content != "plain"
            if line.data and not line.data.endswith(b"\n") and not whole:
                self._tail, self.unended = len(line.data), error.reason
            raise

    def _parse(self, value: dict[str, Any], place: Place) -> list[_Found]:
        try:
            # A list, not a generator: of a bad line nothing is given, not its first half.
            found = list(self._parser(self._chosen).read(value, place))
            refusal = None
        except BadRecordError as error:
            found, refusal = [], error
        except RecursionError:
            found, refusal = [], BadRecordError("too_deep", "the value is nested too deeply")
        if refusal is None and not (found and isinstance(found[0], Skipped)):
            return found
        other = self._find_other(value)
        if other is not None:
            self.current = other.name
            return list(self._parser(other).read(value, place))
        if refusal is not None:
            raise refusal
        return found

    def _find_other(self, value: dict[str, Any]) -> Format | None:
        if self._forced or (self._chosen is not None and self._chosen.recognises(value)):
            return None
        return _recognise(value)

    def _parser(self, chosen: Format | None) -> Parser:
        if chosen is None:
            return _NoFormat()
        if chosen.name not in self._used:
            shared = self._joint.share(chosen, self) if self._joint and chosen.together else None
            self._used[chosen.name] = (chosen, shared or chosen.start())
        return self._used[chosen.name][1]

    def _shares(self, chosen: Format) -> bool:
        return self._joint is not None and chosen.together

    def _count(self, found: list[_Found], line: int) -> None:
        if not found:
            self.joined += 1
            self._waiting.add(line)
        elif any(isinstance(item, Record) for item in found):
            self.gave += 1
        elif any(isinstance(item, Quarantined) for item in found):
            self.refused += 1
        else:
            self.skipped.update(item.reason for item in found[:1] if isinstance(item, Skipped))

    def _finish(self, parser: Parser) -> Iterator[Record | Quarantined]:
        for item in parser.finish():
            if isinstance(item, Quarantined):
                self.refuse_joined(item.origin.line)
            yield item

    def _origin(self, line: int) -> Origin:
        return Origin(self.source.name, line, self.source.digest)


def read_records(source: Source, *, format: str = "", agent: str = "") -> Iterator[Record | Quarantined]:  # noqa: A002 - as in Reading
    """Yield the records of *source* and what could not be one, as `Reading` does."""
    return iter(Reading(source, format=format, agent=agent))


def load_format(name: str) -> Format:
    """Return the format called *name*; raise `UsageError` with a suggestion when there is none."""
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        suggestion = f", did you mean {near[0]!r}?" if near else "."
        raise UsageError(
            f"format {name!r} is not known{suggestion} Known: {', '.join(sorted(FORMATS))}", state="nothing was changed"
        )
    loaded: Format = importlib.import_module(f"cortex_cli.collect.formats.{FORMATS[name]}").FORMAT
    return loaded


def find_format(sample: list[Line]) -> Format | None:
    """Return the first format that recognises a line of *sample*, or None."""
    for line in sample:
        try:
            found = _recognise(_decode(line))
        except BadRecordError:
            continue
        if found is not None:
            return found
    return None


def _recognise(value: dict[str, Any]) -> Format | None:
    return next((known for known in _all_formats() if known.recognises(value)), None)


@cache
def _all_formats() -> tuple[Format, ...]:
    return tuple(map(load_format, FORMATS))


class _NoFormat:
    """The parser of a source that no format recognises."""

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record]:  # noqa: ARG002 - the protocol passes it
        fields = ", ".join(sorted(value)[:8])
        raise BadRecordError(UNKNOWN_FORMAT, f"an object with the fields {fields}")

    def finish(self) -> Iterable[Record]:
        return ()


def _decode(line: Line) -> dict[str, Any]:
    if line.fault:
        raise BadRecordError(line.fault, line.detail or _FAULTS.get(line.fault, "the line cannot be read"))
    if line.value is not None:
        return line.value
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

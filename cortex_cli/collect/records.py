"""What a format is, what it gives, and how its parts become fields of a record."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin, feedback_id, interaction_id
from cortex_cli.domain.names import check_name
from cortex_cli.store.clock import rfc3339

__all__ = [
    "MOST",
    "BadRecordError",
    "EachRecord",
    "Format",
    "Parser",
    "Place",
    "Quarantined",
    "Record",
    "Skipped",
    "identify",
    "identify_feedback",
    "parse_messages",
    "parse_time",
    "pick_agent",
    "pick_first",
    "render_calls",
    "render_json",
    "typed",
]

Record = Interaction | Feedback
_Role = Literal["system", "user", "assistant", "tool"]
_ROLES: dict[Any, _Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
# Larger whole numbers are no counts, and a float or a column of a database cannot hold them.
MOST = 1 << 53


class Skipped(NamedTuple):
    """A line that is sound and holds nothing to keep, such as an event for a screen: *reason* is a word to count by."""

    reason: str


class Quarantined(NamedTuple):
    """A line that is no record: why (a word to count by), what was found, and where it stands."""

    reason: str
    detail: str
    origin: Origin


class Place(NamedTuple):
    """Where a value was read, and the agent to give to records that name none."""

    origin: Origin
    agent: str


class BadRecordError(Exception):
    """Report that a value is no record of its format; caught where the values are read, never shown."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Parser(Protocol):
    """One reading of one source: state lives here, so that a format may join or count lines."""

    def read(self, value: dict[str, Any], place: Place) -> "Iterable[Record | Skipped | Quarantined]":
        """Return the records of *value*; raise `BadRecordError` when there are none in it.

        Nothing at all means that the value was joined: it is part of a record that comes later. One `Skipped`
        means that it holds nothing to keep. A value that carries several records gives what is sound, and a
        `Quarantined` for each that is not.
        """
        ...

    def finish(self) -> "Iterable[Record | Quarantined]":
        """Return the records that were held back until the source ended, and what can never become one."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format by name: *recognises* looks at one value, *start* begins a reading.

    *joins* says that values of one source belong together, so that a source that has grown is read again from
    its start. *together* says that values of several sources belong together too, as an input and an output
    file do: sources of such a format that are given at once share one parser, which finishes after the last.
    *read_database* yields the values of a SQLite file as JSON objects, for formats that are one.

    *decode_line* is a fast way past `start`: the bytes of one line and its place in, the finished record out, the
    same one that the parser would give. It answers None for whatever it does not take, a bad line included, and
    never raises; the line then goes the ordinary way, which tells the reason. A format that joins has none.
    """

    name: str
    summary: str
    recognises: Callable[[dict[str, Any]], bool]
    start: Callable[[], Parser]
    joins: bool = False
    read_database: Callable[[Path], Iterator[dict[str, Any]]] | None = None
    together: bool = False
    decode_line: "Callable[[bytes, Place], Record | None] | None" = None


class EachRecord:
    """A parser for formats in which every line stands alone."""

    def __init__(self, parse: "Callable[[dict[str, Any], Place], Iterable[Record | Skipped | Quarantined]]") -> None:
        self._parse = parse

    def read(self, value: dict[str, Any], place: Place) -> "Iterable[Record | Skipped | Quarantined]":
        """Return the records of *value*."""
        return self._parse(value, place)

    def finish(self) -> Iterable[Record]:
        """Return nothing: no line waits for another."""
        return ()


def identify(record: Interaction) -> Interaction:
    """Return *record* with the id that its content decides."""
    return msgspec.structs.replace(record, id=interaction_id(record))


def identify_feedback(record: Feedback) -> Feedback:
    """Return the judgement *record* with the id that its content decides."""
    return msgspec.structs.replace(record, id=feedback_id(record))


def pick_agent(value: dict[str, Any], place: Place, *keys: str) -> str:
    """Return the agent that *value* names under the first of *keys* present, or the one given for all."""
    named = next((value[key] for key in keys if value.get(key)), place.agent)
    if not isinstance(named, str) or not named:
        raise BadRecordError("no_agent", "the record names no agent; give one with --agent")
    try:
        return check_name("agent", named)
    except UsageError as error:
        raise BadRecordError("bad_agent", error.message) from error


def parse_messages(values: Any) -> tuple[Message, ...]:
    """Turn a list of OpenAI-style messages into ours: text parts are joined, tool calls become JSON text.

    A tool's answer gets the name of the function whose call it answers, which is all that is kept of a call's id.
    """
    if not isinstance(values, list):
        raise BadRecordError("bad_messages", f"messages are a {type(values).__name__}, expected a list")
    names: dict[str, str] = {}
    return tuple(_parse_message(value, number, names) for number, value in enumerate(values))


def parse_time(value: Any) -> str:
    """Render a moment given as RFC 3339 text or as seconds, milli-, micro- or nanoseconds since 1970; '' for None."""
    if value is None or value == "":
        return ""
    try:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        return rfc3339(_from_epoch(float(value)) if numeric else datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise BadRecordError("bad_time", f"{str(value)[:80]!r} is no moment of time") from error


def pick_first(value: dict[str, Any], keys: Iterable[str]) -> Any:
    """Return what *value* holds under the first of *keys* that is not None, or None."""
    return next((value[key] for key in keys if value.get(key) is not None), None)


def render_calls(calls: Any, where: str) -> str:
    """Return tool calls as JSON text in the form of OpenAI, whose arguments are JSON text too; '' for none."""
    return render_json([_normal_call(call) for call in typed(calls, list[dict[str, Any]], where) or []])


def render_json(value: Any) -> str:
    """Return *value* as canonical JSON text, '' for None or an empty list; text stays as it is."""
    if isinstance(value, str):
        return value
    try:
        return canonical_json(value).decode() if value else ""
    except (RecursionError, TypeError, ValueError) as error:
        raise BadRecordError("not_json", f"a value cannot be written as JSON: {error}") from error


def typed(value: Any, kind: Any, name: str) -> Any:
    """Return *value* as *kind*, or None when it is None; raise `BadRecordError` naming the field *name*.

    A number that is not finite, or a whole one beyond 2**53, is no measurement and refused too.
    """
    if value is None:
        return None
    try:
        found = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadRecordError("wrong_type", f"{name}: {error}") from error
    except RecursionError as error:
        raise BadRecordError("too_deep", f"{name} is nested too deeply") from error
    if isinstance(found, int | float) and not abs(found) <= MOST:
        raise BadRecordError("bad_number", f"{name} is {str(found)[:80]}")
    return found


def _parse_message(value: Any, number: int, names: dict[str, str]) -> Message:
    if not isinstance(value, dict):
        raise BadRecordError("bad_messages", f"message {number} is a {type(value).__name__}, expected an object")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadRecordError("bad_messages", f"message {number} has the role {str(role)[:80]!r}")
    calls = _find_calls(value, f"message {number} tool_calls")
    names.update(_name_calls(calls))
    told = typed(value.get("name"), str, f"message {number} name")
    answered = value.get("tool_call_id")
    return Message(
        role=_ROLES[role],
        content=_parse_content(value, number),
        name=told or (names.get(answered, "") if isinstance(answered, str) else ""),
        tool_calls=render_calls(calls, f"message {number} tool_calls"),
    )


def _find_calls(value: dict[str, Any], where: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = typed(value.get("tool_calls"), list[dict[str, Any]], where) or []
    # The form before tool calls: one function, and no id.
    old = typed(value.get("function_call"), dict[str, Any], where)
    return [*found, {"type": "function", "function": old}] if old else found


def _name_calls(calls: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for call in calls:
        function = call.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(call.get("id"), str) and isinstance(name, str):
            yield call["id"], name


def _normal_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or isinstance(function.get("arguments"), str):
        return call
    # TRL and many chat templates hold arguments as an object.
    return {**call, "function": {**function, "arguments": render_json(function.get("arguments")) or "{}"}}


def _parse_content(value: dict[str, Any], number: int) -> str:
    content = value.get("content")
    if content is None or content == "":
        return typed(value.get("refusal"), str, f"message {number} refusal") or ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRecordError("bad_messages", f"message {number} has content of type {type(content).__name__}")
    return "".join(_parse_part(part, number) for part in content)


def _parse_part(part: Any, number: int) -> str:
    if isinstance(part, str):
        return part
    text = pick_first(part, ("text", "refusal")) if isinstance(part, dict) else None
    if isinstance(text, str):
        return text
    # Half of a question would be learned as the whole: an image cannot be left out silently.
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise BadRecordError("unsupported_content", f"message {number} has a part of type {str(kind)[:80]!r}")


def _from_epoch(number: float) -> datetime:
    # 1e11 s is the year 5138, 1e11 ms is 1973: the magnitude tells the unit of any moment since then.
    scale = next((scale for bound, scale in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)) if abs(number) < bound), 1e9)
    if not math.isfinite(number):
        raise ValueError
    return datetime.fromtimestamp(number / scale, UTC)

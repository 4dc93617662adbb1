"""What a format is, what it gives, and how its parts become fields of a record."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin, feedback_id, interaction_id
from cortex_cli.domain.names import check_name
from cortex_cli.store.clock import rfc3339

__all__ = [
    "BadRecordError",
    "EachRecord",
    "Format",
    "Parser",
    "Place",
    "Quarantined",
    "Record",
    "identify",
    "identify_feedback",
    "parse_messages",
    "parse_time",
    "pick_agent",
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

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record]:
        """Return the records of *value*; raise `BadRecordError` when there are none in it."""
        ...

    def finish(self) -> Iterable[Record]:
        """Return the records that were held back until the source ended."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format by name: *recognises* looks at one value, *start* begins a reading."""

    name: str
    summary: str
    recognises: Callable[[dict[str, Any]], bool]
    start: Callable[[], Parser]


class EachRecord:
    """A parser for formats in which every line stands alone."""

    def __init__(self, parse: Callable[[dict[str, Any], Place], Iterable[Record]]) -> None:
        self._parse = parse

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record]:
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
    """Turn a list of OpenAI-style messages into ours: text parts are joined, tool calls become JSON text."""
    if not isinstance(values, list):
        raise BadRecordError("bad_messages", f"messages are a {type(values).__name__}, expected a list")
    return tuple(_parse_message(value, number) for number, value in enumerate(values))


def parse_time(value: Any) -> str:
    """Render a moment given as RFC 3339 text or as seconds, milli-, micro- or nanoseconds since 1970; '' for None."""
    if value is None or value == "":
        return ""
    try:
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        return rfc3339(_from_epoch(float(value)) if numeric else datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise BadRecordError("bad_time", f"{value!r} is no moment of time") from error


def render_json(value: Any) -> str:
    """Return *value* as canonical JSON text, '' for None or an empty list; text stays as it is."""
    if isinstance(value, str):
        return value
    return canonical_json(value).decode() if value else ""


def typed(value: Any, kind: Any, name: str) -> Any:
    """Return *value* as *kind*, or None when it is None; raise `BadRecordError` naming the field *name*."""
    if value is None:
        return None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadRecordError("wrong_type", f"{name}: {error}") from error


def _parse_message(value: Any, number: int) -> Message:
    if not isinstance(value, dict):
        raise BadRecordError("bad_messages", f"message {number} is a {type(value).__name__}, expected an object")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadRecordError("bad_messages", f"message {number} has the role {role!r}")
    return Message(
        role=_ROLES[role],
        content=_parse_content(value.get("content"), number),
        name=typed(value.get("name"), str, f"message {number} name") or "",
        tool_calls=render_json(typed(value.get("tool_calls"), list[dict[str, Any]], f"message {number} tool_calls")),
    )


def _parse_content(content: Any, number: int) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRecordError("bad_messages", f"message {number} has content of type {type(content).__name__}")
    return "".join(_parse_part(part, number) for part in content)


def _parse_part(part: Any, number: int) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"])
    # Half of a question would be learned as the whole: an image cannot be left out silently.
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise BadRecordError("unsupported_content", f"message {number} has a part of type {kind!r}")


def _from_epoch(number: float) -> datetime:
    # 1e11 s is the year 5138, 1e11 ms is 1973: the magnitude tells the unit of any moment since then.
    scale = next((scale for bound, scale in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)) if abs(number) < bound), 1e9)
    if not math.isfinite(number):
        raise ValueError
    return datetime.fromtimestamp(number / scale, UTC)

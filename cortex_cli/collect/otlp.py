"""OTLP taken apart: containers of spans and log records become plain values, each sound or refused by itself.

Read leniently where exporters differ: names in camelCase or snake_case, ids in hex or base64, whole numbers as
numbers or text. Attributes that tell nothing about a model call, such as addresses and headers, are dropped here.
"""

import base64
import binascii
import functools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.records import BadRecordError

__all__ = [
    "EVENTS", "Event", "Fault", "Item", "Span", "decode_container", "decode_span", "is_container", "is_kept",
    "is_read", "keep_attributes",
]  # fmt: skip

# Attributes that are read, by how they begin; all others are of no use here, and may be private.
_KEPT = (
    "gen_ai.", "llm.", "openinference.span.kind", "input.", "output.", "annotations", "evaluations",
    "trace.annotations", "trace.evaluations", "session.", "user.id", "enduser.id", "error.type", "agent.name",
    "traceloop.", "event.name", "exception.type", "exception.message",
)  # fmt: skip
# Headers of the request hold keys of the producer's account.
_DROPPED = ("llm.headers", "gen_ai.openai.api_base")
_MESSAGES = frozenset(f"gen_ai.{role}.message" for role in ("system", "user", "assistant", "tool"))
# Events that are read; others are of the application, or tell that a chunk has come.
EVENTS = _MESSAGES | {
    "gen_ai.choice", "gen_ai.content.prompt", "gen_ai.content.completion",
    "gen_ai.client.inference.operation.details", "gen_ai.evaluation.result", "exception",
}  # fmt: skip
_CAPITAL = re.compile(r"(?=[A-Z])")
_TRACE_BYTES, _SPAN_BYTES = 16, 8
# A value of OTLP is nested as deeply as the messages it holds; protobuf itself refuses more than 100.
_DEEPEST = 64
# 9999-12-31 in nanoseconds: what is later is no moment.
_LATEST = 253_402_300_800 * 10**9


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="event"):
    """One event of a span, or one log record; *time* in nanoseconds since 1970, 0 when it is not told."""

    name: str
    trace: str = ""
    span: str = ""
    time: int = 0
    attributes: dict[str, Any] = {}
    body: Any = None
    service: str = ""


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="span"):
    """One span with ids in hex; *start* and *end* as in `Event`, *service* is the `service.name` of its resource.

    *dropped* counts the attributes and events that the producer left out because there were too many.
    """

    trace: str
    span: str
    parent: str = ""
    start: int = 0
    end: int = 0
    attributes: dict[str, Any] = {}
    events: tuple[Event, ...] = ()
    failed: bool = False
    message: str = ""
    service: str = ""
    dropped: int = 0


class Fault(NamedTuple):
    """A span or a log record that cannot be read: *reason* is a word to count by."""

    reason: str
    detail: str


Item = Span | Event


def is_container(value: dict[str, Any]) -> bool:
    """Tell whether *value* is an OTLP container of any signal."""
    return any(
        isinstance(get_field(value, name), list) for name in ("resourceSpans", "resourceLogs", "resourceMetrics")
    )


def is_read(name: Any) -> bool:
    """Tell whether events called *name* are read at all."""
    return isinstance(name, str) and name in EVENTS


def is_kept(key: str) -> bool:
    """Tell whether the attribute *key* is read at all."""
    return key.startswith(_KEPT) and not key.startswith(_DROPPED)


def decode_container(value: dict[str, Any]) -> Iterator[Item | Fault]:
    """Yield the spans and GenAI events of the container *value*, and a fault for each that cannot be read.

    Other log records and metrics give nothing. Raises `BadRecordError` when the container itself is none.
    """
    for resource in _objects(get_field(value, "resourceSpans"), "resourceSpans"):
        service = _read_service(resource)
        for span in _find_members(resource, "scopeSpans", "instrumentationLibrarySpans", "spans"):
            yield _guarded(decode_span, span, service)
    for resource in _objects(get_field(value, "resourceLogs"), "resourceLogs"):
        service = _read_service(resource)
        for record in _find_members(resource, "scopeLogs", "instrumentationLibraryLogs", "logRecords"):
            found = _guarded(_decode_log, record, service)
            if isinstance(found, Fault) or found.name:
                yield found


def decode_span(value: dict[str, Any], service: str) -> Span:
    """Return the OTLP span *value*; raise `BadRecordError` when it cannot be read."""
    trace, span = read_id(get_field(value, "traceId"), _TRACE_BYTES), read_id(get_field(value, "spanId"), _SPAN_BYTES)
    if not trace or not span:
        raise BadRecordError("bad_id", "a span has no id")
    status = _object(value.get("status"), "status")
    events = [event for event in _objects(value.get("events"), "events") if is_read(event.get("name"))]
    return Span(
        trace=trace,
        span=span,
        parent=read_id(get_field(value, "parentSpanId"), _SPAN_BYTES),
        start=_nanoseconds(get_field(value, "startTimeUnixNano")),
        end=_nanoseconds(get_field(value, "endTimeUnixNano")),
        attributes=_decode_attributes(value.get("attributes"), is_kept),
        events=tuple(_decode_event(event, trace, span) for event in events),
        failed=str(status.get("code")) in {"2", "STATUS_CODE_ERROR"},
        message=_text(status.get("message"), "status message"),
        service=service,
        dropped=_count(get_field(value, "droppedAttributesCount")) + _count(get_field(value, "droppedEventsCount")),
    )


def get_field(value: dict[str, Any], name: str) -> Any:
    """Return the field *name* of *value*, written in camelCase or in snake_case."""
    found = value.get(name)
    return value.get(_snake(name)) if found is None else found


def keep_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return those of *attributes* that are read."""
    return {key: item for key, item in attributes.items() if is_kept(key)}


def read_id(value: Any, size: int) -> str:
    """Return the id of *size* bytes in hex, '' for none; raise `BadRecordError` when *value* is neither hex nor base64."""
    if value is None or value == "":
        return ""
    text = _text(value, "id").removeprefix("0x").lower() if isinstance(value, str) else ""
    if len(text) != 2 * size:
        text = _from_base64(value, size)
    try:
        # All zeros is how OTLP spells that there is none.
        return text if int(text, 16) else ""
    except ValueError as error:
        raise BadRecordError("bad_id", f"{str(value)[:80]!r} is no id of {size} bytes") from error


@functools.lru_cache(maxsize=64)
def _snake(name: str) -> str:
    return _CAPITAL.sub("_", name).lower()


def _from_base64(value: Any, size: int) -> str:
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return ""
    return data.hex() if len(data) == size else ""


def _guarded(decode: Any, value: Any, service: str) -> Any:
    try:
        return decode(value, service)
    except BadRecordError as error:
        return Fault(error.reason, error.detail)


def _decode_log(value: dict[str, Any], service: str) -> Event:
    attributes = _decode_attributes(value.get("attributes"))
    name = get_field(value, "eventName") or attributes.get("event.name")
    if not isinstance(name, str) or name not in EVENTS:
        return Event(name="")
    time = _nanoseconds(get_field(value, "timeUnixNano")) or _nanoseconds(get_field(value, "observedTimeUnixNano"))
    return Event(
        name=name,
        trace=read_id(get_field(value, "traceId"), _TRACE_BYTES),
        span=read_id(get_field(value, "spanId"), _SPAN_BYTES),
        time=time,
        attributes=attributes,
        body=_decode_any(value.get("body"), 0),
        service=service,
    )


def _decode_event(value: dict[str, Any], trace: str, span: str) -> Event:
    return Event(
        name=value["name"],
        trace=trace,
        span=span,
        time=_nanoseconds(get_field(value, "timeUnixNano")),
        attributes=_decode_attributes(value.get("attributes")),
    )


def _read_service(resource: dict[str, Any]) -> str:
    values = _object(resource.get("resource"), "resource").get("attributes")
    attributes = _decode_attributes(values, lambda key: key == "service.name")
    name = attributes.get("service.name")
    # What an SDK calls a service that nobody named.
    return name if isinstance(name, str) and not name.startswith("unknown_service") else ""


def _find_members(resource: dict[str, Any], scopes: str, older: str, members: str) -> Iterator[dict[str, Any]]:
    found = get_field(resource, scopes)
    for scope in _objects(get_field(resource, older) if found is None else found, scopes):
        yield from _objects(get_field(scope, members), members)


def _decode_attributes(values: Any, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Any]:
    if isinstance(values, dict):
        return {key: item for key, item in values.items() if wanted(key)}
    pairs = ((_text(pair.get("key"), "key"), pair.get("value")) for pair in _objects(values, "attributes"))
    return {key: _decode_any(value, 0) for key, value in pairs if wanted(key)}


def _decode_any(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise BadRecordError("too_deep", f"a value is nested more than {_DEEPEST} times")
    if not isinstance(value, dict):
        return _decode_list(value, depth) if isinstance(value, list) else value
    for name, told in value.items():
        if told is not None and name in _KINDS:
            return _KINDS[name](told, depth)
    if value:
        raise BadRecordError("bad_value", f"a value has the fields {', '.join(sorted(value)[:4])[:80]}")
    return None


def _decode_int(value: Any, _depth: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRecordError("bad_value", f"{str(value)[:80]!r} is no whole number") from error
    if abs(number) >= 1 << 63:
        raise BadRecordError("bad_value", f"{str(number)[:80]} has more than 64 bits")
    return number


def _decode_double(value: Any, _depth: int) -> float | None:
    # Protobuf JSON spells what JSON cannot hold, "NaN" and "Infinity"; neither measures anything.
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRecordError("bad_value", f"{str(value)[:80]!r} is no number") from error
    return number if math.isfinite(number) else None


def _decode_list(values: list[Any], depth: int) -> list[Any]:
    return [_decode_any(item, depth + 1) for item in values]


def _decode_array(value: Any, depth: int) -> list[Any]:
    values = _object(value, "arrayValue").get("values")
    if not isinstance(values, list | None):
        raise BadRecordError("bad_value", f"the values of an array are a {type(values).__name__}")
    return _decode_list(values or [], depth)


def _decode_pairs(value: Any, depth: int) -> dict[str, Any]:
    pairs = _objects(_object(value, "kvlistValue").get("values"), "kvlistValue")
    return {_text(pair.get("key"), "key"): _decode_any(pair.get("value"), depth + 1) for pair in pairs}


_KINDS: dict[str, Any] = {
    "stringValue": lambda value, _: _text(value, "stringValue"),
    "intValue": _decode_int,
    "doubleValue": _decode_double,
    "boolValue": lambda value, _: value is True or value == "true",
    "arrayValue": _decode_array,
    "kvlistValue": _decode_pairs,
    "bytesValue": lambda value, _: _text(value, "bytesValue"),
}
_KINDS |= {_snake(name): decode for name, decode in _KINDS.items()}


def _nanoseconds(value: Any) -> int:
    time = _decode_int(value or 0, 0)
    if not 0 <= time < _LATEST:
        raise BadRecordError("bad_time", f"{str(time)[:80]} ns is no moment of time")
    return time


def _count(value: Any) -> int:
    return _decode_int(value or 0, 0)


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRecordError("wrong_type", f"{name} is a {type(value).__name__}, expected text")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRecordError("wrong_type", f"{name} is a {type(value).__name__}, expected an object")
    return value


def _objects(values: Any, name: str) -> list[dict[str, Any]]:
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(item, dict) for item in values):
        raise BadRecordError("wrong_type", f"{name} is no list of objects")
    return values

"""Spans as SDKs print them and as viewers export them: one JSON object per span with its attributes as a mapping.

The console exporter of the Python SDK, Phoenix's REST answers and data frames, and what else writes spans with an
`attributes` object, whose keys may be dotted, nested, or columns of their own that begin with `attributes.`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from cortex_cli.collect.otlp import Event, Item, Span, decode_span, get_field, is_read, keep_attributes
from cortex_cli.collect.records import BadRecordError, pick_first

__all__ = ["decode_export", "is_export"]

_PREFIX = "attributes."
_TRACES = ("trace_id", "traceId", "context.trace_id")
_SPANS = ("span_id", "spanId", "context.span_id")
_PARENTS = ("parent_id", "parentSpanId", "parent_span_id")
# Names under which an attribute without a dot is a tree of attributes.
_TREES = frozenset(
    {"gen_ai", "llm", "openinference", "input", "output", "session", "user", "agent", "error", "traceloop"}
)


def is_export(value: dict[str, Any]) -> bool:
    """Tell whether *value* is a span with ids and attributes, or a log record with ids and an event's name."""
    context = value.get("context")
    ids = {**value, **context} if isinstance(context, dict) else value
    if not (any(name in ids for name in _TRACES) and any(name in ids for name in _SPANS)):
        return False
    return isinstance(value.get("attributes"), dict | list) or any(key.startswith(_PREFIX) for key in value)


def decode_export(value: dict[str, Any]) -> Iterator[Item]:
    """Yield the span, or the GenAI event, that *value* is; raise `BadRecordError` when it cannot be read."""
    if isinstance(value.get("attributes"), list):
        yield decode_span(value, "")
    elif any(name in value for name in ("event_name", "severity_number", "severity_text")):
        event = _decode_log(value)
        if is_read(event.name):
            yield event
    else:
        yield _decode_span(value)


def _decode_span(value: dict[str, Any]) -> Span:
    trace, span = _read_ids(value)
    attributes = _find_attributes(value)
    told = value.get("status")
    status: dict[str, Any] = told if isinstance(told, dict) else {}
    code = pick_first({**value, **status}, ("status_code", "code", "status"))
    # Phoenix tells the kind in a field of its own.
    kind = value.get("span_kind")
    if isinstance(kind, str) and "openinference.span.kind" not in attributes:
        attributes["openinference.span.kind"] = kind
    return Span(
        trace=trace,
        span=span,
        parent=_id(pick_first(value, _PARENTS)),
        start=_moment(pick_first(value, ("start_time", "startTime"))),
        end=_moment(pick_first(value, ("end_time", "endTime"))),
        attributes=keep_attributes(attributes),
        events=tuple(_find_events(value, trace, span)),
        failed=str(code).upper().removeprefix("STATUS_CODE_") in {"ERROR", "2"},
        message=_text(pick_first({**value, **status}, ("status_message", "description", "message"))),
        service=_read_service(value.get("resource")),
    )


def _decode_log(value: dict[str, Any]) -> Event:
    attributes = _find_attributes(value)
    trace, span = _read_ids(value)
    return Event(
        name=_text(get_field(value, "eventName") or attributes.get("event.name")),
        trace=trace,
        span=span,
        time=_moment(pick_first(value, ("timestamp", "observed_timestamp"))),
        attributes=attributes,
        body=value.get("body"),
        service=_read_service(value.get("resource")),
    )


def _read_ids(value: dict[str, Any]) -> tuple[str, str]:
    context = value.get("context")
    ids = {**value, **context} if isinstance(context, dict) else value
    trace, span = _id(pick_first(ids, _TRACES)), _id(pick_first(ids, _SPANS))
    if not trace or not span:
        raise BadRecordError("bad_id", "a span has no id")
    return trace, span


def _find_attributes(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    told = value.get("attributes")
    for key, item in (told if isinstance(told, dict) else {}).items():
        if isinstance(item, dict) and key in _TREES:
            found.update(_flatten(key, item))
        else:
            found[key] = item
    columns = {key.removeprefix(_PREFIX): item for key, item in value.items() if key.startswith(_PREFIX)}
    # A column of a table stands in every row, empty where the span has no such attribute.
    return found | {key: item for key, item in columns.items() if item is not None}


def _flatten(name: str, tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    waiting = [(name, tree)]
    while waiting:
        name, tree = waiting.pop()
        for key, item in tree.items():
            if isinstance(item, dict):
                waiting.append((f"{name}.{key}", item))
            else:
                yield f"{name}.{key}", item


def _find_events(value: dict[str, Any], trace: str, span: str) -> Iterator[Event]:
    events = value.get("events")
    for event in events if isinstance(events, list) else []:
        if isinstance(event, dict) and is_read(event.get("name")):
            attributes = event.get("attributes")
            told = attributes if isinstance(attributes, dict) else {}
            yield Event(
                name=event["name"], trace=trace, span=span, time=_moment(event.get("timestamp")), attributes=told
            )


def _read_service(resource: Any) -> str:
    attributes = resource.get("attributes") if isinstance(resource, dict) else None
    name = attributes.get("service.name") if isinstance(attributes, dict) else None
    return name if isinstance(name, str) and not name.startswith("unknown_service") else ""


def _id(value: Any) -> str:
    text = _text(value).removeprefix("0x")
    if len(text) > 128:
        raise BadRecordError("bad_id", f"{text[:80]!r} is no id")
    return text


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise BadRecordError("wrong_type", f"a text is a {type(value).__name__}")
    return value or ""


def _moment(value: Any) -> int:
    """Return nanoseconds since 1970 of RFC 3339 text, or of a number whose magnitude tells its unit; 0 for none."""
    if value is None or value == "":
        return 0
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 10**6) * 1000
        # As in parse_time: seconds, milli-, micro- or nanoseconds.
        scales = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (1e20, 1))
        return int(value * next(scale for bound, scale in scales if 0 <= value < bound))
    except (TypeError, ValueError, OverflowError, StopIteration) as error:
        raise BadRecordError("bad_time", f"{str(value)[:80]!r} is no moment of time") from error

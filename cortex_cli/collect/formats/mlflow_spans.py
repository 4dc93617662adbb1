"""Spans of MLflow traces in the forms that its versions wrote: names, ids, moments and attributes in one shape.

https://mlflow.org/docs/latest/genai/concepts/span: attributes are JSON text each, also those that are plain text.
"""

import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.measures import read_text
from cortex_cli.collect.records import BadRecordError, pick_first, typed

__all__ = ["Span", "find_calls", "name_span", "read_json", "read_spans"]

_CALLS = {"LLM", "CHAT_MODEL"}
_FAILED = {"ERROR", "STATUS_CODE_ERROR", "STATUS_CODE.ERROR"}


class Span(NamedTuple):
    """One span: ids as hex digits, moments as they were written, *attributes* as JSON text or values."""

    id: str
    parent: str
    name: str
    start: Any
    end: Any
    failed: bool
    message: str
    attributes: dict[str, Any]

    def read(self, name: str) -> Any:
        """Return the attribute *name* as a value; None when there is none."""
        return read_json(self.attributes.get(name))

    def alias(self, trace: str) -> str:
        """Return what the span is called outside, also by other tracers of the same call."""
        return name_span(trace, self.id)


def name_span(trace: str, span: str) -> str:
    """Return the name of a span as `<trace>:<span>` in hex digits, without the prefix that MLflow gives to a trace."""
    return f"{trace.removeprefix('tr-')}:{span}" if trace and span else ""


def read_spans(values: Any) -> list[Span]:
    """Return the spans in *values*; raise `BadRecordError` for what is no list of spans."""
    return [_read_span(value) for value in typed(values, list[dict[str, Any]], "spans") or []]


def find_calls(spans: list[Span]) -> list[Span]:
    """Return those of *spans* that are calls of a model and hold no other one."""
    parents = {span.id: span.parent for span in spans}
    calls = [span for span in spans if _is_call(span)]
    outer: set[str] = set()
    for call in calls:
        # A parent that was seen is not followed again: damaged traces have circles.
        above = call.parent
        while above and above not in outer and above != call.id:
            outer.add(above)
            above = parents.get(above, "")
    return [call for call in calls if call.id not in outer]


def read_json(value: Any) -> Any:
    """Return what JSON text stands for; other text as it is, unless it is JSON that breaks off."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except RecursionError as error:
        raise BadRecordError("too_deep", "JSON text is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        if value[:1] in {"{", "["} and "truncated" in str(error):
            raise BadRecordError("truncated", f"JSON text breaks off: {value[:40]!r}") from error
        return value


def _read_span(value: dict[str, Any]) -> Span:
    context = typed(value.get("context"), dict[str, Any], "context") or value
    status = value.get("status")
    told = status if isinstance(status, dict) else {"code": value.get("status_code"), "message": None}
    message = pick_first({**value, **told}, ("message", "status_message"))
    return Span(
        id=_read_id(context.get("span_id")),
        parent=_read_id(pick_first(value, ("parent_span_id", "parent_id"))),
        name=read_text(value.get("name"), "name"),
        start=pick_first(value, ("start_time_unix_nano", "start_time")),
        end=pick_first(value, ("end_time_unix_nano", "end_time")),
        failed=str(told.get("code")).upper() in _FAILED,
        message=read_text(message, "status") or _find_exception(value) or "the span has the status ERROR",
        attributes=typed(value.get("attributes"), dict[str, Any], "attributes") or {},
    )


def _find_exception(value: dict[str, Any]) -> str:
    events = value.get("events")
    for event in events if isinstance(events, list) else []:
        told = event.get("attributes") if isinstance(event, dict) else None
        message = told.get("exception.message") if isinstance(told, dict) else None
        if isinstance(message, str):
            return message
    return ""


def _read_id(value: Any) -> str:
    text = read_text(value, "span_id")
    # Eight bytes are 12 characters of base64 with the padding, and 16 hex digits.
    if len(text) != 12 or not text.endswith("="):
        return text.removeprefix("0x")
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return text


def _is_call(span: Span) -> bool:
    kind = span.read("mlflow.spanType")
    return isinstance(kind, str) and kind in _CALLS

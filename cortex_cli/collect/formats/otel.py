"""OpenTelemetry traces and logs of GenAI: OTLP in JSON, and spans as the console exporter of an SDK prints them.

Sources: the GenAI semantic conventions (https://github.com/open-telemetry/semantic-conventions-genai), their older
forms, and what OpenLLMetry writes. A call may be told by several lines and files, in any order.
"""

from collections.abc import Iterator
from typing import Any

from cortex_cli.collect.inferences import find_kind, read_trace
from cortex_cli.collect.otlp import Event, Fault, Item, decode_container, is_container
from cortex_cli.collect.records import BadRecordError, Format, Place, Quarantined, Record, Skipped
from cortex_cli.collect.span_exports import decode_export, is_export
from cortex_cli.collect.span_tree import Traces

__all__ = ["FORMAT", "SpanParser", "decode_items", "mentions"]


def decode_items(value: dict[str, Any]) -> list[Item | Fault]:
    """Return what *value* holds, a container of OTLP or one exported span; raise `BadRecordError` when it is neither."""
    try:
        if is_container(value):
            return list(decode_container(value))
        if is_export(value):
            return list(decode_export(value))
    except RecursionError as error:
        raise BadRecordError("too_deep", "the value is nested too deeply") from error
    raise BadRecordError("bad_container", "the value is neither an OTLP container nor a span")


def mentions(value: dict[str, Any], word: str) -> bool:
    """Tell whether a span of *value* has an attribute that begins with *word*."""
    try:
        items = decode_items(value)
    except BadRecordError:
        return False
    return any(key.startswith(word) for item in items if not isinstance(item, Fault) for key in item.attributes)


class SpanParser:
    """Joins the spans and log records of the values it is given; records come when it overflows or finishes."""

    def __init__(self) -> None:
        self._traces = Traces()

    def read(self, value: dict[str, Any], place: Place) -> list[Record | Skipped | Quarantined]:
        """Take in *value*; return what cannot be read of it, and records that had to be given out early.

        A value without a call of a model is skipped: its spans only name agents and episodes of others.
        """
        items = decode_items(value)
        try:
            for item in items:
                if not isinstance(item, Fault):
                    self._traces.add(item, place)
        except RecursionError as error:
            raise BadRecordError("too_deep", "the value is nested too deeply") from error
        found: list[Record | Skipped | Quarantined] = [
            Quarantined(item.reason, item.detail[:200], place.origin) for item in items if isinstance(item, Fault)
        ]
        for trace in self._traces.overflow():
            found += read_trace(trace)
        return found or _find_reason(items)

    def finish(self) -> Iterator[Record | Quarantined]:
        """Yield the records of all traces, and a reason for each span that gives none."""
        for trace in self._traces.drain():
            yield from read_trace(trace)


def _find_reason(items: list[Item | Fault]) -> list[Record | Skipped | Quarantined]:
    kinds = {"event" if isinstance(item, Event) else find_kind(item) for item in items if not isinstance(item, Fault)}
    if kinds & {"event", "inference"}:
        return []
    return [Skipped("tool_span" if kinds == {"tool"} else "not_inference")]


def _recognises(value: dict[str, Any]) -> bool:
    if is_container(value):
        return mentions(value, "gen_ai.") or not mentions(value, "openinference.")
    return is_export(value) and mentions(value, "gen_ai.")


FORMAT = Format(
    "otel",
    "OpenTelemetry GenAI: OTLP/JSON traces and logs, spans of the console exporter",
    _recognises,
    SpanParser,
    joins=True,
    together=True,
)

"""Our own JSONL: interactions and feedback as the journal keeps them; ids and the agent may be left out."""

from collections.abc import Iterable
from typing import Any

import msgspec

from cortex_cli.collect.records import (
    BadRecordError,
    EachRecord,
    Format,
    Place,
    Record,
    identify,
    identify_feedback,
    parse_time,
    pick_agent,
)
from cortex_cli.domain.interactions import Feedback, Interaction

__all__ = ["FORMAT"]

_INTERACTION = frozenset(Interaction.__struct_fields__)
_FEEDBACK = frozenset(Feedback.__struct_fields__)
# What makes the record of each kind: the value that its kind is about.
_POINTS = {"boolean": "thumbs", "score": "score", "comment": "comment", "demonstration": "demonstration"}


def _recognises(value: dict[str, Any]) -> bool:
    keys = value.keys()
    if {"target", "kind"} <= keys <= _FEEDBACK:
        return True
    return "messages" in keys <= _INTERACTION and bool(keys & {"id", "agent", "output"})


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    if "target" in value:
        return [_parse_feedback(value, place)]
    return [_parse_interaction(value, place)]


def _parse_interaction(value: dict[str, Any], place: Place) -> Interaction:
    _check_keys(value, _INTERACTION)
    filled = value | {"agent": pick_agent(value, place, "agent"), "time": parse_time(value.get("time"))}
    record: Interaction = _convert({"id": "", **filled}, Interaction)
    for text in (record.tools, *(message.tool_calls for message in record.messages)):
        _check_json(text)
    record = msgspec.structs.replace(record, origin=place.origin)
    return record if record.id else identify(record)


def _parse_feedback(value: dict[str, Any], place: Place) -> Feedback:
    _check_keys(value, _FEEDBACK)
    record: Feedback = _convert({"id": "", **value, "time": parse_time(value.get("time"))}, Feedback)
    point = getattr(record, _POINTS[record.kind])
    if point is None or point == "":
        raise BadRecordError("empty_feedback", f"feedback of kind {record.kind!r} without {_POINTS[record.kind]!r}")
    if record.kind == "score" and record.scale is None:
        raise BadRecordError("no_scale", f"score {record.score!r} has no scale, so no threshold can apply to it")
    record = msgspec.structs.replace(record, origin=place.origin)
    return record if record.id else identify_feedback(record)


def _check_keys(value: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(value.keys() - known):
        raise BadRecordError("unknown_field", f"unknown fields {', '.join(unknown)}")


def _check_json(text: str) -> None:
    if not text:
        return
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRecordError("not_json", f"tools and tool calls are JSON text: {error}") from error


def _convert(value: dict[str, Any], kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise BadRecordError("wrong_type", str(error)) from error


FORMAT = Format("cortex", "our own JSONL of interactions and feedback", _recognises, lambda: EachRecord(_parse))

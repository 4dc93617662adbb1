"""Our own JSONL: interactions and feedback as the journal keeps them; ids and the agent may be left out."""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec.structs import force_setattr

from cortex_cli.collect.records import (
    MOST,
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
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.domain.names import check_name

__all__ = ["FORMAT"]

_Told = TypeVar("_Told", Interaction, Feedback)
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
    record = _settle(_convert({"id": "", **filled}, Interaction), place)
    _check_parts(record)
    return record if record.id else identify(record)


def _parse_feedback(value: dict[str, Any], place: Place) -> Feedback:
    _check_keys(value, _FEEDBACK)
    record = _settle(_convert({"id": "", **value, "time": parse_time(value.get("time"))}, Feedback), place)
    _check_point(record)
    return record if record.id else identify_feedback(record)


def _check_parts(record: Interaction) -> None:
    _check_json(record.tools)
    _check_json(record.calls)
    for message in record.messages:
        if message.tool_calls:
            _check_json(message.tool_calls)
    for count in (record.tokens_in, record.tokens_out, record.retries):
        if count and not 0 <= count <= MOST:
            raise BadRecordError("bad_number", f"a count is {str(count)[:80]}")


def _check_point(record: Feedback) -> None:
    point = getattr(record, _POINTS[record.kind])
    if not record.target:
        raise BadRecordError("no_target", "the feedback names nothing that it is on")
    if point is None or point == "":
        raise BadRecordError("empty_feedback", f"feedback of kind {record.kind!r} without {_POINTS[record.kind]!r}")
    if record.scale is not None and not record.scale.low < record.scale.high:
        raise BadRecordError("bad_scale", f"the scale goes from {record.scale.low} to {record.scale.high}")


def _settle(record: _Told, place: Place) -> _Told:
    # Where it was read is the place of this reading. A stamp from outside is a claim: the text is masked again.
    force_setattr(record, "origin", place.origin)
    force_setattr(record, "redaction", "")
    return record


class _ToldInteraction(Interaction, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An interaction as a line tells it: unlike the journal, a line with an unknown field is refused."""


class _ToldFeedback(Feedback, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Feedback as a line tells it."""


_DECODE_INTERACTION = msgspec.json.Decoder(_ToldInteraction).decode
_DECODE_FEEDBACK = msgspec.json.Decoder(_ToldFeedback).decode
# What stands at every third place, from the fifth on, of a moment such as `2026-01-02T03:04:05Z`.
_MOMENT = "--T::Z"


def _decode_line(data: bytes, place: Place) -> Record | None:
    """Decode a whole record straight into its type; None for a line that needs or deserves a closer look."""
    try:
        return _decode_interaction(data, place) or _decode_feedback(data, place)
    except (msgspec.DecodeError, BadRecordError, UsageError, ValueError, RecursionError):
        return None


def _decode_interaction(data: bytes, place: Place) -> Interaction | None:
    try:
        told = _DECODE_INTERACTION(data)
    except msgspec.ValidationError:
        return None
    if not told.id or not _is_moment(told.time):
        raise BadRecordError("unsettled", "an id or a moment is still to be made")
    _check_agent(told.agent)
    _check_parts(told)
    return _settle(msgspec.convert(told, Interaction, from_attributes=True), place)


def _decode_feedback(data: bytes, place: Place) -> Feedback | None:
    told = _DECODE_FEEDBACK(data)
    if not told.id or not _is_moment(told.time):
        return None
    _check_point(told)
    return _settle(msgspec.convert(told, Feedback, from_attributes=True), place)


def _is_moment(text: str) -> bool:
    # Moments in this form need not be brought to it; others go the ordinary way.
    return not text or (text[4::3] == _MOMENT and datetime.fromisoformat(text) is not None)


def _check_keys(value: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(value.keys() - known):
        raise BadRecordError("unknown_field", f"unknown fields {', '.join(unknown)}")


@lru_cache(maxsize=256)
def _check_agent(name: str) -> None:
    check_name("agent", name)


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


FORMAT = Format(
    "cortex",
    "our own JSONL of interactions and feedback",
    _recognises,
    lambda: EachRecord(_parse),
    decode_line=_decode_line,
)

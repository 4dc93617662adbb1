"""ShareGPT: `{"conversations": [{"from": "human", "value": ...}, ...], "system"?, "tools"?}`."""

from collections.abc import Iterable
from typing import Any

from cortex_cli.collect.examples import base_example, make_example, parse_turns
from cortex_cli.collect.records import BadRecordError, EachRecord, Format, Place, Record, typed
from cortex_cli.domain.interactions import Message

__all__ = ["FORMAT"]

_TURNS = ("conversations", "conversation")


def _recognises(value: dict[str, Any]) -> bool:
    return any(_has_turns(value.get(key)) for key in _TURNS)


def _has_turns(turns: Any) -> bool:
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], dict):
        return False
    return {"from", "value"} <= turns[0].keys() or {"role", "content"} <= turns[0].keys()


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    key = next((key for key in _TURNS if key in value), _TURNS[0])
    messages = parse_turns(value.get(key), key)
    system = typed(value.get("system"), str, "system")
    lead = (Message("system", system),) if system else ()
    if not messages or messages[-1].role != "assistant":
        raise BadRecordError("no_answer", "the last turn is not the assistant's")
    return [make_example(base_example(value, place, (*lead, *messages[:-1])), messages[-1])]


FORMAT = Format("sharegpt", "ShareGPT conversations", _recognises, lambda: EachRecord(_parse))

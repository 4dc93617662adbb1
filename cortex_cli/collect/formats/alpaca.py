"""Alpaca: `{"instruction", "input"?, "output", "system"?, "history"?: [[question, answer], ...]}`."""

from collections.abc import Iterable
from typing import Any

from cortex_cli.collect.examples import base_example, make_example, parse_instruction
from cortex_cli.collect.records import EachRecord, Format, Place, Record, typed
from cortex_cli.domain.interactions import Message

__all__ = ["FORMAT"]


def _recognises(value: dict[str, Any]) -> bool:
    return {"instruction", "output"} <= value.keys()


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    answer = Message("assistant", typed(value.get("output"), str, "output") or "")
    return [make_example(base_example(value, place, parse_instruction(value)), answer)]


FORMAT = Format("alpaca", "Alpaca instructions", _recognises, lambda: EachRecord(_parse))

"""Preference files: a chosen and a rejected answer, or one answer with a label.

OpenAI's DPO files, TRL's preference (explicit or implicit prompt) and unpaired rows, and the Alpaca and ShareGPT
variants of LLaMA-Factory. A pair becomes the rejected answer, a failure, and a demonstration that corrects it.
"""

from collections.abc import Iterable
from typing import Any

from cortex_cli.collect.examples import (
    base_example,
    make_label,
    make_pair,
    parse_instruction,
    parse_prompt,
    parse_turns,
)
from cortex_cli.collect.records import BadRecordError, EachRecord, Format, Place, Record, parse_messages, typed
from cortex_cli.domain.interactions import Message

__all__ = ["FORMAT"]

_OPENAI = {"input", "preferred_output", "non_preferred_output"}
_PAIR = {"chosen", "rejected"}
_LABELS = ("label", "kto_tag")


def _recognises(value: dict[str, Any]) -> bool:
    keys = value.keys()
    if keys >= _OPENAI or keys >= _PAIR:
        return True
    return {"prompt", "completion", "label"} <= keys or "kto_tag" in keys


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    if "preferred_output" in value:
        return _parse_openai(value, place)
    if "chosen" in value or "rejected" in value:
        return _parse_pair(value, place)
    if not any(key in value for key in _LABELS):
        raise BadRecordError("no_label", "the row has neither two answers nor a label")
    return _parse_unpaired(value, place)


def _parse_openai(value: dict[str, Any], place: Place) -> Iterable[Record]:
    told = typed(value.get("input"), dict[str, Any], "input") or {}
    chosen, rejected = (parse_messages(value.get(key)) for key in ("preferred_output", "non_preferred_output"))
    base = base_example({**value, "tools": told.get("tools")}, place, parse_messages(told.get("messages")))
    return make_pair(base, _single(chosen), _single(rejected))


def _parse_pair(value: dict[str, Any], place: Place) -> Iterable[Record]:
    chosen, rejected = (_parse_answer(value.get(key), key) for key in ("chosen", "rejected"))
    asked = _parse_asked(value)
    shared = 0
    # Without a prompt of its own, a conversation's common beginning is the prompt.
    while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
        shared += 1
    base = base_example(value, place, (*asked, *chosen[:shared]))
    return make_pair(base, _single(chosen[shared:]), _single(rejected[shared:]))


def _parse_unpaired(value: dict[str, Any], place: Place) -> Iterable[Record]:
    label = next(value[key] for key in _LABELS if key in value)
    asked, told = _parse_asked(value), value.get("completion", value.get("output"))
    if told is None and asked:
        asked, answers = asked[:-1], asked[-1:]
    else:
        answers = _parse_answer(told, "completion")
    return make_label(base_example(value, place, (*asked, *answers[:-1])), _single(answers[-1:]), label)


def _parse_asked(value: dict[str, Any]) -> tuple[Message, ...]:
    if "instruction" in value:
        return parse_instruction(value)
    if "conversations" in value:
        system = typed(value.get("system"), str, "system")
        lead = (Message("system", system),) if system else ()
        return (*lead, *parse_turns(value["conversations"], "conversations"))
    if isinstance(value.get("messages"), list):
        return parse_messages(value["messages"])
    return parse_prompt(value["prompt"], "prompt") if value.get("prompt") is not None else ()


def _parse_answer(value: Any, name: str) -> tuple[Message, ...]:
    if isinstance(value, str):
        return (Message("assistant", value),)
    return parse_turns([value] if isinstance(value, dict) else value, name)


def _single(messages: tuple[Message, ...]) -> Message:
    if not messages:
        raise BadRecordError("no_answer", "an answer is empty")
    if len(messages) > 1:
        raise BadRecordError("unsupported_content", "an answer of several messages has no single wrong step")
    if messages[0].role != "assistant":
        raise BadRecordError("no_answer", "an answer is not the assistant's")
    return messages[0]


FORMAT = Format(
    "preference",
    "preference pairs and labels: OpenAI DPO, TRL, Alpaca and ShareGPT variants",
    _recognises,
    lambda: EachRecord(_parse),
)

"""TRL datasets: prompt-completion and conversations with further columns.

Types: https://huggingface.co/docs/trl/dataset_formats. A text without a border between prompt and answer cannot be
learned from here, and completions that are judged step by step have no single answer.
"""

from collections.abc import Iterable
from typing import Any

from cortex_cli.collect.examples import base_example, make_example, parse_prompt
from cortex_cli.collect.records import BadRecordError, EachRecord, Format, Place, Record, parse_messages
from cortex_cli.domain.interactions import Message

__all__ = ["FORMAT"]

_STEPWISE = {"prompt", "completions", "labels"}
# Beside a text alone, a row of a corpus may say where it is from.
_CORPUS = {"text", "id", "source", "meta", "metadata", "url", "title", "language"}


def _recognises(value: dict[str, Any]) -> bool:
    if isinstance(value.get("messages"), list):
        return True
    if {"prompt", "completion"} <= value.keys() or value.keys() >= _STEPWISE:
        return True
    return isinstance(value.get("text"), str) and value.keys() <= _CORPUS


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    if "messages" in value:
        messages = parse_messages(value["messages"])
        return [make_example(base_example(value, place, messages[:-1]), _last_answer(messages))]
    if "completion" in value:
        asked = parse_prompt(value.get("prompt"), "prompt")
        told = _parse_completion(value["completion"])
        return [make_example(base_example(value, place, (*asked, *told[:-1])), _last_answer(told))]
    if "completions" in value:
        raise BadRecordError("unsupported_content", "completions that are judged step by step have no single answer")
    if "text" in value:
        raise BadRecordError("no_prompt", "a text without a border between prompt and answer")
    raise BadRecordError("no_answer", "the row has neither messages nor a completion")


def _parse_completion(value: Any) -> tuple[Message, ...]:
    return (Message("assistant", value),) if isinstance(value, str) else parse_messages(value)


def _last_answer(messages: tuple[Message, ...]) -> Message:
    if not messages or messages[-1].role != "assistant":
        raise BadRecordError("no_answer", "the last message is not the assistant's")
    return messages[-1]


FORMAT = Format("trl", "TRL datasets: messages, prompt and completion", _recognises, lambda: EachRecord(_parse))

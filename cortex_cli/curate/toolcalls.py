"""Tool calls between the words of trainers: `arguments` are an object in TRL and JSON text at OpenAI."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

__all__ = ["answer_message", "arguments_as_object", "arguments_as_text", "openai_messages", "trl_messages"]

Value = dict[str, Any]


def answer_message(example: Example) -> Message:
    """Return the answer of *example* as a message; text that only repeats its tool calls is left out."""
    text = "" if example.calls and example.answer == example.calls else example.answer
    return Message("assistant", text, tool_calls=example.calls)


def trl_messages(messages: Iterable[Message]) -> list[Value]:
    """Render *messages* for TRL: arguments as objects, no ids of calls, tool results with the name of their tool."""
    rendered: list[Value] = []
    for message, calls, call in _follow(messages):
        value: Value = {"role": message.role, "content": message.content}
        name = _function(call).get("name", "") if call else message.name
        value |= {"name": name} if name else {}
        if calls:
            value["tool_calls"] = [
                {"type": "function", "function": arguments_as_object(_function(each))} for each in calls
            ]
        rendered.append(value)
    return rendered


def openai_messages(messages: Iterable[Message]) -> list[Value]:
    """Render *messages* for OpenAI: arguments as JSON text, every call with an id, which its result repeats."""
    rendered: list[Value] = []
    for message, calls, call in _follow(messages):
        value: Value = {"role": message.role, "content": message.content}
        if message.role == "tool":
            value["tool_call_id"] = call["id"] if call else message.name or "call_0"
        elif message.name:
            value["name"] = message.name
        if calls:
            value["tool_calls"] = [
                {"id": each["id"], "type": "function", "function": arguments_as_text(_function(each))} for each in calls
            ]
        rendered.append(value)
    return rendered


def arguments_as_object(function: Value) -> Value:
    """Return *function* with its arguments as an object; text that is no JSON object stays text."""
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str):
        return function
    try:
        decoded = msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return function
    return {**function, "arguments": decoded} if isinstance(decoded, dict) else function


def arguments_as_text(function: Value) -> Value:
    """Return *function* with its arguments as JSON text."""
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        return function
    return {**function, "arguments": canonical_json(arguments).decode()}


def _follow(messages: Iterable[Message]) -> Iterator[tuple[Message, list[Value], Value | None]]:
    """Yield every message, its tool calls with ids, and for a tool's result the call that it answers, if known.

    A message keeps the name of the tool or the id of the call, whatever its producer gave; without either the
    results are taken in the order of the calls.
    """
    open_calls: list[Value] = []
    count = 0
    for message in messages:
        calls: list[Value] = []
        for call in msgspec.json.decode(message.tool_calls) if message.tool_calls else []:
            calls.append({**call, "id": call.get("id") or f"call_{count}"})
            count += 1
        answered = _take(open_calls, message.name) if message.role == "tool" else None
        open_calls = [*open_calls, *calls]
        yield message, calls, answered


def _take(open_calls: list[Value], name: str) -> Value | None:
    for call in open_calls:
        if not name or name in (call["id"], _function(call).get("name")):
            open_calls.remove(call)
            return call
    return None


def _function(call: Value) -> Value:
    # Some producers write the function without the envelope around it.
    function = call.get("function", call)
    return {key: function[key] for key in ("name", "arguments") if key in function}

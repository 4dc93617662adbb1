"""What was asked and answered in a span, wherever its producer wrote it down.

Attributes come before events, and the current form before older ones: messages as attributes (or in the event
`gen_ai.client.inference.operation.details`, whose attributes the span then has), an event for each message,
`gen_ai.prompt` and `gen_ai.completion`, and the messages of OpenInference. The first place that tells decides.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.conversations import Conversation
from cortex_cli.collect.exchanges import read_answer, read_prompt
from cortex_cli.collect.flattened import REDACTED, read_indexed, read_openinference, read_tools
from cortex_cli.collect.otlp import Event
from cortex_cli.collect.records import BadRecordError, render_json
from cortex_cli.domain.interactions import Message

__all__ = ["NOT_CAPTURED", "Choice", "Content", "read_content"]

# Capturing content is opt-in in every instrumentation, so this is the commonest reason for a span without any.
NOT_CAPTURED = "content_not_captured"
_HOW = "its producer must be told to capture it"
_DECODE = msgspec.json.Decoder().decode
_Attributes = dict[str, Any]
_MESSAGE, _ENDING = "gen_ai.", ".message"


class Choice(NamedTuple):
    """One answer: its text, its tool calls as JSON text, and why it ended."""

    text: str
    calls: str = ""
    finish: str = ""


class Content(NamedTuple):
    """What a span tells: the *messages* of its prompt, the *choices* of its answer, and *tools* as JSON text.

    *apart* says that each choice is an answer of its own, not a part of one.
    """

    messages: tuple[Message, ...]
    choices: tuple[Choice, ...]
    tools: str
    apart: bool = False


class _Told(NamedTuple):
    """What one place tells; None is nothing, an empty list is that there was none."""

    asked: list[Any] | None = None
    answered: list[Any] | None = None


def read_content(attributes: _Attributes, events: Sequence[Event], *, dropped: bool) -> Content:
    """Return the content of a span from its *attributes* and *events*.

    *dropped* says that the producer left out attributes or events. Raises `BadRecordError` when there is no
    prompt, and when what there is is half a truth.
    """
    told, apart = _Told(), False
    for read in _PLACES:
        if told.asked is not None and told.answered is not None:
            break
        found = read(attributes, events)
        if dropped and read is not _from_attributes and found != _Told():
            raise BadRecordError("truncated", "the producer left out attributes or events: there were too many")
        apart = apart or (told.answered is None and bool(found.answered) and read in {_from_events, _from_prompts})
        told = _Told(
            found.asked if told.asked is None else told.asked,
            found.answered if told.answered is None else told.answered,
        )
    if not told.asked:
        raise BadRecordError(NOT_CAPTURED, f"the span does not tell what was asked; {_HOW}")
    messages = _converse(told.asked)
    choices = tuple(map(_read_choice, told.answered or []))
    if any(REDACTED in text for text in (*(message.content for message in messages), *(c.text for c in choices))):
        raise BadRecordError("redacted_by_producer", f"the span holds {REDACTED!r} in place of content")
    return Content(messages, choices, _render_tools(attributes), apart)


def _from_attributes(attributes: _Attributes, _: Sequence[Event]) -> _Told:
    asked = _decode_messages(attributes.get("gen_ai.input.messages"), "user")
    answered = _decode_messages(attributes.get("gen_ai.output.messages"), "assistant")
    system = _decode(attributes.get("gen_ai.system_instructions"))
    if system and asked is not None:
        asked = [{"role": "system", "content": [system] if isinstance(system, str | dict) else system}, *asked]
    return _Told(asked, answered)


def _from_events(_: _Attributes, events: Sequence[Event]) -> _Told:
    asked = [_read_message_event(event) for event in events if event.name.endswith(_ENDING)]
    choices = sorted((event for event in events if event.name == "gen_ai.choice"), key=_find_index)
    answered = list(map(_read_choice_event, choices))
    return _Told(asked or None, answered or None)


def _from_prompts(attributes: _Attributes, events: Sequence[Event]) -> _Told:
    merged = attributes
    for event in events:
        if event.name in {"gen_ai.content.prompt", "gen_ai.content.completion"}:
            merged = {**event.attributes, **merged}
    return _Told(_find_prompt(merged), _find_completion(merged))


def _from_openinference(attributes: _Attributes, _: Sequence[Event]) -> _Told:
    asked: list[Any] = read_openinference(attributes, "llm.input_messages")
    answered: list[Any] = read_openinference(attributes, "llm.output_messages")
    if not asked and attributes.get("input.value"):
        asked = list(read_prompt(attributes["input.value"]).messages)
    if not answered and attributes.get("output.value"):
        answered = [_answer_value(attributes["output.value"])]
    return _Told(asked or None, answered or None)


_PLACES: tuple[Callable[[_Attributes, Sequence[Event]], _Told], ...] = (
    _from_attributes,
    _from_events,
    _from_prompts,
    _from_openinference,
)


def _find_prompt(attributes: _Attributes) -> list[Any] | None:
    told = attributes.get("gen_ai.prompt")
    if told:
        return list(read_prompt(told).messages)
    return read_indexed(attributes, "gen_ai.prompt") or None


def _find_completion(attributes: _Attributes) -> list[Any] | None:
    told = attributes.get("gen_ai.completion")
    if told:
        return [_answer_value(told)]
    return read_indexed(attributes, "gen_ai.completion") or None


def _answer_value(value: Any) -> Choice:
    answer = read_answer(value)
    return Choice(answer.text, answer.calls)


def _read_message_event(event: Event) -> dict[str, Any]:
    told = _find_payload(event)
    calls = _decode(told.get("tool_calls"))
    message = {"role": event.name[len(_MESSAGE) : -len(_ENDING)], **told, "tool_calls": calls}
    if told.get("content") is None and not _are_captured(calls):
        raise BadRecordError(NOT_CAPTURED, f"the event {event.name!r} has no content; {_HOW}")
    if message["role"] == "tool" and "id" in told:
        message["tool_call_id"] = told["id"]
    return message


def _read_choice_event(event: Event) -> dict[str, Any]:
    told = _find_payload(event)
    inner = _decode(told.get("message"))
    message = inner if isinstance(inner, dict) else told
    calls = _decode(message.get("tool_calls"))
    if message.get("content") is None and not _are_captured(calls):
        raise BadRecordError(NOT_CAPTURED, f"the event {event.name!r} has no content; {_HOW}")
    return {**message, "finish_reason": told.get("finish_reason"), "tool_calls": calls}


def _find_index(event: Event) -> int:
    index = _find_payload(event).get("index")
    return index if isinstance(index, int) else 0


def _find_payload(event: Event) -> dict[str, Any]:
    """Return what an event for one message says: its body, or attributes that stand for one."""
    for told in (event.body, event.attributes.get("gen_ai.event.content")):
        found = _decode(told)
        if isinstance(found, dict) and found:
            return found
    return {key: item for key, item in event.attributes.items() if "." not in key}


def _are_captured(calls: Any) -> bool:
    """Tell whether tool calls came with their arguments; without content capture only their names are told."""
    functions = [call.get("function", call) if isinstance(call, dict) else {} for call in calls or ()]
    return bool(functions) and all(isinstance(told, dict) and "arguments" in told for told in functions)


def _decode_messages(value: Any, role: str) -> list[Any] | None:
    found = _decode(value)
    if isinstance(found, dict) and isinstance(found.get("messages"), list):
        found = found["messages"]
    values = found if isinstance(found, list) else [found]
    return [item if isinstance(item, dict) else {"role": role, "content": item} for item in values if item] or None


def _decode(value: Any) -> Any:
    """Return what JSON text stands for, and other text as it is; refuse JSON that breaks off."""
    if not isinstance(value, str) or value[:1] not in {"[", "{"}:
        return value
    try:
        return _DECODE(value)
    except RecursionError as error:
        raise BadRecordError("too_deep", "JSON text is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        if "truncated" in str(error):
            raise BadRecordError("truncated", "the JSON text of messages breaks off") from error
        return value


def _converse(values: Sequence[Any]) -> tuple[Message, ...]:
    conversation = Conversation()
    for value in values:
        if isinstance(value, Message):
            conversation.messages.append(value)
        else:
            conversation.add(_with_content(value))
    return tuple(conversation.messages)


def _read_choice(value: Any) -> Choice:
    if isinstance(value, Choice):
        return value
    added = Conversation().add({"role": "assistant", **_with_content(value)})
    calls = [call for message in added if message.tool_calls for call in _DECODE(message.tool_calls)]
    finish = value.get("finish_reason")
    return Choice(
        "".join(message.content for message in added),
        render_json(calls),
        finish if isinstance(finish, str) else "",
    )


def _with_content(value: dict[str, Any]) -> dict[str, Any]:
    """Return the message *value* with its parts under the name that every other dialect has for them."""
    parts = value.get("parts")
    return {**value, "content": parts} if isinstance(parts, list) and "content" not in value else value


def _render_tools(attributes: _Attributes) -> str:
    told = _decode(attributes.get("gen_ai.tool.definitions"))
    tools = [_read_tool(tool) for tool in told if isinstance(tool, dict)] if isinstance(told, list) else []
    return render_json(tools or read_tools(attributes))


def _read_tool(tool: dict[str, Any]) -> dict[str, Any]:
    if "function" in tool or not isinstance(tool.get("name"), str):
        return tool
    function = {key: tool[key] for key in ("name", "description", "parameters") if tool.get(key) is not None}
    return {"type": tool.get("type", "function"), "function": function}

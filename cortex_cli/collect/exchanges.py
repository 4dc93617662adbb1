"""What tracers log as input and output of a model call: any client's request and response, or plain text.

A tracer writes down whatever the traced function was given. The requests and responses of the common clients
are read as messages; anything else is the text of one message, as JSON when it is no text.
"""

from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.conversations import Conversation
from cortex_cli.collect.records import BadRecordError, pick_first, render_json
from cortex_cli.domain.interactions import Message

__all__ = ["Answer", "Prompt", "read_answer", "read_prompt"]

_DECODE = msgspec.json.Decoder().decode
# How the JSON of messages begins: text that begins so, and then breaks off, was cut by a limit on its length.
_JSON_OF_MESSAGES = ('{"', '[{"', '{ "', '[ {"')
# Keys of which a message of any client has at least one beside its role.
_MESSAGE = {"content", "tool_calls", "function_call", "refusal"}
# Items and blocks that stand beside messages or in them, and speakers as LangChain calls them.
_BLOCKS = {
    "text",
    "output_text",
    "thinking",
    "redacted_thinking",
    "reasoning",
    "tool_use",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "web_search_call",
}
# What may stand beside a plain prompt and is no part of it; anything else might be, such as a context.
_PARAMETERS = {
    "model",
    "system",
    "instructions",
    "previous_response_id",
    "temperature",
    "top_p",
    "max_tokens",
    "max_output_tokens",
    "stop",
    "stream",
    "seed",
    "n",
    "tools",
    "functions",
    "store",
}
_SPEAKERS = {"human", "ai", "system", "tool"}


class Prompt(NamedTuple):
    """What was asked: *messages*, *tools* as JSON text, and whether *earlier* messages are only referred to."""

    messages: tuple[Message, ...]
    tools: str = ""
    earlier: bool = False


class Answer(NamedTuple):
    """What was answered: its *text* and its tool *calls* as JSON text, of which one is not empty."""

    text: str
    calls: str = ""

    @property
    def output(self) -> str:
        """The text, or the calls of an answer that only calls tools."""
        return self.text if self.text.strip() else self.calls


def read_prompt(value: Any) -> Prompt:
    """Return what the logged input *value* asks; raise `BadRecordError` when it asks nothing or is half a truth."""
    found = _decoded(value)
    if isinstance(found, dict):
        return _read_request(found)
    if isinstance(found, list):
        messages = _unwrapped(found)
        if _are_messages(messages):
            return Prompt(_converse(messages))
    return _plain(value)


def read_answer(value: Any) -> Answer:
    """Return what the logged output *value* answers; raise `BadRecordError` when it is no answer."""
    messages = _find_answer(_decoded(value))
    answer = Answer(_told(value)) if messages is None else _join(_converse(messages))
    if not answer.output:
        raise BadRecordError("no_answer", "the output has neither text nor tool calls")
    return answer


def _read_request(value: dict[str, Any]) -> Prompt:
    inner = value.get("kwargs")
    if isinstance(inner, dict) and value.keys() <= {"args", "kwargs"}:
        # How decorators log the arguments of the function they wrap.
        value = inner
    messages = _find_messages(value)
    if messages is None:
        return _plain(value)
    tools = pick_first(value, ("tools", "functions"))
    leading = [{"role": "system", "content": text} for text in (value.get("system"), value.get("instructions")) if text]
    earlier = bool(value.get("previous_response_id"))
    return Prompt(_converse([*leading, *messages]), render_json(tools) if isinstance(tools, list) else "", earlier)


def _find_messages(value: dict[str, Any]) -> list[Any] | None:
    for key in ("messages", "input", "prompt"):
        told = value.get(key)
        if (
            isinstance(told, str)
            and told
            and value.keys() - {key} <= _PARAMETERS
            and (key != "input" or len(value) > 1)
        ):
            return [told]
        if isinstance(told, list) and _are_messages(_unwrapped(told)):
            return _unwrapped(told)
    return [value] if _is_message(value) else None


def _find_answer(value: Any) -> list[Any] | None:
    """Return the messages that the response *value* of any client holds, or None when it is no response."""
    if isinstance(value, list):
        return _find_trailing(_unwrapped(value))
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("choices"), list) and value["choices"]:
        first = value["choices"][0]
        return _find_choice(first) if isinstance(first, dict) else None
    if isinstance(value.get("message"), dict):
        return [value["message"]]
    for key in ("output", "messages"):
        if isinstance(value.get(key), list) and _are_messages(value[key]):
            return _find_trailing(value[key])
    return [{"role": "assistant", **value}] if _is_answer(value) else None


def _find_choice(choice: dict[str, Any]) -> list[Any] | None:
    if isinstance(choice.get("message"), dict):
        return [choice["message"]]
    return [{"role": "assistant", "content": choice["text"]}] if isinstance(choice.get("text"), str) else None


def _find_trailing(values: list[Any]) -> list[Any] | None:
    if not _are_messages(values):
        return None
    if not any("role" in value or value["type"] in _SPEAKERS for value in values):
        # The blocks of one message.
        return [{"role": "assistant", "content": values}]
    # A whole conversation is logged as output: the answer is what stands after the last question or result.
    asked = [number for number, value in enumerate(values) if _asks(value)]
    return values[asked[-1] + 1 :] if asked else values


def _asks(value: dict[str, Any]) -> bool:
    kind = str(value.get("role") or value.get("type"))
    return kind in {"user", "human", "system", "developer", "tool", "function"} or kind.endswith("_output")


def _converse(values: list[Any]) -> tuple[Message, ...]:
    conversation = Conversation()
    for value in values:
        conversation.add(value)
    return tuple(conversation.messages)


def _join(messages: tuple[Message, ...]) -> Answer:
    calls = [call for message in messages if message.tool_calls for call in _DECODE(message.tool_calls)]
    return Answer("".join(message.content for message in messages), render_json(calls))


def _are_messages(values: list[Any]) -> bool:
    return bool(values) and all(_is_message(value) for value in values)


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("role"), str):
        return bool(value.keys() & _MESSAGE)
    kind = value.get("type")
    return isinstance(kind, str) and (kind in _BLOCKS or (kind in _SPEAKERS and "content" in value))


def _is_answer(value: dict[str, Any]) -> bool:
    # An answer in JSON may have a field `content` of its own: without a role, all of it must be a message.
    content = value.get("content")
    if "role" in value:
        return _is_message(value)
    if isinstance(content, list):
        return _are_messages(content)
    return isinstance(content, str | None) and bool(value) and value.keys() <= _MESSAGE


def _unwrapped(values: list[Any]) -> list[Any]:
    # LangChain logs a batch of prompts, mostly of one.
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


def _plain(value: Any) -> Prompt:
    text = _told(value)
    if not text.strip():
        raise BadRecordError("incomplete_export", "the input is empty")
    return Prompt((Message("user", text),))


def _told(value: Any) -> str:
    return value if isinstance(value, str) else render_json(value)


def _decoded(value: Any) -> Any:
    """Return what *value* stands for when it is JSON text, else *value*; refuse the text of messages that is cut."""
    if not isinstance(value, str) or value[:1] not in {"{", "["}:
        return value
    try:
        return _DECODE(value)
    except RecursionError as error:
        raise BadRecordError("too_deep", "JSON text is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        if "truncated" in str(error) and value.startswith(_JSON_OF_MESSAGES) and '"content"' in value:
            raise BadRecordError("truncated", "the JSON text of messages breaks off") from error
        return value

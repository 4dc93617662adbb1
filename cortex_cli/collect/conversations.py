"""Messages of any dialect become ours: blocks of Anthropic, items of OpenAI Responses, blocks of TensorZero.

What can stand in a conversation is text, tool calls and their results. Thinking is left out, because no
prompt and no answer holds it; an image, a sound or a file is refused, because the rest would be half a truth.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from cortex_cli.collect.records import BadRecordError, pick_first, render_json
from cortex_cli.domain.interactions import Message

__all__ = ["Conversation", "find_role"]

_Role = Literal["system", "user", "assistant", "tool"]
_ROLES: dict[str, _Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TEXT = {"text", "input_text", "output_text", "summary_text", "raw_text", "template", "refusal"}
# A search that the service made itself: neither its results nor a message of it are in any log.
_HIDDEN = {"thinking", "redacted_thinking", "thought", "reasoning", "reasoning_content", "web_search_call"}
_CALLS = {
    "tool_use",
    "server_tool_use",
    "mcp_tool_use",
    "tool_call",
    "function_call",
    "custom_tool_call",
    "local_shell_call",
}
_RESULTS = {"tool_result", "function_call_output", "custom_tool_call_output", "tool_call_response"}
_MEDIA = {"image", "image_url", "input_image", "audio", "input_audio", "file", "input_file", "document", "video"}
# Where producers keep what a text, a call and a result are about, most telling name first.
_WORDS = ("text", "value", "refusal", "content")
_ARGUMENTS = ("arguments", "raw_arguments", "input", "args", "action")
_IDS = ("call_id", "tool_use_id", "tool_call_id", "id")
_OUTPUTS = ("output", "result", "content", "response")


class Conversation:
    """Messages in the making; it remembers which call is of which tool, so that a result carries its tool's name."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._names: dict[str, str] = {}

    def add(self, value: Any) -> list[Message]:
        """Append the message or item *value* and return what was appended: results of tools first, then the rest.

        Text alone is the user's. Raises `BadRecordError` for what is no message, or none that text can hold.
        """
        if not isinstance(value, dict):
            return self.extend("user", [value])
        if _is_item(value):
            return self.extend("assistant", [value])
        return self.extend(find_role(value), _blocks_of(value), value)

    def extend(self, role: _Role, blocks: Iterable[Any], told: dict[str, Any] | None = None) -> list[Message]:
        """Append *blocks* of one message of *role* and return what was appended; *told* is the message itself."""
        texts: list[str] = []
        calls: list[dict[str, Any]] = []
        before = len(self.messages)
        for kind, block in [(_kind_of(block), block) for block in blocks]:
            if kind in _CALLS:
                calls.append(self._read_call(block, kind))
            if kind in _RESULTS or kind.endswith("_tool_result"):
                self.messages.append(self._read_result(block))
            if kind in _TEXT or not _is_known(kind):
                texts.append(_read_text(block, kind))
        text = "".join(texts)
        # An empty message is one that was told as such; blocks that hold nothing to keep make none.
        if text or calls or (told is not None and len(self.messages) == before):
            self.messages.append(Message(role, text, self._name(role, told or {}), render_json(calls)))
        return self.messages[before:]

    def _read_call(self, block: dict[str, Any], kind: str) -> dict[str, Any]:
        function = block.get("function")
        told = function if isinstance(function, dict) else block
        name = pick_first(told, ("name", "raw_name")) or kind.removesuffix("_call")
        number = pick_first(block, _IDS)
        if not isinstance(name, str) or not isinstance(number, str | None):
            raise BadRecordError("bad_messages", f"a tool call has the name {str(name)[:80]!r}")
        self._names[number or ""] = name
        # The input of a custom tool is plain text, where everywhere else stands JSON.
        arguments = {"input": told.get("input")} if kind == "custom_tool_call" else pick_first(told, _ARGUMENTS)
        call = {"type": "function", "function": {"name": name, "arguments": _render(arguments) or "{}"}}
        return {"id": number, **call} if number else call

    def _read_result(self, block: dict[str, Any]) -> Message:
        number = pick_first(block, _IDS)
        name = block.get("name") or (self._names.get(number) if isinstance(number, str) else None)
        return Message("tool", _read_output(pick_first(block, _OUTPUTS)), name if isinstance(name, str) else "")

    def _name(self, role: _Role, told: dict[str, Any]) -> str:
        name, number = told.get("name"), told.get("tool_call_id")
        if role == "tool" and not name and isinstance(number, str):
            return self._names.get(number, "")
        return name if isinstance(name, str) else ""


def find_role(value: dict[str, Any]) -> _Role:
    """Return the role of the message *value*; raise `BadRecordError` when it has none that is known."""
    told = pick_first(value, ("role", "type"))
    role = _ROLES.get(told.lower()) if isinstance(told, str) else None
    if role is None:
        raise BadRecordError("bad_messages", f"a message has the role {str(told)[:80]!r}")
    return role


def _is_item(value: dict[str, Any]) -> bool:
    kind = value.get("type")
    return isinstance(kind, str) and "role" not in value and (kind in _CALLS | _RESULTS | _HIDDEN)


def _blocks_of(value: dict[str, Any]) -> Iterator[Any]:
    content = value.get("content")
    if isinstance(content, list):
        yield from content
    elif content is not None:
        yield content
    elif isinstance(value.get("refusal"), str):
        yield value["refusal"]
    for call in _calls_of(value):
        yield {**call, "type": "tool_call"}


def _calls_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    calls, old = value.get("tool_calls") or [], value.get("function_call")
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise BadRecordError("bad_messages", "tool_calls are no list of objects")
    # The form before tool calls: one function, and no id.
    return [*calls, {"function": old}] if isinstance(old, dict) else calls


def _kind_of(block: Any) -> str:
    if isinstance(block, str):
        return "text"
    if not isinstance(block, dict):
        raise BadRecordError("bad_messages", f"content is a {type(block).__name__}")
    kind = block.get("type")
    if isinstance(kind, str):
        return kind
    return "text" if isinstance(block.get("text"), str) else "unknown"


def _is_known(kind: str) -> bool:
    return kind in _CALLS | _RESULTS | _HIDDEN or kind.endswith("_tool_result")


def _read_text(block: Any, kind: str) -> str:
    if isinstance(block, str):
        return block
    if kind not in _TEXT:
        raise BadRecordError("unsupported_content", f"a message has a part of type {kind[:80]!r}")
    # A template's text is not in the log, only what it was filled with: the function's input as it was told.
    told = pick_first(block, (*_WORDS, "arguments"))
    if told is None:
        raise BadRecordError("bad_messages", f"a part of type {kind!r} has no text")
    return _render(told)


def _read_output(value: Any) -> str:
    blocks = value if isinstance(value, list) else [value]
    return "".join(_read_output_block(block) for block in blocks)


def _read_output_block(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else ""
    if isinstance(kind, str) and kind in _MEDIA:
        raise BadRecordError("unsupported_content", f"a tool's result has a part of type {kind!r}")
    if isinstance(kind, str) and kind in _TEXT:
        return _read_text(block, kind)
    return _render(block)


def _render(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    # In a list, because render_json writes nothing for an empty object, and a call without arguments has `{}`.
    return render_json([value])[1:-1]

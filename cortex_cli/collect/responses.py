"""Items of the Responses API, as requests send them and responses give them, turned into messages.

Items: https://platform.openai.com/docs/api-reference/responses. What a server did on its own, such as searching
the web, is no message: it is named, because the answer rests on something that the prompt does not hold.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from cortex_cli.collect.records import BadRecordError, parse_messages, pick_first, render_json, typed
from cortex_cli.domain.interactions import Message

__all__ = ["Items", "parse_items", "render_tools", "split_answer"]

# What a client runs in a form of its own, and the name under which it stands beside functions.
_CLIENT_CALLS = {"local_shell_call": "local_shell", "shell_call": "shell", "apply_patch_call": "apply_patch"}
_SERVER_CALLS = {
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "mcp_call",
    "tool_search_call",
    "program",
}
# Thoughts, and what only sets a tool up: nothing of them was said to anybody.
_SILENT = {"reasoning", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "tool_search_output"}
# Content that stands somewhere else.
_BY_REFERENCE = {"item_reference", "compaction", "compaction_summary"}


class Items(NamedTuple):
    """Messages of a list of items, the kinds of what the server ran, and whether no content stands elsewhere."""

    messages: tuple[Message, ...]
    server_calls: tuple[str, ...] = ()
    whole: bool = True


def parse_items(items: Any, where: str) -> Items:
    """Turn *items*, a text or a list, into messages; raise `BadRecordError` for what cannot be one.

    What the assistant said and called in one go is one message.
    """
    if isinstance(items, str):
        return Items((Message("user", items),)) if items else Items(())
    listed = typed(items, list[dict[str, Any]], where) or []
    told: list[dict[str, Any]] = []
    for item in listed:
        _add_item(told, item)
    kinds = [str(item.get("type")) for item in listed]
    server = tuple(sorted({kind for kind in kinds if kind in _SERVER_CALLS}))
    return Items(parse_messages(told), server, not any(kind in _BY_REFERENCE for kind in kinds))


def split_answer(messages: tuple[Message, ...]) -> Message:
    """Return what a response says, all its messages as one: texts in a row, as the SDK's `output_text` does."""
    if any(message.role != "assistant" for message in messages):
        raise BadRecordError("bad_messages", "the response holds what the assistant did not say")
    calls = [message.tool_calls for message in messages if message.tool_calls]
    joined = calls[0] if len(calls) == 1 else _join_lists(calls)
    return Message("assistant", "".join(message.content for message in messages), tool_calls=joined)


def render_tools(tools: Any) -> str:
    """Return tools in the form of chat completions: the Responses API writes a function without its envelope."""
    return render_json([_wrap_tool(tool) for tool in typed(tools, list[dict[str, Any]], "tools") or []])


def _wrap_tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function" or "function" in tool:
        return tool
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _join_lists(texts: Iterable[str]) -> str:
    inner = [text[1:-1] for text in texts]
    return f"[{','.join(inner)}]" if inner else ""


def _add_item(told: list[dict[str, Any]], item: dict[str, Any]) -> None:
    kind = item.get("type") or "message"
    if not isinstance(kind, str):
        raise BadRecordError("wrong_type", "the type of an item is no text")
    if kind == "message":
        told.append({"role": item.get("role"), "content": item.get("content")})
    elif (call := _find_call(kind, item)) is not None:
        _add_call(told, call)
    elif kind.endswith("_call_output"):
        told.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": _find_result(item)})
    elif kind not in _SERVER_CALLS | _SILENT | _BY_REFERENCE:
        raise BadRecordError("unsupported_content", f"an item of type {kind[:80]!r}")


def _find_call(kind: str, item: dict[str, Any]) -> dict[str, Any] | None:
    name = {"id": item["call_id"]} if isinstance(item.get("call_id"), str) else {}
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        return {**name, "type": "function", "function": function}
    if kind == "custom_tool_call":
        return {**name, "type": "custom", "custom": {"name": item.get("name"), "input": item.get("input")}}
    if kind in _CLIENT_CALLS:
        action = pick_first(item, ("action", "operation", "patch"))
        return {**name, "type": "function", "function": {"name": _CLIENT_CALLS[kind], "arguments": action}}
    return None


def _add_call(told: list[dict[str, Any]], call: dict[str, Any]) -> None:
    if told and told[-1].get("role") == "assistant":
        told[-1].setdefault("tool_calls", []).append(call)
    else:
        told.append({"role": "assistant", "content": "", "tool_calls": [call]})


def _find_result(item: dict[str, Any]) -> Any:
    result = item.get("output")
    if isinstance(result, list) and all(isinstance(part, dict) and "text" in part for part in result):
        return result
    if isinstance(result, dict | list):
        if "image" in str(item.get("type")) or _holds_image(result):
            raise BadRecordError("unsupported_content", "the result of a call is a picture or a file")
        return render_json(result)
    return result


def _holds_image(result: Any) -> bool:
    parts = result if isinstance(result, list) else [result]
    kinds = [part.get("type") for part in parts if isinstance(part, dict)]
    return any(isinstance(kind, str) and ("image" in kind or "screenshot" in kind or "file" in kind) for kind in kinds)

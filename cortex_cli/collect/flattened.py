"""Lists that producers flatten into attributes: `llm.input_messages.0.message.role` and `gen_ai.prompt.0.content`.

The same lists also come unflattened, or half so. All forms are put together again; a list with a gap has lost
some of its attributes to a limit of the producer, and is refused instead of learned from.
"""

from typing import Any

import msgspec

from cortex_cli.collect.records import BadRecordError, pick_first

__all__ = ["REDACTED", "gather", "read_indexed", "read_openinference", "read_tools"]

# What OpenInference writes in place of content that its settings hide.
REDACTED = "__REDACTED__"
# Longer lists than any conversation; an index beyond makes no list of that length.
_MOST = 100_000


def gather(attributes: dict[str, Any], name: str) -> list[Any]:
    """Return the list called *name*, however it was flattened; empty when there is none.

    Raises `BadRecordError` when elements are missing in between.
    """
    whole = attributes.get(name)
    if isinstance(whole, list):
        return [_nest_value(item) for item in whole]
    start = name + "."
    flat = {key: item for key, item in attributes.items() if key.startswith(start)}
    return _as_list(_nest(flat, len(start)), name) if flat else []


def read_openinference(attributes: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the messages under *name* of OpenInference in the form of OpenAI."""
    found = []
    for item in gather(attributes, name):
        message = item.get("message", item) if isinstance(item, dict) else {}
        found.append(_read_message(message if isinstance(message, dict) else {}))
    return found


def read_indexed(attributes: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the messages under *name* of OpenLLMetry, such as `gen_ai.prompt`, in the form of OpenAI."""
    found = []
    for item in gather(attributes, name):
        message = item if isinstance(item, dict) else {}
        calls = [
            {"function": call, **call} for call in _as_list(message.get("tool_calls"), name) if isinstance(call, dict)
        ]
        found.append({**message, "content": _decode_parts(message.get("content")), "tool_calls": calls})
    return found


def read_tools(attributes: dict[str, Any]) -> list[Any]:
    """Return the tools that the model was given, in the form of OpenAI, whoever flattened them."""
    schemas = [
        _decode(pick_first(item.get("tool", item), ("json_schema", "tool.json_schema")))
        for item in gather(attributes, "llm.tools")
        if isinstance(item, dict) and isinstance(item.get("tool", item), dict)
    ]
    functions = [_read_function(item) for item in gather(attributes, "llm.request.functions") if isinstance(item, dict)]
    return [schema for schema in schemas if isinstance(schema, dict)] + functions


def _read_message(message: dict[str, Any]) -> dict[str, Any]:
    calls = [_read_call(item) for item in _as_list(message.get("tool_calls"), "tool_calls") if isinstance(item, dict)]
    if "function_call_name" in message:
        function = {"name": message["function_call_name"], "arguments": message.get("function_call_arguments_json")}
        calls.append({"function": function})
    parts = [_read_part(item) for item in _as_list(message.get("contents"), "contents") if isinstance(item, dict)]
    told = {key: message[key] for key in ("role", "name", "tool_call_id") if message.get(key)}
    return {**told, "content": parts or message.get("content"), "tool_calls": calls}


def _read_call(item: dict[str, Any]) -> dict[str, Any]:
    call = item.get("tool_call", item)
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        raise BadRecordError("bad_messages", "a tool call has no function")
    # Python's and JavaScript's instrumentations differ in whether arguments without any are told.
    return {**call, "function": {"arguments": "{}", **call["function"]}}


def _read_part(item: dict[str, Any]) -> dict[str, Any]:
    part = item.get("message_content", item)
    return part if isinstance(part, dict) else {"type": "unknown"}


def _read_function(item: dict[str, Any]) -> dict[str, Any]:
    parameters = _decode(item.get("parameters"))
    told = {key: item[key] for key in ("name", "description") if isinstance(item.get(key), str)}
    return {"type": "function", "function": {**told, "parameters": parameters}}


def _decode_parts(content: Any) -> Any:
    if not isinstance(content, str) or not content.startswith("[{"):
        return content
    parts = _decode(content)
    blocks = isinstance(parts, list) and all(
        isinstance(part, dict) and isinstance(part.get("type"), str) for part in parts
    )
    return parts if blocks else content


def _decode(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return value


def _nest_value(item: Any) -> Any:
    if isinstance(item, list):
        return [_nest_value(element) for element in item]
    return _nest(item, 0) if isinstance(item, dict) else item


def _nest(flat: dict[str, Any], skipped: int) -> dict[str, Any]:
    """Return *flat*, whose keys are dotted after the first *skipped* characters, as a tree."""
    tree: dict[str, Any] = {}
    for key, item in flat.items():
        _insert(tree, key[skipped:].split("."), _nest_value(item))
    return tree


def _insert(tree: dict[str, Any], path: list[str], item: Any) -> None:
    """Put *item* into *tree* under *path*; where a key holds a value and a tree, the tree stays."""
    for part in path[:-1]:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = tree[part] = {}
        tree = below
    last = path[-1]
    if not isinstance(tree.get(last), dict):
        tree[last] = item
    elif isinstance(item, dict):
        tree[last].update(item)


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, list):
        return value
    numbered = {
        int(key): item for key, item in _as_dict(value).items() if key.isascii() and key.isdigit() and len(key) < 7
    }
    if not numbered:
        return []
    if max(numbered) >= _MOST or len(numbered) <= max(numbered):
        raise BadRecordError("truncated", f"of the list {name!r} some elements are missing")
    return [item for _, item in sorted(numbered.items())]

"""Rows of TensorZero's inference tables: `ChatInference`, `JsonInference` and `ModelInference`."""

import uuid
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.conversations import Conversation
from cortex_cli.collect.measures import name_agent, read_amount, read_count, read_text
from cortex_cli.collect.records import BadRecordError, Place, parse_time, pick_first, render_json, typed
from cortex_cli.domain.interactions import Interaction, Message, Origin

__all__ = ["ModelCall", "read_id", "read_inference", "read_json", "read_model_call", "read_row_time", "read_tags"]

# Reasons to stop after which an answer is whole.
_WHOLE = {"stop", "tool_call", "stop_sequence", "unknown"}


class ModelCall(NamedTuple):
    """What one call of a model spent for an inference."""

    id: str
    model: str
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    finish: str
    origin: Origin


def read_inference(value: dict[str, Any], place: Place) -> Interaction:
    """Return the row *value* of a chat or JSON function as an interaction without its id."""
    number, tags = read_id(value, "id", "inference_id"), read_tags(value)
    agent = name_agent(value.get("function_name")) or place.agent
    if not agent:
        raise BadRecordError("no_agent", "the row names no function; give an agent with --agent")
    milliseconds = read_amount(value.get("processing_time_ms"), "processing_time_ms")
    text, calls = _read_output(value)
    variant = read_text(value.get("variant_name"), "variant_name")
    return Interaction(
        id="",
        agent=agent,
        time=read_row_time(value, number),
        messages=_read_input(read_json(value.get("input"), "input")),
        output=text or calls,
        calls=calls,
        episode=read_text(value.get("episode_id"), "episode_id"),
        tools=_read_tools(value),
        latency=None if milliseconds is None else milliseconds / 1000.0,
        domain=tags.get("domain", ""),
        user=tags.get("user_id", ""),
        aliases=join_names(number),
        origin=place.origin,
        meta={"variant": variant} if variant else {},
    )


def read_model_call(value: dict[str, Any], place: Place) -> tuple[str, ModelCall]:
    """Return the id of the inference that the `ModelInference` row *value* belongs to, and what it spent."""
    finish = read_text(value.get("finish_reason"), "finish_reason")
    call = ModelCall(
        id=read_text(value.get("id"), "id"),
        model=read_text(value.get("model_name"), "model_name"),
        tokens_in=read_count(value.get("input_tokens"), "input_tokens"),
        tokens_out=read_count(value.get("output_tokens"), "output_tokens"),
        cost=read_amount(value.get("cost"), "cost"),
        finish="" if finish in _WHOLE else finish,
        origin=place.origin,
    )
    return read_id(value, "inference_id"), call


def read_id(value: dict[str, Any], *names: str) -> str:
    """Return the id under the first of *names*; raise `BadRecordError` when there is none."""
    number = read_text(pick_first(value, names), names[0])
    if not number:
        raise BadRecordError("missing_field", f"{names[0]!r} is missing or empty")
    return number


def read_row_time(value: dict[str, Any], number: str) -> str:
    """Return when a row was written: its timestamp, or the moment that its id, a UUID of version 7, holds."""
    told = parse_time(pick_first(value, ("timestamp", "created_at")))
    if told or not number:
        return told
    try:
        found = uuid.UUID(number)
    except ValueError:
        return ""
    # RFC 9562, 5.7: the first 48 bits are milliseconds since 1970.
    return parse_time(found.int >> 80) if found.version == 7 else ""


def read_tags(value: dict[str, Any]) -> dict[str, str]:
    """Return the tags of a row; values that are no text are left out."""
    tags = typed(read_json(value.get("tags"), "tags"), dict[str, Any], "tags") or {}
    return {name: text for name, text in tags.items() if isinstance(text, str)}


def read_json(value: Any, name: str) -> Any:
    """Return what the JSON text *value* stands for; ClickHouse gives columns as text, Postgres as values."""
    if not isinstance(value, str) or not value:
        return value
    try:
        return msgspec.json.decode(value)
    except RecursionError as error:
        raise BadRecordError("too_deep", f"{name} is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRecordError("not_json", f"{name}: {error}") from error


def _read_input(told: Any) -> tuple[Message, ...]:
    asked = typed(told, dict[str, Any], "input")
    if not asked:
        raise BadRecordError("incomplete_export", "the row has no input")
    conversation = Conversation()
    if asked.get("system"):
        # A system template is filled with an object; its text is in the configuration, not in the row.
        conversation.add({"role": "system", "content": render_json(asked["system"])})
    for message in typed(asked.get("messages"), list[dict[str, Any]], "messages") or []:
        content = message.get("content")
        filled = [{"type": "template", "arguments": content}] if isinstance(content, dict) else content
        conversation.add({**message, "content": filled})
    if not conversation.messages:
        raise BadRecordError("incomplete_export", "the input has no messages")
    return tuple(conversation.messages)


def _read_output(value: dict[str, Any]) -> tuple[str, str]:
    told = read_json(value.get("output"), "output")
    if told is None or told == "":
        raise BadRecordError("incomplete_export", "the row has no output")
    if isinstance(told, dict):
        text = told.get("raw")
        answer = Message("assistant", text if isinstance(text, str) else render_json(told.get("parsed")))
    else:
        answer = Conversation().add({"role": "assistant", "content": typed(told, list[Any], "output")})[-1]
    if not (answer.content or answer.tool_calls):
        raise BadRecordError("no_answer", "the output has neither text nor tool calls")
    return answer.content, answer.tool_calls


def _read_tools(value: dict[str, Any]) -> str:
    legacy = read_json(value.get("tool_params"), "tool_params")
    told = legacy.get("tools_available") if isinstance(legacy, dict) else None
    listed = pick_first({**value, "tools_available": told}, ("tools_available", "dynamic_tools", "additional_tools"))
    tools = [read_json(tool, "tool") for tool in typed(listed, list[Any], "tools") or []]
    named = [tool for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
    kept = ("name", "description", "parameters", "strict")
    functions = [{name: tool[name] for name in kept if tool.get(name) is not None} for tool in named]
    return render_json([{"type": "function", "function": function} for function in functions])

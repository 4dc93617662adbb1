"""The log database of the `llm` tool: each call of a model is an interaction with all that was said before it.

Both of its schemas are read: the tree of messages that current versions write, and the `responses` of versions
before. A value of this format is one call as `llm_tables` reads it from the file.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.conversations import Conversation
from cortex_cli.collect.measures import read_amount, read_count, read_text
from cortex_cli.collect.records import (
    BadRecordError,
    EachRecord,
    Format,
    Place,
    Record,
    identify,
    parse_time,
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Interaction, Message

__all__ = ["FORMAT"]

_AGENT = "llm"


def _recognises(value: dict[str, Any]) -> bool:
    return {"llm", "messages", "answers"} <= value.keys()


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    if value.get("fault"):
        raise BadRecordError(read_text(value["fault"], "fault"), read_text(value.get("detail"), "detail"))
    call = typed(value.get("llm"), dict[str, Any], "llm") or {}
    asked, answer = _converse(value)
    milliseconds = read_amount(call.get("duration_ms"), "duration_ms")
    record = Interaction(
        id="",
        agent=place.agent or _AGENT,
        time=parse_time(call.get("datetime_utc")),
        messages=asked,
        output=answer.content if answer.content.strip() else answer.tool_calls,
        calls=answer.tool_calls,
        episode=read_text(call.get("conversation"), "conversation"),
        tools=render_json([_read_tool(tool) for tool in typed(value.get("tools"), list[Any], "tools") or []]),
        latency=None if milliseconds is None else milliseconds / 1000.0,
        tokens_in=read_count(call.get("input_tokens"), "input_tokens"),
        tokens_out=read_count(call.get("output_tokens"), "output_tokens"),
        aliases=join_names(call.get("id")),
        origin=place.origin,
        meta=_read_meta(call),
    )
    _check_text(record)
    return [identify(record)]


def _converse(value: dict[str, Any]) -> tuple[tuple[Message, ...], Message]:
    talk = Conversation()
    for message in typed(value.get("messages"), list[Any], "messages") or []:
        talk.add(message)
    asked = len(talk.messages)
    for message in typed(value.get("answers"), list[Any], "answers") or []:
        talk.add(message)
    # What the service does with tools of its own stands between several messages of one answer.
    *between, answer = talk.messages[asked:] or [Message("assistant", "")]
    if not (answer.content.strip() or answer.tool_calls):
        raise BadRecordError("no_answer", "the response has neither text nor tool calls")
    return (*talk.messages[:asked], *between), answer


def _read_tool(tool: Any) -> dict[str, Any]:
    told = typed(tool, dict[str, Any], "tool") or {}
    return {"type": "function", "function": {name: item for name, item in told.items() if item is not None}}


def _read_meta(call: dict[str, Any]) -> dict[str, str]:
    model = read_text(call.get("resolved_model"), "model") or read_text(call.get("model"), "model")
    found = {"model": model, "schema": read_text(call.get("schema_id"), "schema_id")}
    return {name: text for name, text in found.items() if text}


def _check_text(record: Interaction) -> None:
    # SQLite keeps any bytes as text; those that are none were read as lone surrogates.
    for text in (record.output, *(part for message in record.messages for part in (message.content, message.name))):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRecordError("not_utf8", "a text in the database is not UTF-8") from error


def _read_database(path: Path) -> Iterator[dict[str, Any]]:
    from cortex_cli.collect.formats.llm_tables import read_calls

    return read_calls(path)


FORMAT = Format(
    "llm",
    "logs.db of the llm tool",
    _recognises,
    lambda: EachRecord(_parse),
    read_database=_read_database,
)

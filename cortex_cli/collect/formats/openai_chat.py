"""OpenAI chat: `{"messages": [...]}` as for fine-tuning, and logged `{"request": ..., "response": ...}` pairs."""

from collections.abc import Iterable, Iterator
from typing import Any

from cortex_cli.collect.records import (
    BadRecordError,
    EachRecord,
    Format,
    Place,
    Record,
    identify,
    parse_messages,
    parse_time,
    pick_agent,
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Interaction, Message

__all__ = ["FORMAT"]

_TUNING = {"messages", "tools", "parallel_tool_calls", "functions"}


def _recognises(value: dict[str, Any]) -> bool:
    if isinstance(value.get("messages"), list) and value.keys() <= _TUNING:
        return True
    request = value.get("request")
    return isinstance(request, dict) and "messages" in request and "response" in value


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    return _parse_pair(value, place) if "request" in value else [_parse_tuning(value, place)]


def _parse_tuning(value: dict[str, Any], place: Place) -> Interaction:
    messages = parse_messages(value.get("messages"))
    if not messages or messages[-1].role != "assistant":
        raise BadRecordError("no_answer", "the last message is not the assistant's")
    return identify(
        Interaction(
            id="",
            agent=pick_agent(value, place, "agent"),
            time="",
            messages=messages[:-1],
            output=_output(messages[-1]),
            tools=render_json(value.get("tools") or value.get("functions")),
            origin=place.origin,
        )
    )


def _parse_pair(value: dict[str, Any], place: Place) -> Iterator[Record]:
    request, response = value["request"], value.get("response")
    if not isinstance(request, dict) or not isinstance(response, dict | None):
        raise BadRecordError("wrong_type", "request and response are objects")
    failure = value.get("error") or (response or {}).get("error")
    choices = (response or {}).get("choices") or []
    if not isinstance(choices, list) or not (choices or failure):
        raise BadRecordError("no_answer", "the response has neither choices nor an error")
    for number, choice in enumerate(choices or [{}]):
        yield _parse_choice(value, choice, place, number)


def _parse_choice(value: dict[str, Any], choice: Any, place: Place, number: int) -> Interaction:
    request, response = value["request"], value.get("response") or {}
    failure = value.get("error") or response.get("error")
    usage = typed(response.get("usage"), dict[str, Any], "usage") or {}
    message = choice.get("message") if isinstance(choice, dict) else None
    answer = parse_messages([message])[0] if message else Message("assistant", "")
    return identify(
        Interaction(
            id="",
            agent=pick_agent(value, place, "agent"),
            time=parse_time(response.get("created") or value.get("time")),
            messages=parse_messages(request.get("messages")),
            output=_output(answer),
            tools=render_json(request.get("tools")),
            outcome="error" if failure else "unknown",
            error=_describe(failure),
            latency=typed(value.get("latency"), float, "latency"),
            # The prompt was paid once for all choices of a response.
            tokens_in=typed(usage.get("prompt_tokens"), int, "prompt_tokens") if number == 0 else 0,
            tokens_out=typed(usage.get("completion_tokens"), int, "completion_tokens") if number == 0 else 0,
            user=typed(request.get("user"), str, "user") or "",
            origin=place.origin,
            meta=_meta(request, response, number),
        )
    )


def _output(message: Message) -> str:
    # An answer that only calls tools is its calls.
    return message.content or message.tool_calls


def _describe(failure: Any) -> str:
    if not failure:
        return ""
    if isinstance(failure, dict):
        return str(failure.get("message") or render_json(failure))
    return str(failure)


def _meta(request: dict[str, Any], response: dict[str, Any], number: int) -> dict[str, str]:
    found = {"model": response.get("model") or request.get("model"), "producer_id": response.get("id")}
    meta = {key: text for key, text in found.items() if isinstance(text, str) and text}
    if number and "producer_id" in meta:
        meta["producer_id"] += f"#{number}"
    return meta


FORMAT = Format(
    "openai-chat", "OpenAI fine-tuning files and request/response logs", _recognises, lambda: EachRecord(_parse)
)

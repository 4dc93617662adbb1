"""LiteLLM: `StandardLoggingPayload` lines, as its custom loggers, buckets and queues write them, failures too.

Fields: https://docs.litellm.ai/docs/proxy/logging_spec. Latency is end minus start, because `response_time` is the
time to the first token when streaming. Addresses and hashes of API keys are not kept.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cortex_cli.collect.completions import describe_failure, fill_answer, join_names, parse_choices
from cortex_cli.collect.records import (
    BadRecordError,
    EachRecord,
    Format,
    Place,
    Record,
    Skipped,
    identify,
    parse_messages,
    parse_time,
    pick_agent,
    pick_first,
    render_json,
    typed,
)
from cortex_cli.collect.responses import parse_items, render_tools, split_answer
from cortex_cli.domain.interactions import Interaction, Message

__all__ = ["FORMAT"]

_PAYLOAD = "standard_logging_object"
_MARKS = {"call_type", "startTime", "endTime"}
_REDACTED = '"redacted-by-litellm"'
# Parts of the call types that ask a model to answer; others embed, rank, draw or look after files.
_INFERENCE = ("completion", "responses", "messages", "generate_content")


def _recognises(value: dict[str, Any]) -> bool:
    inner = _unwrap(value)
    return isinstance(inner, dict) and inner.keys() >= _MARKS


def _unwrap(value: dict[str, Any]) -> Any:
    kwargs = value.get("kwargs")
    holder = kwargs if isinstance(kwargs, dict) else value
    return holder.get(_PAYLOAD, holder)


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record | Skipped]:
    payload = typed(_unwrap(value), dict[str, Any], _PAYLOAD)
    if payload is None or not payload.keys() >= _MARKS:
        raise BadRecordError("missing_field", f"the payload lacks one of {', '.join(sorted(_MARKS))}")
    called = typed(payload["call_type"], str, "call_type") or ""
    if not any(part in called for part in _INFERENCE):
        return [Skipped("not_inference")]
    if _REDACTED in render_json([payload.get("messages"), payload.get("response")]):
        raise BadRecordError("redacted_by_producer", "the producer was told not to log messages")
    return [identify(record) for record in _parse_answers(payload, place)]


def _parse_answers(payload: dict[str, Any], place: Place) -> Iterator[Interaction]:
    base, response = _describe(payload, place), payload.get("response")
    if isinstance(response, dict) and response.get("choices"):
        # What a cache gave has the id of the answer that it repeats, which is the name of another interaction.
        hit = payload.get("cache_hit") is True
        yield from parse_choices(base, {**response, "id": None} if hit else response)
    elif (answer := _find_answer(response)) is not None:
        named = response.get("id") if isinstance(response, dict) else None
        yield fill_answer(msgspec.structs.replace(base, aliases=join_names(named, *base.aliases)), answer)
    elif base.outcome == "error":
        yield base
    else:
        raise BadRecordError("no_answer", "the response holds no answer")


def _find_answer(response: Any) -> Message | None:
    if isinstance(response, str) and response:
        return Message("assistant", response)
    if not isinstance(response, dict):
        return None
    if response.get("object") == "response":
        items = parse_items(response.get("output"), "output")
        return split_answer(items.messages) if items.messages else None
    if response.get("content") or response.get("text"):
        (answer,) = parse_messages([{"role": "assistant", "content": pick_first(response, ("content", "text"))}])
        return answer
    return None


def _describe(payload: dict[str, Any], place: Place) -> Interaction:
    told = typed(payload.get("model_parameters"), dict[str, Any], "model_parameters") or {}
    metadata = typed(payload.get("metadata"), dict[str, Any], "metadata") or {}
    failed = payload.get("status") == "failure"
    messages, whole = _parse_prompt(payload, told)
    return Interaction(
        id="",
        agent=pick_agent({**metadata, **payload}, place, "agent"),
        time=parse_time(payload["startTime"]),
        messages=messages,
        episode=typed(payload.get("session_id") or payload.get("trace_id"), str, "trace_id") or "",
        tools=render_tools(told.get("tools")),
        outcome="error" if failed else "unknown",
        error=_find_error(payload) if failed else "",
        latency=_seconds(payload),
        tokens_in=typed(payload.get("prompt_tokens"), int, "prompt_tokens"),
        tokens_out=typed(payload.get("completion_tokens"), int, "completion_tokens"),
        cost=typed(payload.get("response_cost"), float, "response_cost"),
        user=typed(payload.get("end_user") or told.get("user"), str, "end_user") or "",
        origin=place.origin,
        aliases=join_names(payload.get("id"), payload.get("litellm_call_id")),
        meta=_meta(payload) | ({} if whole else {"history": "missing"}),
    )


def _parse_prompt(payload: dict[str, Any], told: dict[str, Any]) -> tuple[tuple[Message, ...], bool]:
    given = payload.get("messages")
    listed = [given] if isinstance(given, dict) else given
    lead = told.get("instructions")
    system = (Message("system", lead),) if isinstance(lead, str) and lead else ()
    if isinstance(listed, str):
        return (*system, Message("user", listed)), not told.get("previous_response_id")
    if not listed:
        raise BadRecordError("prompt_missing", "the payload has no messages")
    if "responses" in payload["call_type"]:
        items = parse_items(listed, "messages")
        return (*system, *items.messages), items.whole and not told.get("previous_response_id")
    return (*system, *parse_messages(listed)), True


def _find_error(payload: dict[str, Any]) -> str:
    told = typed(payload.get("error_information"), dict[str, Any], "error_information") or {}
    return describe_failure(payload.get("error_str") or told.get("error_message")) or "failure"


def _seconds(payload: dict[str, Any]) -> float | None:
    began, ended = (typed(payload[key], float, key) for key in ("startTime", "endTime"))
    if began is None or ended is None:
        return None
    if ended < began:
        raise BadRecordError("bad_time", f"the call ended {began - ended:g} seconds before it began")
    return float(ended - began)


def _meta(payload: dict[str, Any]) -> dict[str, str]:
    tags = typed(payload.get("request_tags"), list[str], "request_tags") or []
    found = {
        "model": payload.get("model"),
        "model_group": payload.get("model_group"),
        "provider": payload.get("custom_llm_provider"),
        "tags": ",".join(tags),
        "cache_hit": "true" if payload.get("cache_hit") is True else "",
    }
    return {key: text for key, text in found.items() if isinstance(text, str) and text}


FORMAT = Format("litellm", "LiteLLM logging payloads (StandardLoggingPayload)", _recognises, lambda: EachRecord(_parse))

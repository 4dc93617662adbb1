"""OpenAI Responses: `{"request": ..., "response": ...}` pairs, responses that carry their input, and stream events.

`previous_response_id` keeps history on the server. It is joined from the responses of the same source, in any
order; what is not there is marked as missing. Instructions are those of one request and never carry over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from cortex_cli.collect.completions import describe_failure, fill_answer, join_names
from cortex_cli.collect.records import (
    BadRecordError,
    Format,
    Place,
    Record,
    Skipped,
    identify,
    parse_time,
    pick_agent,
    pick_first,
    typed,
)
from cortex_cli.collect.responses import Items, parse_items, render_tools, split_answer
from cortex_cli.domain.interactions import Interaction, Message

__all__ = ["FORMAT", "parse_response"]

_OPEN = {"in_progress", "queued"}
_INPUTS = ("input", "input_items")


def _recognises(value: dict[str, Any]) -> bool:
    if isinstance(value.get("type"), str) and value["type"].startswith("response.") and value.keys() >= {"type"}:
        return "sequence_number" in value or isinstance(value.get("response"), dict)
    if value.get("object") == "response" and "output" in value:
        return True
    request, response = value.get("request"), value.get("response")
    if isinstance(response, dict) and response.get("object") == "response":
        return True
    return isinstance(request, dict) and "input" in request and "messages" not in request and "response" in value


@dataclass(slots=True)
class _Turn:
    """A response whose history may be told later: *said* is its own input without instructions, and its answer."""

    record: Interaction
    lead: tuple[Message, ...]
    said: tuple[Message, ...]
    answer: tuple[Message, ...]
    previous: str
    whole: bool


class _Responses:
    """One reading: a response waits until the source ends for the one that it follows."""

    def __init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._waiting: list[_Turn] = []

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record | Skipped]:
        if _is_event(value):
            if not isinstance(value.get("response"), dict) or value["response"].get("status") in _OPEN:
                return [Skipped("stream_event")]
            value = {**value, "request": value.get("request") or value["response"]}
        turn = _parse_turn(value, place)
        for name in turn.record.aliases:
            self._turns.setdefault(name, turn)
        if turn.previous:
            self._waiting.append(turn)
            return ()
        return [identify(_settle(turn, turn.said, whole=turn.whole))]

    def finish(self) -> Iterable[Record]:
        return [identify(_settle(turn, *self._find_history(turn))) for turn in self._waiting]

    def _find_history(self, turn: _Turn) -> tuple[tuple[Message, ...], bool]:
        parts, whole, seen = [turn.said], turn.whole, {id(turn)}
        while turn.previous:
            before = self._turns.get(turn.previous)
            # A chain that comes back to itself has no first turn.
            if before is None or id(before) in seen:
                return _join(parts), False
            seen.add(id(before))
            parts.append((*before.said, *before.answer))
            turn, whole = before, whole and before.whole
        return _join(parts), whole


def _join(parts: list[tuple[Message, ...]]) -> tuple[Message, ...]:
    return tuple(message for part in reversed(parts) for message in part)


def _settle(turn: _Turn, said: tuple[Message, ...], whole: bool) -> Interaction:
    missing = {} if whole else {"history": "missing"}
    return msgspec.structs.replace(turn.record, messages=(*turn.lead, *said), meta=turn.record.meta | missing)


def _is_event(value: dict[str, Any]) -> bool:
    return "object" not in value and isinstance(value.get("type"), str) and value["type"].startswith("response.")


def parse_response(value: dict[str, Any], place: Place) -> Interaction:
    """Return the interaction of one *value* that stands alone; history on the server is marked as missing."""
    turn = _parse_turn(value, place)
    return identify(_settle(turn, turn.said, whole=turn.whole and not turn.previous))


def _parse_turn(value: dict[str, Any], place: Place) -> _Turn:
    request, response = _halves(value)
    status = typed(response.get("status"), str, "status") or ""
    if status in _OPEN:
        raise BadRecordError("unfinished", f"the response is {status}")
    asked = _parse_prompt(request, response)
    output = parse_items(response.get("output"), "output")
    record = _describe(value, place)
    if not (output.messages or record.error or status == "incomplete"):
        raise BadRecordError("no_answer", "the response has neither an output nor an error")
    answer = split_answer(output.messages)
    filled = fill_answer(record, answer, server_calls=",".join(output.server_calls))
    return _Turn(
        record=filled,
        lead=_parse_lead(request, response),
        said=asked.messages,
        answer=output.messages,
        previous=typed(pick_first({**response, **request}, ("previous_response_id",)), str, "previous_response_id")
        or "",
        # A conversation is history on the server too, and nothing tells how long it was.
        whole=asked.whole and not (request.get("conversation") or response.get("conversation")),
    )


def _halves(value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    if "response" in value or "request" in value:
        request = typed(value.get("request"), dict[str, Any], "request") or {}
        return request, typed(value.get("response"), dict[str, Any], "response") or {}
    return value, value


def _parse_prompt(request: dict[str, Any], response: dict[str, Any]) -> Items:
    given = pick_first(request, _INPUTS)
    if given is None:
        given = pick_first(response, _INPUTS)
    # As the list of input items of a stored response is given.
    listed = given.get("data") if isinstance(given, dict) else given
    if listed is None:
        raise BadRecordError("prompt_missing", "a response without its input; log the request beside it")
    return parse_items(listed, "input")


def _parse_lead(request: dict[str, Any], response: dict[str, Any]) -> tuple[Message, ...]:
    told = pick_first(request, ("instructions",)) or response.get("instructions")
    if told is None or isinstance(told, str):
        return (Message("system", told),) if told else ()
    return parse_items(told, "instructions").messages


def _describe(value: dict[str, Any], place: Place) -> Interaction:
    request, response = _halves(value)
    usage = typed(response.get("usage"), dict[str, Any], "usage") or {}
    status = typed(response.get("status"), str, "status") or ""
    failure = value.get("error") or response.get("error") or (status if status in {"failed", "cancelled"} else None)
    return Interaction(
        id="",
        agent=pick_agent(value, place, "agent"),
        time=parse_time(response.get("created_at") or pick_first(value, ("time", "timestamp"))),
        messages=(),
        episode=_episode(value, request, response),
        tools=render_tools(request.get("tools") or response.get("tools")),
        outcome="error" if failure else "unknown",
        error=describe_failure(failure),
        latency=_latency(value, response),
        tokens_in=typed(usage.get("input_tokens"), int, "input_tokens"),
        tokens_out=typed(usage.get("output_tokens"), int, "output_tokens"),
        cost=typed(value.get("cost"), float, "cost"),
        user=typed(pick_first({**response, **request}, ("safety_identifier", "user")), str, "user") or "",
        origin=place.origin,
        aliases=join_names(response.get("id")),
        meta=_meta(request, response),
    )


def _episode(value: dict[str, Any], request: dict[str, Any], response: dict[str, Any]) -> str:
    told = pick_first({**response, **request}, ("conversation",))
    named = told.get("id") if isinstance(told, dict) else told
    found = named or pick_first(value, ("episode", "conversation_id", "session_id"))
    return typed(found, str, "conversation") or ""


def _latency(value: dict[str, Any], response: dict[str, Any]) -> float | None:
    told: float | None = typed(value.get("latency"), float, "latency")
    began = typed(response.get("created_at"), float, "created_at")
    ended = typed(response.get("completed_at"), float, "completed_at")
    if told is not None or began is None or ended is None or ended < began:
        return told
    return float(ended - began)


def _meta(request: dict[str, Any], response: dict[str, Any]) -> dict[str, str]:
    details = typed(response.get("incomplete_details"), dict[str, Any], "incomplete_details") or {}
    found = {"model": response.get("model") or request.get("model")}
    if response.get("status") == "incomplete":
        found["finish"] = details.get("reason") or "incomplete"
    return {key: text for key, text in found.items() if isinstance(text, str) and text}


FORMAT = Format(
    "openai-responses", "OpenAI Responses: requests with their responses", _recognises, _Responses, joins=True
)

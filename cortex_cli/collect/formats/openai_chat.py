"""OpenAI chat: fine-tuning files, logged request/response pairs, and bare responses and stream chunks.

`{"messages": [...]}` is an example to learn from; `{"request": ..., "response": ...}` was observed, and its
response may be a list of chunks. A bare `chat.completion` or the `chat.completion.chunk` lines of one answer
are joined with the `{"id": ..., "request": ...}` line of the same source; an answer without its prompt is refused.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.completions import Stream, describe_failure, fill_answer, join_names, parse_choices
from cortex_cli.collect.examples import read_tools
from cortex_cli.collect.records import (
    BadRecordError,
    Format,
    Place,
    Quarantined,
    Record,
    identify,
    parse_messages,
    parse_time,
    pick_agent,
    pick_first,
    typed,
)
from cortex_cli.domain.interactions import Interaction

__all__ = ["FORMAT", "parse_pair"]

_TUNING = {"messages", "tools", "parallel_tool_calls", "functions"}
_ANSWER, _CHUNK = "chat.completion", "chat.completion.chunk"
_TIMES = ("time", "timestamp", "created_at")
_EPISODES = ("episode", "conversation_id", "session_id", "thread_id")


def _recognises(value: dict[str, Any]) -> bool:
    if isinstance(value.get("messages"), list):
        return value.keys() <= _TUNING or isinstance(value.get("choices"), list)
    if value.get("object") in (_ANSWER, _CHUNK):
        return isinstance(value.get("choices"), list)
    request = value.get("request")
    return isinstance(request, dict) and "messages" in request and bool(value.keys() & {"response", "id", "error"})


class _Held(NamedTuple):
    """A value that waits for its other half."""

    value: dict[str, Any]
    place: Place


class _Chats:
    """One reading: answers wait for their requests, chunks for the rest of their answer."""

    def __init__(self) -> None:
        self._requests: dict[str, _Held] = {}
        self._answers: list[_Held] = []
        self._streams: dict[str, tuple[Stream, Place]] = {}
        self._used: set[int] = set()

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record]:
        if value.get("object") == _CHUNK:
            return self._join_chunk(value, place)
        if "request" in value and "response" not in value and not value.get("error"):
            return self._hold_request(value, place)
        if "request" in value:
            return list(parse_pair(value, place))
        if "choices" in value:
            return self._read_answer(value, place)
        return [_parse_tuning(value, place)]

    def finish(self) -> Iterator[Record | Quarantined]:
        for stream, place in self._streams.values():
            answer = _Held(stream.render(), place)
            if stream.whole:
                self._answers.append(answer)
            else:
                yield Quarantined("unfinished", f"the stream {answer.value.get('id')!r} has no end", place.origin)
        for answer in self._answers:
            yield from self._join_answer(answer)
        for held in {id(held): held for held in self._requests.values() if id(held) not in self._used}.values():
            yield Quarantined("no_answer", "a request whose response is not in this source", held.place.origin)

    def _join_chunk(self, chunk: dict[str, Any], place: Place) -> Iterable[Record]:
        name = typed(chunk.get("id"), str, "id")
        if not name:
            raise BadRecordError("no_id", "a chunk without an id belongs to no answer")
        stream, _ = self._streams.get(name, (Stream(), place))
        stream.add(chunk)
        self._streams.setdefault(name, (stream, place))
        return ()

    def _hold_request(self, value: dict[str, Any], place: Place) -> Iterable[Record]:
        names = _names(value)
        if not names:
            raise BadRecordError("no_answer", "a request with neither a response nor an id to find it by")
        parse_messages(_request(value).get("messages"))
        # The first of two that differ stays: which of them was answered cannot be told.
        if any(self._requests[name].value["request"] != value["request"] for name in names if name in self._requests):
            raise BadRecordError("ambiguous_id", f"another request is called {names[0]!r} too")
        held = _Held(value, place)
        self._requests |= dict.fromkeys(names, held)
        return ()

    def _read_answer(self, value: dict[str, Any], place: Place) -> Iterable[Record]:
        if "messages" in value:
            return list(parse_pair({**value, "request": value, "response": value}, place))
        if not _names(value):
            raise BadRecordError("prompt_missing", "a response without its request and without an id")
        self._answers.append(_Held(value, place))
        return ()

    def _join_answer(self, answer: _Held) -> Iterator[Record | Quarantined]:
        held = next((self._requests[name] for name in _names(answer.value) if name in self._requests), None)
        if held is None:
            yield Quarantined("prompt_missing", "a response whose request is not in this source", answer.place.origin)
            return
        self._used.add(id(held))
        try:
            # A list: of a bad answer nothing is given, not its first choices.
            yield from list(parse_pair({**held.value, "response": answer.value}, answer.place))
        except BadRecordError as error:
            yield Quarantined(error.reason, error.detail, answer.place.origin)


def _parse_tuning(value: dict[str, Any], place: Place) -> Interaction:
    messages = parse_messages(value.get("messages"))
    weights = [typed(message.get("weight"), float, "weight") for message in value["messages"]]
    if not messages or messages[-1].role != "assistant":
        raise BadRecordError("no_answer", "the last message is not the assistant's")
    taught = [n for n, message in enumerate(messages) if message.role == "assistant" and weights[n] != 0]
    if not taught:
        raise BadRecordError("no_answer", "every answer has the weight 0")
    told = [
        f"{1 if weight is None else weight:g}"
        for weight, m in zip(weights, messages, strict=True)
        if m.role == "assistant"
    ]
    base = Interaction(
        id="",
        agent=pick_agent(value, place, "agent"),
        time="",
        messages=messages[: taught[-1]],
        tools=_render_tools(value),
        origin=place.origin,
        meta={"supervised": "true"},
    )
    weighed = any(weight is not None for weight in weights)
    record = fill_answer(base, messages[taught[-1]], weights=",".join(told) if weighed else "")
    if not record.output:
        raise BadRecordError("no_answer", "the answer is empty")
    return identify(record)


def parse_pair(value: dict[str, Any], place: Place) -> Iterator[Interaction]:
    """Yield the interactions of *value*, whose request and response are those of one chat completion."""
    response = _response(value.get("response"))
    failure = value.get("error") or response.get("error")
    base = _base(value, response, place)
    if failure:
        base = msgspec.structs.replace(base, outcome="error", error=describe_failure(failure))
    if failure and not response.get("choices"):
        yield identify(base)
    else:
        yield from parse_choices(base, response)


def _base(value: dict[str, Any], response: dict[str, Any], place: Place) -> Interaction:
    request = _request(value)
    model = typed(request.get("model"), str, "model")
    milliseconds = typed(value.get("latency_ms"), float, "latency_ms")
    messages = parse_messages(request.get("messages"))
    if not messages:
        raise BadRecordError("prompt_missing", "the request has no messages")
    return Interaction(
        id="",
        agent=pick_agent(value, place, "agent"),
        time=parse_time(response.get("created") or pick_first(value, _TIMES)),
        messages=messages,
        episode=typed(pick_first(value, _EPISODES), str, "episode") or "",
        tools=_render_tools(request),
        latency=typed(value.get("latency"), float, "latency") if milliseconds is None else milliseconds / 1000.0,
        cost=typed(value.get("cost"), float, "cost"),
        user=typed(pick_first(request, ("safety_identifier", "user")), str, "user") or "",
        origin=place.origin,
        aliases=join_names(response.get("id"), *_names(value)),
        meta={"model": model} if model else {},
    )


def _request(value: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = typed(value.get("request"), dict[str, Any], "request") or {}
    return request


def _response(value: Any) -> dict[str, Any]:
    if not isinstance(value, list):
        response: dict[str, Any] = typed(value, dict[str, Any], "response") or {}
        return response
    stream = Stream()
    for chunk in typed(value, list[dict[str, Any]], "response"):
        stream.add(chunk)
    if not stream.whole:
        raise BadRecordError("unfinished", "the stream of the response has no end")
    return stream.render()


def _names(value: dict[str, Any]) -> tuple[str, ...]:
    return join_names(*(value.get(key) for key in ("response_id", "request_id", "id")))


def _render_tools(request: dict[str, Any]) -> str:
    # The form before tools: functions alone.
    functions = typed(request.get("functions"), list[dict[str, Any]], "functions") or []
    return read_tools(request.get("tools") or [{"type": "function", "function": told} for told in functions])


FORMAT = Format("openai-chat", "OpenAI fine-tuning files and request/response logs", _recognises, _Chats, joins=True)

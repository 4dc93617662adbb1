"""Chat completions, as OpenAI and everything compatible with it answers them: choices become interactions.

Streams come as chunks; `Stream` puts the chunks of one answer together again.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from cortex_cli.collect.records import (
    BadRecordError,
    identify,
    parse_messages,
    parse_time,
    pick_first,
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Interaction, Message

__all__ = ["Stream", "describe_failure", "fill_answer", "join_names", "parse_choices"]

# Of these reasons to stop, all but the first two leave an answer that is not whole, or none.
_WHOLE = {"stop", "tool_calls", "function_call", ""}


def parse_choices(base: Interaction, response: dict[str, Any]) -> Iterator[Interaction]:
    """Yield *base* with each answer of the completion *response*; raise `BadRecordError` when there is none.

    A second choice is called `<response id>#1`. The prompt was paid once, so tokens and cost are on the first.
    """
    choices = typed(response.get("choices"), list[dict[str, Any]], "choices")
    if not choices:
        raise BadRecordError("no_answer", "the response has no choices")
    filled = _fill_response(base, response)
    for number, choice in enumerate(choices):
        told = _parse_choice(filled, choice)
        yield identify(_later_choice(told, number) if number else told)


def fill_answer(base: Interaction, answer: Message, **meta: str) -> Interaction:
    """Return *base* with *answer* as its output and calls, and with more *meta* where it is not empty."""
    told = {key: text for key, text in meta.items() if text}
    return msgspec.structs.replace(
        base, output=answer.content or answer.tool_calls, calls=answer.tool_calls, meta=base.meta | told
    )


def describe_failure(failure: Any) -> str:
    """Return what an error says in words: its message, or all of it; '' for None."""
    if not failure:
        return ""
    if isinstance(failure, dict):
        return render_json(failure.get("message")) or render_json(failure)
    return render_json(failure) or str(failure)


def join_names(*names: Any) -> tuple[str, ...]:
    """Return the *names* that are text and not empty, each once, in order: the aliases of a record."""
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str) and name))


class Stream:
    """One streamed answer, while its chunks come in."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: dict[str, Any]) -> None:
        """Take in the next *chunk*; raise `BadRecordError` when it is none."""
        choices = typed(chunk.get("choices"), list[dict[str, Any]], "choices") or []
        deltas = [(typed(choice.get("index"), int, "index") or 0, _read_delta(choice)) for choice in choices]
        head = {key: chunk[key] for key in ("id", "created", "model", "usage") if chunk.get(key)}
        self._head = {**head, **self._head, **({"usage": head["usage"]} if "usage" in head else {})}
        for choice, (index, delta) in zip(choices, deltas, strict=True):
            self._choices.setdefault(index, _Choice()).add(delta, choice.get("finish_reason"))

    @property
    def whole(self) -> bool:
        """Whether every choice has told why it stopped."""
        return bool(self._choices) and all(choice.finish for choice in self._choices.values())

    def render(self) -> dict[str, Any]:
        """Return the answer as a response that was not streamed."""
        choices = [choice.render() for _, choice in sorted(self._choices.items())]
        return {**self._head, "choices": choices}


class _Choice:
    def __init__(self) -> None:
        self.finish = ""
        self._texts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, delta: "_Delta", finish: Any) -> None:
        # Some servers send their usage in one more chunk that says nothing.
        if self.finish and (delta.content or delta.refusal or delta.tool_calls):
            # A log that holds a stream twice would say everything twice.
            raise BadRecordError("after_end", "a chunk after the one that ended its answer")
        if isinstance(finish, str) and finish:
            self.finish = finish
        self._texts["content"].append(delta.content or "")
        self._texts["refusal"].append(delta.refusal or "")
        for number, part in enumerate(delta.tool_calls or []):
            call = self._calls.setdefault(number if part.index is None else part.index, {})
            call.update({key: text for key, text in (("id", part.id), ("type", part.type)) if text})
            if part.function:
                name, arguments = call.get("function", ("", ""))
                call["function"] = (name or part.function.name or "", arguments + (part.function.arguments or ""))

    def render(self) -> dict[str, Any]:
        calls = [self._render_call(call) for _, call in sorted(self._calls.items())]
        texts = {key: "".join(parts) for key, parts in self._texts.items()}
        return {"finish_reason": self.finish, "message": {"role": "assistant", **texts, "tool_calls": calls}}

    @staticmethod
    def _render_call(call: dict[str, Any]) -> dict[str, Any]:
        name, arguments = call.get("function", ("", ""))
        return {"type": "function", **call, "function": {"name": name, "arguments": arguments}}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


def _read_delta(choice: dict[str, Any]) -> _Delta:
    return typed(choice.get("delta"), _Delta, "delta") or _Delta()


def _fill_response(base: Interaction, response: dict[str, Any]) -> Interaction:
    usage = typed(response.get("usage"), dict[str, Any], "usage") or {}
    model = response.get("model")
    return msgspec.structs.replace(
        base,
        time=base.time or parse_time(response.get("created")),
        tokens_in=_count(usage, base.tokens_in, "prompt_tokens", "input_tokens"),
        tokens_out=_count(usage, base.tokens_out, "completion_tokens", "output_tokens"),
        aliases=join_names(response.get("id"), *base.aliases),
        meta=base.meta | ({"model": model} if isinstance(model, str) and model else {}),
    )


def _count(usage: dict[str, Any], told: int | None, *names: str) -> int | None:
    found: int | None = typed(pick_first(usage, names), int, names[0])
    return told if found is None else found


def _parse_choice(base: Interaction, choice: dict[str, Any]) -> Interaction:
    finish = typed(choice.get("finish_reason"), str, "finish_reason") or ""
    told = {"finish": "" if finish in _WHOLE else finish}
    if choice.get("message") is None and isinstance(choice.get("text"), str):
        return fill_answer(base, Message("assistant", choice["text"]), **told)
    if choice.get("message") is None:
        raise BadRecordError("no_answer", "a choice has no message")
    (answer,) = parse_messages([choice["message"]])
    if choice["message"].get("audio") and not answer.content:
        raise BadRecordError("unsupported_content", "the answer is spoken")
    refused = isinstance(choice["message"].get("refusal"), str) and choice["message"]["refusal"]
    return fill_answer(base, answer, refusal="true" if refused else "", **told)


def _later_choice(told: Interaction, number: int) -> Interaction:
    aliases = tuple(f"{name}#{number}" for name in told.aliases)
    zero = None if told.cost is None else 0.0
    return msgspec.structs.replace(told, aliases=aliases, tokens_in=0, tokens_out=0, cost=zero)

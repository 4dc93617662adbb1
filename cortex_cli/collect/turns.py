"""Turns of an agent at work: a person's prompt, then calls of tools and their results, then the answer."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from cortex_cli.collect.records import BadRecordError, Place, identify, render_json
from cortex_cli.domain.interactions import Interaction, Message

__all__ = ["INTERRUPTED", "Turn", "merge_answers", "render_turn"]

# A person stopped the agent: the answer, as far as it went, was not wanted.
INTERRUPTED = "interrupted by the user"


@dataclass
class Turn:
    """One turn while it is read: *place* of its prompt, what was said *before*, and its own *messages*."""

    place: Place
    before: tuple[Message, ...] = ()
    messages: list[Message] = field(default_factory=list)
    # Facts of the interaction that are not its messages, by field.
    facts: dict[str, object] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
    error: str = ""
    interrupted: bool = False
    # Whether the producer says that more is to come.
    open: bool = False
    # What a message of it holds that cannot be kept; without that message the turn would be half a truth.
    fault: BadRecordError | None = None

    @property
    def answering(self) -> bool:
        """Whether the agent has begun to answer, so that another prompt is another turn."""
        begun = any(message.role == "assistant" for message in self.messages)
        return begun or self.interrupted or self.fault is not None

    @property
    def ended(self) -> bool:
        """Whether the turn has come to its end, well or not."""
        last = merge_answers(self.messages)[-1:]
        answered = bool(last) and last[0].role == "assistant" and not last[0].tool_calls
        return self.interrupted or bool(self.error) or (answered and not self.open)


def render_turn(turn: Turn) -> Interaction:
    """Return *turn* as an interaction; raise `BadRecordError` for one that has not come to its end.

    A turn that a person interrupted is a failure, with the answer as far as it went; one that ended with an
    error of the service is an error.
    """
    if turn.fault is not None:
        raise turn.fault
    messages = merge_answers(turn.messages)
    last = messages[-1] if messages else Message("user", "")
    answered = last.role == "assistant"
    if not turn.ended:
        raise BadRecordError("unfinished", "the turn ends before its answer")
    base = Interaction(
        id="",
        agent=turn.place.agent,
        time="",
        messages=(*turn.before, *(messages[:-1] if answered else messages)),
        output=(last.content or last.tool_calls) if answered else "",
        calls=last.tool_calls if answered else "",
        outcome="error" if turn.error else "failure" if turn.interrupted else "unknown",
        error=turn.error or (INTERRUPTED if turn.interrupted else ""),
        origin=turn.place.origin,
        meta=turn.meta,
    )
    return identify(msgspec.structs.replace(base, **turn.facts))


def merge_answers(messages: Iterable[Message]) -> list[Message]:
    """Return *messages* with those of the assistant that follow each other in one, as a chat alternates."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role == "assistant":
            merged[-1] = _join(merged[-1], message)
        else:
            merged.append(message)
    return merged


def _join(first: Message, second: Message) -> Message:
    texts = [text for text in (first.content, second.content) if text]
    calls = [text for text in (first.tool_calls, second.tool_calls) if text]
    listed = [call for text in calls for call in msgspec.json.decode(text)] if len(calls) > 1 else None
    told = render_json(listed) if listed else "".join(calls)
    return Message("assistant", "\n\n".join(texts), first.name, told)

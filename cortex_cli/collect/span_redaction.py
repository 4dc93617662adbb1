"""Spans and log records masked before they are written anywhere, as the records made of them are later.

What is masked is free text. Ids, names of models, agents and operations, and counts stay: they join spans to
traces and feedback to interactions, and redaction leaves them alone in records too.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from cortex_cli.collect.otlp import Event, Item
from cortex_cli.collect.redact import Redactor
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.interactions import Interaction, Message

__all__ = ["redact_items"]

_STRUCTURE = frozenset({
    "gen_ai.operation.name", "gen_ai.system", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model",
    "gen_ai.response.id", "gen_ai.conversation.id", "gen_ai.agent.name", "gen_ai.response.finish_reasons",
    "gen_ai.request.previous_response.id", "gen_ai.evaluation.name", "session.id", "agent.name", "error.type",
    "event.name", "llm.model_name", "llm.response.model_name", "llm.provider", "llm.system", "llm.request.type",
    "openinference.span.kind", "traceloop.span.kind", "traceloop.entity.name",
    "traceloop.association.properties.session_id",
})  # fmt: skip
_USERS = frozenset({"user.id", "enduser.id", "traceloop.association.properties.user_id"})
_Mask = Callable[[str], str]


def redact_items(redactor: Redactor, items: Sequence[Item]) -> tuple[Item, ...]:
    """Return *items* with their free text masked by *redactor*; masking the records made of them changes no more."""
    texts: list[str] = []

    def gather(text: str) -> str:
        texts.append(text)
        return text

    for item in items:
        _rewrite(item, gather, str)
    masked = iter(_redact_texts(redactor, texts))
    # The second pass meets the same texts in the same order.
    return tuple(_rewrite(item, lambda _: next(masked), lambda user: _redact_user(redactor, user)) for item in items)


def _redact_texts(redactor: Redactor, texts: Sequence[str]) -> Iterator[str]:
    # As one record: many texts at once take a fraction of the time of one by one.
    record = _bare(messages=tuple(Message("tool", text) for text in texts))
    told = redactor.redact_record(record)
    return (message.content for message in told.messages) if isinstance(told, Interaction) else iter(())


def _redact_user(redactor: Redactor, user: str) -> str:
    told = redactor.redact_record(_bare(user=user))
    return told.user if isinstance(told, Interaction) else ""


def _bare(**fields: Any) -> Interaction:
    return Interaction(**{"id": "", "agent": "", "time": "", "messages": (), **fields})


def _rewrite(item: Item, mask: _Mask, mask_user: _Mask) -> Item:
    attributes = {key: _rewrite_attribute(key, value, mask, mask_user) for key, value in item.attributes.items()}
    if isinstance(item, Event):
        return msgspec.structs.replace(item, attributes=attributes, body=_rewrite_value(item.body, mask))
    events = tuple(_rewrite(event, mask, mask_user) for event in item.events)
    return msgspec.structs.replace(item, attributes=attributes, events=events, message=mask(item.message))


def _rewrite_attribute(key: str, value: Any, mask: _Mask, mask_user: _Mask) -> Any:
    if key in _STRUCTURE:
        return value
    if key in _USERS:
        return mask_user(str(value)) if isinstance(value, str | int) and value else ""
    return _rewrite_value(value, mask)


def _rewrite_value(value: Any, mask: _Mask) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict | list):
        return msgspec.json.decode(mask(canonical_json(value).decode()))
    return value

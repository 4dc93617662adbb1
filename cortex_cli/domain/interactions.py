"""What comes in: interactions, and feedback on them. Values only; the journal gives them a place."""

from typing import Literal

import msgspec

from cortex_cli.domain.digests import content_id

__all__ = ["Feedback", "Interaction", "Message", "Origin", "Outcome", "Scale", "feedback_id", "interaction_id"]

Outcome = Literal["success", "failure", "error", "unknown"]


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a prompt. *tool_calls* stays JSON text: columnar stores rewrite nested schemas."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    name: str = ""
    tool_calls: str = ""


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a record was read: source name, file digest, line (from 1; 0 for a live request)."""

    source: str
    line: int = 0
    digest: str = ""


class Scale(msgspec.Struct, frozen=True):
    """Bounds of a score; a score without a scale cannot be compared with a threshold."""

    low: float
    high: float


class Interaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request and its response, or one task outcome.

    *time* is RFC 3339 UTC and only a label; the journal's sequence number is the order.
    *output* is the answer's text, or its tool calls when it has no text; *calls* are its tool calls as
    JSON text in the form of OpenAI. *latency* in seconds, *cost* in US dollars, *quality* on *quality_scale*.
    *aliases* are what producers call it (response id, `trace:span`, task id): feedback may use any of them.
    *redaction* names policy and rules by which its text was masked, such as `standard/2`. *replayed* marks
    a user that was derived from a reference answer instead of observed.
    """

    id: str
    agent: str
    time: str
    messages: tuple[Message, ...]
    output: str = ""
    calls: str = ""
    episode: str = ""
    tools: str = ""
    variant: str = ""
    outcome: Outcome = "unknown"
    error: str = ""
    latency: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: float | None = None
    quality: float | None = None
    quality_scale: Scale | None = None
    retries: int | None = None
    domain: str = ""
    user: str = ""
    replayed: bool = False
    aliases: tuple[str, ...] = ()
    redaction: str = ""
    origin: Origin = Origin("unknown")
    meta: dict[str, str] = {}


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A judgement on an interaction or an episode.

    Exactly one of *thumbs* (boolean), *score* with *scale*, *comment*, *demonstration* (the answer
    that should have been given) is the point of a record; *kind* says which. *target* is an interaction's id,
    one of its aliases, or an episode; it may come before its target does. A score without a scale is kept,
    and passes no threshold.
    """

    id: str
    target: str
    kind: Literal["boolean", "score", "comment", "demonstration"]
    time: str
    target_kind: Literal["interaction", "episode"] = "interaction"
    thumbs: bool | None = None
    score: float | None = None
    scale: Scale | None = None
    comment: str = ""
    demonstration: str = ""
    name: str = ""
    annotator: Literal["human", "replayed", "model", "code"] = "human"
    redaction: str = ""
    origin: Origin = Origin("unknown")


def interaction_id(record: Interaction) -> str:
    """Return the content id of *record*: what was asked and answered, when and by which producer.

    The origin's line and file are left out, so that overlapping exports give the same id.
    """
    parts = [record.agent, record.time, record.episode, record.variant, record.output, record.error]
    return content_id("i", [*parts, record.messages, record.meta.get("producer_id", ""), *record.aliases], length=24)


def feedback_id(record: Feedback) -> str:
    """Return the content id of *record*; the same judgement told twice is one judgement."""
    value = [record.thumbs, record.score, record.comment, record.demonstration]
    return content_id("f", [record.target, record.kind, record.name, record.time, record.annotator, value], length=24)

"""What is learned from: curated examples, and the answers that variants give."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from cortex_cli.domain.interactions import Message

__all__ = ["Answer", "Example", "Generate", "Prompt"]

Prompt = tuple[Message, ...]


class Example(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One curated example: a prompt, the answer to learn, and if known the answer to avoid.

    *interaction* is the keyed id of what it came from; *source* says why the answer is trusted. *calls* are the
    answer's tool calls and *tools* what it could call, both JSON text in the form of OpenAI. *quality* is on [0, 1].
    A source of "pair" is an accepted answer once more, beside another wrong one: for preferences only.
    """

    id: str
    agent: str
    messages: tuple[Message, ...]
    answer: str
    rejected: str = ""
    source: Literal["accepted", "demonstration", "correction", "supervised", "quality", "pair"]
    domain: str = ""
    time: str = ""
    interaction: str = ""
    replayed: bool = False
    calls: str = ""
    tools: str = ""
    quality: float | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a variant answered: text, tokens, seconds, mean log-probability per token if known."""

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    logprob: float | None = None
    finish: Literal["stop", "length", "error"] = "stop"
    error: str = ""


class Generate(Protocol):
    """A model ready to answer: prompts in, one answer each out, in the same order."""

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Answer every prompt; a failure is an answer whose finish is 'error', never a gap."""
        ...

"""A case: one answer, how it was judged and what should have been answered, whatever it came from."""

from typing import Literal

import msgspec

from cortex_cli.domain.examples import Prompt

__all__ = ["Case", "Judge", "read_request"]

Judge = Literal["exact", "json", "command"]


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer to be explained.

    *expected* is a human's correction or a reference answer. *finish* is why the answer ended, if
    known; *limit* the tokens it was allowed. *logprob* is the mean per token. *rejected* of *judges*
    said no. *replayed* marks verdicts that were derived from a reference answer.
    """

    id: str
    agent: str
    messages: Prompt
    judge: Judge = "exact"
    output: str = ""
    expected: str = ""
    error: str = ""
    finish: str = ""
    time: str = ""
    domain: str = ""
    variant: str = ""
    tokens_out: int | None = None
    limit: int | None = None
    logprob: float | None = None
    rejected: int = 0
    judges: int = 0
    replayed: bool = False


def read_request(messages: Prompt) -> str:
    """Return what the user asked: the content of the last user message, else of the last one."""
    for message in reversed(messages):
        if message.role == "user":
            return message.content
    return messages[-1].content if messages else ""

"""Hand-made cases and training examples, a few words each."""

import json

from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.explain.cases import Case, Judge

REQUESTS = {
    "set_timer": ["set a timer for ten minutes", "start a timer for one hour", "timer for five minutes please"],
    "set_alarm": ["wake me up at seven", "set an alarm for six in the morning", "alarm at noon please"],
    "play_music": ["play some jazz", "put on the beatles", "i want to hear mozart"],
}


def call(tool: str) -> str:
    return json.dumps({"tool": tool})


def ask(request: str) -> tuple[Message, ...]:
    return (Message("user", request),)


def example(number: int, request: str, answer: str, *, domain: str = "home", month: str = "2026-01") -> Example:
    return Example(
        id=f"x-{number}",
        agent="dispatch",
        messages=ask(request),
        answer=answer,
        source="demonstration" if number % 3 == 0 else "accepted",
        domain=domain,
        time=f"{month}-0{number % 9 + 1}T00:00:00Z",
        interaction=f"k-{number}",
    )


def lessons(copies: int = 1) -> list[Example]:
    """Every request of every tool, *copies* times; music is of domain fun and of February."""
    rows = [(tool, request) for tool, asked in REQUESTS.items() for request in asked] * copies
    return [
        example(number, request, call(tool), domain="fun", month="2026-02")
        if tool == "play_music"
        else example(number, request, call(tool))
        for number, (tool, request) in enumerate(rows)
    ]


def failed(
    request: str = "set a timer for two minutes",
    output: str = call("set_alarm"),
    *,
    judge: Judge = "json",
    expected: str = "",
    time: str = "2026-03-01T00:00:00Z",
    id: str = "i-1",  # noqa: A002 - the field is called id
) -> Case:
    return Case(
        id=id, agent="dispatch", messages=ask(request), judge=judge, output=output, expected=expected, time=time
    )

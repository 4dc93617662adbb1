"""A few examples, with a better and a worse answer, for a base of a few thousand weights."""

from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

TEXTS = [
    f"turn the {thing} {way}" for thing in ("light", "radio", "fan", "heater") for way in ("on", "off", "down", "up")
]


def lessons(copies: int = 3) -> list[Example]:
    """Return *copies* of each text, with ids of their own."""
    return [
        Example(
            id=f"x-{copy}-{number}",
            agent="a",
            messages=(Message("user", text),),
            answer=text.rpartition(" ")[2],
            rejected="no " * (1 + number % 3),
            source="demonstration",
        )
        for copy in range(copies)
        for number, text in enumerate(TEXTS)
    ]

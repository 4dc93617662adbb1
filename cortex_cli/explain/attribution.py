"""Which words of the request mattered: the answer's log-probability with each word left out in turn."""

import math
import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from cortex_cli.domain.examples import Prompt
from cortex_cli.domain.interactions import Message

__all__ = ["Attribution", "Part", "Score", "attribute_words"]

_WORD = re.compile(r"\S+")


class Score(Protocol):
    """A model that can be asked how likely an answer is: total log-probability of each answer after its prompt."""

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Return one log-probability for each pair of *prompts* and *answers*, in the same order."""
        ...


class Part(msgspec.Struct, frozen=True):
    """A part of the prompt and what leaving it out takes from the answer's log-probability.

    *weight* above 0: the part spoke for the answer. *contrast* is the same for the answer against the
    expected one: above 0, the part spoke for the wrong one of the two; None without an expected answer.
    *start* and *end* are places in the content of message number *message*.
    """

    text: str
    message: int
    start: int
    end: int
    weight: float
    contrast: float | None = None


class Attribution(msgspec.Struct, frozen=True):
    """What the model finds of an *answer* and of the one it is held *against*, and the parts behind it.

    *answer_logprob* and *against_logprob* are totals; the parts stand in the order of the prompt.
    """

    answer: str
    against: str
    answer_logprob: float
    against_logprob: float | None
    parts: tuple[Part, ...]


def attribute_words(
    prompt: Prompt, answer: str, score: Score, *, against: str = "", most: int = 64
) -> Attribution | None:
    """Leave every word of the last user message out in turn, every other message whole, and score the *answer*.

    More than *most* words are left out in that many runs of neighbouring words, so the cost is bounded by
    (*most* + messages + 1) scores, twice that with *against*. None without an answer or a user message.
    """
    cuts = _list_cuts(prompt, most)
    if not cuts or not answer:
        return None
    prompts = [prompt, *(_leave_out(prompt, cut) for cut in cuts)]
    answered = score(prompts, [answer] * len(prompts))
    expected = score(prompts, [against] * len(prompts)) if against and against != answer else None
    weights = [answered[0] - value for value in answered[1:]]
    contrasts = [None] * len(weights) if expected is None else _contrast(answered, expected)
    parts = (
        Part(cut.text, cut.message, cut.start, cut.end, _round(weight), contrast)
        for cut, weight, contrast in zip(cuts, weights, contrasts, strict=True)
    )
    total = None if expected is None else _round(expected[0])
    return Attribution(answer, against if expected else "", _round(answered[0]), total, tuple(parts))


class _Cut(msgspec.Struct, frozen=True):
    text: str
    message: int
    start: int
    end: int
    resume: int
    whole: bool = False


def _list_cuts(prompt: Prompt, most: int) -> list[_Cut]:
    asked = max((number for number, message in enumerate(prompt) if message.role == "user"), default=-1)
    if asked < 0:
        return []
    cuts = [
        _Cut(f"<|{message.role}|>", number, 0, len(message.content), len(message.content), whole=True)
        for number, message in enumerate(prompt)
        if number != asked
    ]
    cuts += _word_cuts(prompt[asked].content, asked, most)
    return sorted(cuts, key=lambda cut: (cut.message, cut.start))


def _word_cuts(text: str, message: int, most: int) -> list[_Cut]:
    words = list(_WORD.finditer(text))
    run = math.ceil(len(words) / most) or 1
    cuts = []
    for first in range(0, len(words), run):
        start, end = words[first].start(), words[min(first + run, len(words)) - 1].end()
        # The blank after a word goes with it, so that no double blank gives the cut away.
        resume = words[first + run].start() if first + run < len(words) else len(text)
        cuts.append(_Cut(text[start:end], message, start, end, resume))
    return cuts


def _leave_out(prompt: Prompt, cut: _Cut) -> Prompt:
    if cut.whole:
        return (*prompt[: cut.message], *prompt[cut.message + 1 :])
    content = prompt[cut.message].content
    left = (content[: cut.start] + content[cut.resume :]).rstrip()
    changed: Message = msgspec.structs.replace(prompt[cut.message], content=left)
    return (*prompt[: cut.message], changed, *prompt[cut.message + 1 :])


def _contrast(answered: Sequence[float], expected: Sequence[float]) -> list[float | None]:
    margin = [mine - other for mine, other in zip(answered, expected, strict=True)]
    return [_round(margin[0] - value) for value in margin[1:]]


def _round(value: float) -> float:
    return round(value, 4)

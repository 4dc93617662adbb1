"""A model as a judge: an answer beside the reference, in both orders, by a rubric; and how far people agree with it.

Judges of this kind prefer what stands first, what is longer, and what sounds like themselves (arXiv:2306.05685). So each
pair is shown twice with the places exchanged, a verdict that follows the place counts for nobody, and the agreement with
people's verdicts is measured wherever there are any.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.examples import Example, Generate, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.stats.intervals import Interval, wilson_interval

__all__ = ["Agreement", "Referee", "Ruling", "check_referee", "measure_agreement"]

_RUBRIC = "An answer is good when it does what was asked, is correct, and adds nothing untrue."
_TEMPLATE = (
    "Two assistants answered the same request. Judge by this rule: {rubric}\n\n"
    "Request:\n{request}\n\nFirst answer:\n{first}\n\nSecond answer:\n{second}\n\n"
    "Which answer is better? Reply with one word: first, second, or equal."
)
_WORD = re.compile(r"\b(first|second|equal|tie|both)\b")
_CUT = 8000  # characters of an answer that the judge is shown

Choice = Literal["answer", "reference", "equal", ""]


class Ruling(NamedTuple):
    """What the judge said in both orders: right when the answer is at least as good as the reference in each."""

    right: bool
    score: float
    note: str = ""


class Agreement(NamedTuple):
    """How often judge and people say the same: cases, share with interval, and Cohen's kappa, which corrects for chance."""

    cases: int
    share: float
    interval: Interval
    kappa: float


class Referee:
    """A model that judges by a rubric; *version* is decided by the model, the rubric and the wording."""

    def __init__(self, model: Generate, rubric: str = "", model_version: str = "") -> None:
        self.model = model
        self.rubric = rubric or _RUBRIC
        self.version = f"model {model_version} {digest_value([self.rubric, _TEMPLATE])[7:19]}"

    def compare(self, asked: Sequence[tuple[Prompt, str]], answers: Sequence[str]) -> list[Ruling]:
        """Rule on each answer to its request beside the reference; an unreadable verdict is for nobody."""
        pairs = list(zip(asked, answers, strict=True))
        there = self.model([self._prompt(prompt, answer, known) for (prompt, known), answer in pairs])
        back = self.model([self._prompt(prompt, known, answer) for (prompt, known), answer in pairs])
        return [
            _rule(_read(one.text, "answer", "reference"), _read(two.text, "reference", "answer"))
            for one, two in zip(there, back, strict=True)
        ]

    def _prompt(self, request: Prompt, first: str, second: str) -> Prompt:
        asked = "\n".join(f"{message.role}: {message.content}" for message in request)
        # Replaced in one pass, so that braces in an answer are only text.
        parts = {"rubric": self.rubric, "request": asked[-_CUT:], "first": first[:_CUT], "second": second[:_CUT]}
        return (Message("user", _TEMPLATE.format(**parts)),)


def check_referee(referee: Referee, examples: Iterable[Example], most: int = 50) -> Agreement | None:
    """Return how far *referee* and people agree on *examples* where people put one answer above another; None without any.

    Each pair is asked both ways round: the better answer beside the worse one must be found right, the worse one beside the
    better one must not. So a judge that always says yes agrees in half of them, and its kappa is 0.
    """
    pairs = list(islice((example for example in examples if example.rejected), most))
    if not pairs:
        return None
    worse = referee.compare([(pair.messages, pair.answer) for pair in pairs], [pair.rejected for pair in pairs])
    better = referee.compare([(pair.messages, pair.rejected) for pair in pairs], [pair.answer for pair in pairs])
    judged = [ruling.right for ruling in (*worse, *better)]
    return measure_agreement(judged, [False] * len(pairs) + [True] * len(pairs))


def measure_agreement(judged: Sequence[bool], people: Sequence[bool]) -> Agreement:
    """Return how far the *judged* verdicts are those of *people*, case by case; kappa is 0 where it is not defined."""
    pairs = list(zip(judged, people, strict=True))
    rows = len(pairs)
    same = sum(one == other for one, other in pairs)
    if not rows:
        return Agreement(0, 0.0, wilson_interval(0, 0), 0.0)
    yes, told = sum(judged) / rows, sum(people) / rows
    chance = yes * told + (1 - yes) * (1 - told)
    kappa = (same / rows - chance) / (1 - chance) if chance < 1 else 0.0
    return Agreement(rows, same / rows, wilson_interval(same, rows), kappa)


def _read(text: str, first: Choice, second: Choice) -> Choice:
    found = _WORD.search(text.lower())
    if found is None:
        return ""
    return {"first": first, "second": second}.get(found[1], "equal")


def _rule(one: Choice, two: Choice) -> Ruling:
    if not one or not two:
        return Ruling(right=False, score=0.0, note="the judge gave no readable verdict")
    if {one, two} == {"answer", "reference"}:
        return Ruling(right=False, score=0.5, note="the judge followed the order of the answers")
    points = {"answer": 1.0, "equal": 0.5, "reference": 0.0}
    return Ruling("reference" not in {one, two}, (points[one] + points[two]) / 2)

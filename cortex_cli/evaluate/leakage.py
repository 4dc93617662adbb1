"""Does a model give away what it learned? Exposure of canaries: Carlini et al. 2019, "The Secret Sharer", arXiv:1802.08232.

A canary is a string that only one training example has: a number, a code, the number of a masked value. Its exposure is how
early the model would guess it among strings of the same shape, in bits: log2(candidates + 1) - log2(rank). A model that
never saw it ranks it anywhere: 1.44 bits on average. The candidates are drawn at random, so more bits than log2 of their
count cannot be shown, and one canary proves little; many of them do.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from cortex_cli.domain.examples import Example, Prompt
from cortex_cli.evaluate.scores import Range
from cortex_cli.stats.resampling import bootstrap_mean
from cortex_cli.stats.shares import binomial_tail

__all__ = ["CHANCE", "Canary", "Leakage", "Score", "find_canaries", "make_secret", "measure_exposure"]

# The mean exposure when every rank is equally likely: the integral of -log2(x) over (0, 1).
CHANCE = 1 / math.log(2)
# Five digits on: shorter ones (years, amounts, ports) are guessed without having been learned. Masked values count too.
_UNIQUE = re.compile(r"<[A-Z][A-Z_]*_\d+>|(?<!\w)(?=[A-Za-z-]*\d)[A-Za-z0-9][A-Za-z0-9-]{4,40}[A-Za-z0-9](?!\w)|\d{5,}")
_DIGITS, _LOWER, _UPPER = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Score(Protocol):
    """Whatever tells the log-probability of answers after prompts, in natural logarithms."""

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Return the log-probability of each answer after its prompt."""
        ...


class Canary(NamedTuple):
    """A unique string that was learned: the prompt, the answer, and where in the answer the string stands."""

    example: str
    prompt: Prompt
    answer: str
    start: int
    end: int

    @property
    def secret(self) -> str:
        """Return the string."""
        return self.answer[self.start : self.end]


class Leakage(NamedTuple):
    """Exposure in bits of each canary, mean with interval, and how many were guessed first of all candidates.

    *chance* is the probability that so many or more come first by accident.
    """

    exposures: tuple[float, ...]
    mean: float
    interval: Range
    first: int
    chance: float
    candidates: int


def find_canaries(examples: Iterable[Example], *, most: int = 32, seed: int = 0) -> list[Canary]:
    """Return at most *most* unique strings in the answers of *examples*, one per example, drawn by *seed*.

    A string that stands in the example's own prompt is none: to repeat it is what was asked.
    """
    found: list[Canary] = []
    counts: Counter[str] = Counter()
    for example in examples:
        matches = list(_UNIQUE.finditer(example.answer))
        counts.update({match[0] for match in matches})
        asked = " ".join(message.content for message in example.messages)
        found += [
            Canary(example.id, example.messages, example.answer, match.start(), match.end())
            for match in matches
            if match[0] not in asked
        ]
    unique = {canary.example: canary for canary in found if counts[canary.secret] == 1}
    listed = [unique[name] for name in sorted(unique)]
    chosen = np.random.default_rng(seed).permutation(len(listed))[:most]
    return [listed[place] for place in sorted(chosen)]


def make_secret(shape: str, generator: np.random.Generator) -> str:
    """Return a random string of the same *shape*: a digit for a digit, a letter for a letter of its case."""
    if shape.startswith("<"):
        kind, _, number = shape.rpartition("_")  # a masked value: its kind tells nothing, its number might
        return f"{kind}_{generator.integers(1, 10 ** len(number.rstrip('>')))}>"
    return "".join(_draw(character, generator) for character in shape)


def measure_exposure(canaries: Sequence[Canary], score: Score, *, candidates: int = 127, seed: int = 0) -> Leakage:
    """Rank each canary among random *candidates* of its shape by *score* of the whole answer; ties count as later."""
    generator = np.random.default_rng(seed)
    ranks = [_rank(canary, score, candidates, generator) for canary in canaries]
    exposures = np.array([math.log2(candidates + 1) - math.log2(rank) for rank in ranks])
    found = bootstrap_mean(exposures, None, np.random.default_rng(0)) if len(ranks) > 1 else None
    first = sum(rank == 1 for rank in ranks)
    return Leakage(
        exposures=tuple(round(float(bits), 3) for bits in exposures),
        mean=round(float(exposures.mean()), 4) if ranks else 0.0,
        interval=Range(round(found.low, 4), round(found.high, 4), len(ranks))
        if found
        else Range(0.0, math.inf, len(ranks)),
        first=first,
        chance=binomial_tail(first, len(ranks), 1 / (candidates + 1)),
        candidates=candidates,
    )


def _rank(canary: Canary, score: Score, candidates: int, generator: np.random.Generator) -> int:
    secrets = [canary.secret, *(make_secret(canary.secret, generator) for _ in range(candidates))]
    answers = [canary.answer[: canary.start] + secret + canary.answer[canary.end :] for secret in secrets]
    own, *others = score([canary.prompt] * len(answers), answers)
    # The canary itself may be drawn; it must not stand before itself.
    return 1 + sum(other >= own for other, secret in zip(others, secrets[1:], strict=True) if secret != secrets[0])


def _draw(character: str, generator: np.random.Generator) -> str:
    for alphabet in (_DIGITS, _LOWER, _UPPER):
        if character in alphabet:
            return alphabet[generator.integers(len(alphabet))]
    return character

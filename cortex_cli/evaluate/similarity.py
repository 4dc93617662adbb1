"""How alike two texts are, from 0 to 1: shared words, the longest common subsequence, or their vectors."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cortex_cli.models.embedding import embed_hashed

__all__ = ["Embed", "Measure", "cosine_scores", "rouge_l", "token_f1"]

Measure = Literal["f1", "rouge", "embedding"]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]

_WORD = re.compile(r"\w+")
# The table of the longest common subsequence has words x words cells; longer texts are compared by their beginnings.
_MOST_WORDS = 2000


def token_f1(answer: str, reference: str) -> float:
    """Return the F1 of shared words, with their counts, as SQuAD has it (arXiv:1606.05250); two empty texts are alike."""
    found, wanted = Counter(_words(answer)), Counter(_words(reference))
    if not found or not wanted:
        return float(found == wanted)
    return 2 * (found & wanted).total() / (found.total() + wanted.total())


def rouge_l(answer: str, reference: str) -> float:
    """Return ROUGE-L, the F1 of the longest common subsequence of words (Lin 2004); of the first 2,000 words each."""
    found, wanted = _words(answer)[:_MOST_WORDS], _words(reference)[:_MOST_WORDS]
    if not found or not wanted:
        return float(found == wanted)
    return 2 * _common_length(found, wanted) / (len(found) + len(wanted))


def cosine_scores(answers: Sequence[str], references: Sequence[str], embed: Embed = embed_hashed) -> list[float]:
    """Return the cosine of each pair's vectors, 0 where it is negative or one of them is empty."""
    if not answers:
        return []
    found, wanted = embed(answers), embed(references)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    products = (found * wanted).sum(axis=1)
    scores = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return [float(score) for score in np.clip(scores, 0.0, 1.0)]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _common_length(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        before, row = row, [0]
        for place, candidate in enumerate(other):
            row.append(before[place] + 1 if word == candidate else max(row[-1], before[place + 1]))
    return row[-1]

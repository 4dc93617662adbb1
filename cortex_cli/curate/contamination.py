"""Decontamination: what an evaluation suite asks must not be learned. Whole prompts, contained items, n-grams.

Twelve tokens in a row, the usual rule, cannot see short prompts: 83 % of the items of CLINC150 and 58 % of
Banking77 have fewer. So an item is looked for as a whole prompt at any length, inside other text from five
tokens on, and by its n-grams once it has that many.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cortex_cli.curate.normal import last_turn, normalise
from cortex_cli.curate.sketches import hash_grams
from cortex_cli.curate.spec import Decontaminate
from cortex_cli.domain.examples import Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Contamination", "Hit", "Suite"]

# Stands between the messages of a record: no token has it, so nothing is found across a border.
_BORDER = " | "


class Suite(NamedTuple):
    """An evaluation set by *name*; each of its *items* is a prompt and its reference answer, '' for none."""

    name: str
    items: tuple[tuple[str, str], ...]


class Hit(NamedTuple):
    """Why an example is contaminated, and by which suite."""

    reason: str
    suite: str


class Contamination:
    """The items of some suites, ready to be looked for.

    In memory: the normalised items, and 8 bytes for every n-gram of a long one. Those are told apart by 64 bits of
    their hash: among a million of them, a text of 1,000 tokens is wrongly suspected with probability 5e-11.
    """

    def __init__(self, suites: Sequence[Suite], spec: Decontaminate) -> None:
        self._spec = spec
        self._names = [suite.name for suite in suites]
        self._whole: dict[str, int] = {}
        listed = [(number, item) for number, suite in enumerate(suites) for item in suite.items]
        contained: dict[str, int] = {}
        long: dict[str, int] = {}
        for number, (prompt, answer) in listed:
            asked = normalise(prompt)
            if not asked:
                continue
            self._whole.setdefault(asked, number)
            self._whole.setdefault(normalise(f"{prompt} {answer}"), number)
            tokens = asked.count(" ") + 1
            if tokens >= spec.shortest:
                (contained if tokens < spec.ngram else long).setdefault(asked, number)
        self._index_contained(contained)
        self._grams, self._gram_suites = _index_grams(long, spec.ngram)

    def find(self, examples: Sequence[Example]) -> list[Hit | None]:
        """Return for each of *examples* how it is contaminated, or None; the strictest test first."""
        if not self._whole:
            return [None] * len(examples)
        found = [self._find_whole(example) for example in examples]
        rest = [at for at, hit in enumerate(found) if hit is None]
        texts = [_text(examples[at]) for at in rest]
        for position, hit in {**self._find_grams(texts), **self._find_contained(texts)}.items():
            found[rest[position]] = hit
        return found

    def _find_whole(self, example: Example) -> Hit | None:
        asked, _ = last_turn(example.messages)
        texts = [message.content for message in example.messages if message.role == "user"]
        for text in [f"{asked} {example.answer}", *texts]:
            number = self._whole.get(normalise(text))
            if number is not None:
                return Hit("contaminated_exact", self._names[number])
        return None

    def _index_contained(self, items: dict[str, int]) -> None:
        owners, hashes = hash_grams(list(items), self._spec.shortest)
        first = np.searchsorted(owners, np.arange(len(items)))
        self._beginnings: dict[int, list[tuple[str, int]]] = {}
        for (text, number), begins in zip(items.items(), hashes[first].tolist(), strict=True):
            self._beginnings.setdefault(begins, []).append((text, number))
        self._starts = np.array(sorted(self._beginnings), np.uint64)

    def _find_contained(self, texts: Sequence[str]) -> dict[int, Hit]:
        owners, hashes = hash_grams(texts, self._spec.shortest)
        seen = np.flatnonzero(_among(hashes, self._starts))
        hits: dict[int, Hit] = {}
        for at in seen.tolist():
            owner = int(owners[at])
            padded = f" {texts[owner]} "
            for item, number in self._beginnings[int(hashes[at])] if owner not in hits else ():
                if f" {item} " in padded:
                    hits[owner] = Hit("contaminated_contained", self._names[number])
                    break
        return hits

    def _find_grams(self, texts: Sequence[str]) -> dict[int, Hit]:
        owners, hashes = hash_grams(texts, self._spec.ngram)
        seen = np.flatnonzero(_among(hashes, self._grams))
        where = np.searchsorted(self._grams, hashes[seen])
        suites = self._gram_suites[where].tolist()
        # Backwards, so that of several the first in the text is told.
        pairs = list(zip(owners[seen].tolist(), suites, strict=True))[::-1]
        return {owner: Hit("contaminated_ngram", self._names[number]) for owner, number in pairs}


def _index_grams(items: dict[str, int], size: int) -> tuple["NDArray[np.uint64]", "NDArray[np.int64]"]:
    owners, hashes = hash_grams(list(items), size)
    suites = np.array(list(items.values()), np.int64)[owners]
    order = np.lexsort((suites, hashes))
    return hashes[order], suites[order]


def _among(hashes: "NDArray[np.uint64]", known: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
    if not len(known):
        return np.zeros(len(hashes), np.bool_)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, hashes), len(known) - 1)] == hashes
    return found


def _text(example: Example) -> str:
    texts = [*(message.content for message in example.messages), example.answer, example.rejected]
    return _BORDER.join([normalised for text in texts if (normalised := normalise(text))])

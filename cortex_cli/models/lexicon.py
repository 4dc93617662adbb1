"""Pieces of texts and their words, by number: what is learned about each is worked out once and kept.

A piece is what stands between spaces. Most pieces come again and again, so that reading a text costs one look
into a dictionary per piece; words and what they add to their neighbours are then arrays.
"""

import re
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from cortex_cli.models.words import LONGEST, TAG, TOKEN, Vocabulary, stand_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Numbers = NDArray[np.int64]
    Marks = NDArray[np.int8]

__all__ = ["BETWEEN", "FAR", "NEAR", "Judge", "Lexicon", "Line", "token_spans"]

Judge = Callable[[str], tuple[int, int]]

# Words on each side that the first and the second layer of the tagger look at.
NEAR, FAR = 2, 4
# The gap between texts: as far as a word can see, so that no text changes what is found in the next one.
BETWEEN = NEAR + FAR
# Distinct pieces and words that are remembered: about 300 bytes each; then everything is forgotten and learned anew.
_MOST_PIECES, _MOST_WORDS = 200_000, 60_000
_TAGGED = re.compile(TAG)


class Line(NamedTuple):
    """Texts as one line of words with gaps between them: text i has the pieces from *firsts[i]* on.

    *ends* is where the words of each piece end, *sizes* how many there are; what a word could be is in *marks*.
    """

    words: "Numbers"
    marks: "Marks"
    firsts: "Numbers"
    ends: "Numbers"
    sizes: "NDArray[np.int32]"


class Lexicon:
    """Numbers for the pieces and words of *vocabulary*; `sums` is what each word adds to the places around it.

    *weights* are the tagger's. *judge* gives, once per new piece, bits that are in `notes` by number, and a rank.
    """

    def __init__(self, vocabulary: Vocabulary, weights: dict[str, "Floats"], judge: "Judge | None" = None) -> None:
        self._vocabulary = vocabulary
        self._weights = weights
        self._judge = judge
        self.forget()

    def __len__(self) -> int:
        """Return how many words are known."""
        return len(self._words)

    def forget(self) -> None:
        """Forget everything: numbers given before mean nothing any more."""
        import numpy as np

        self._pieces: dict[str, int] = {}
        self._words: dict[tuple[str, bool], int] = {("", False): 0}
        self._new: list[tuple[str, bool]] = [("", False)]
        self._marks = array("b")
        self._starts, self._sizes, self._flat = array("i", [0]), array("i", [BETWEEN]), array("i", [0] * BETWEEN)
        self.notes, self._ranks = [0], array("b", [0])
        self.sums: Floats = np.zeros((2 * NEAR + 1, 4096, self._weights["near_bias"].shape[0]), np.float32)
        self._learn_words()

    def make_room(self) -> None:
        """Forget everything when too much is remembered; call it while no numbers are in use."""
        if max(len(self.notes), len(self._flat) // 8) > _MOST_PIECES or len(self._words) > _MOST_WORDS:
            self.forget()

    def number(self, pieces: Sequence[str]) -> list[int]:
        """Return the number of each of *pieces*; what is new is learned."""
        known: list[int | None] = list(map(self._pieces.get, pieces))
        if None in known:
            for place, number in enumerate(known):
                if number is None:
                    known[place] = self._learn(pieces[place])
        return known  # type: ignore[return-value]  # no None is left

    def rank(self, texts: Sequence[Sequence[int]]) -> list[int]:
        """Return the highest rank among the pieces of each of *texts*, none of which is empty."""
        import numpy as np

        numbers, firsts = array("i"), array("q")
        for pieces in texts:
            firsts.append(len(numbers))
            numbers.extend(pieces)
        ranks = np.frombuffer(self._ranks, np.int8)[np.frombuffer(numbers, np.int32)]
        highest: list[int] = np.maximum.reduceat(ranks, np.frombuffer(firsts, np.int64)).tolist()
        return highest

    def read(self, texts: Sequence[Sequence[int]]) -> Line:
        """Return the *texts*, numbers of pieces, as one line of words."""
        import numpy as np

        numbers, firsts = array("i", [0]), [1]
        for pieces in texts:
            numbers.extend(pieces)
            numbers.append(0)
            firsts.append(len(numbers))
        self._learn_words()
        chosen = np.frombuffer(numbers, np.int32)
        starts, sizes = np.frombuffer(self._starts, np.int32)[chosen], np.frombuffer(self._sizes, np.int32)[chosen]
        ends = np.cumsum(sizes, dtype=np.int64)
        flat = np.arange(ends[-1]) + np.repeat(starts - (ends - sizes), sizes)
        words = np.frombuffer(self._flat, np.int32)[flat].astype(np.int64)
        marks = np.frombuffer(self._marks, np.int8)[words]
        return Line(words, marks, np.array(firsts), ends, sizes)

    def _learn(self, piece: str) -> int:
        # All placeholders of a kind are one word, so that pieces that differ in nothing else are one piece.
        if "<" in piece:
            piece = _TAGGED.sub(lambda match: stand_in(match[0])[:-1] + "_1>", piece)
        found = self._pieces.get(piece)
        if found is None:
            self._pieces[piece] = found = self._learn_piece(piece)
        return found

    def _learn_piece(self, piece: str) -> int:
        words, new, spaced = self._words, self._new, True
        self._starts.append(len(self._flat))
        # A word of letters is a token of its own: most pieces need no pattern.
        for token in [piece] if piece.isalpha() and len(piece) < LONGEST else TOKEN.findall(piece):
            key = (token if token.isalpha() else stand_in(token), spaced)
            number = words.get(key)
            if number is None:
                words[key] = number = len(words)
                new.append(key)
            self._flat.append(number)
            spaced = False
        self._sizes.append(len(self._flat) - self._starts[-1])
        bits, rank = self._judge(piece) if self._judge else (0, 0)
        self.notes.append(bits)
        self._ranks.append(rank)
        return len(self._sizes) - 1

    def _learn_words(self) -> None:
        import numpy as np

        if not self._new:
            return
        rows = [self._vocabulary.rows(token, spaced=spaced) for token, spaced in self._new]
        first, last = len(self._words) - len(rows), len(self._words)
        if last > self.sums.shape[1]:
            grown = np.zeros((2 * NEAR + 1, max(last, 2 * self.sums.shape[1]), self.sums.shape[2]), np.float32)
            grown[:, :first] = self.sums[:, :first]
            self.sums = grown
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        flat = np.fromiter((row for word in rows for row in word), np.int64, int(sizes.sum()))
        sums = np.add.reduceat(self._weights["rows"].take(flat, axis=0), np.cumsum(sizes) - sizes, axis=0)
        self.sums[:, first:last] = np.matmul(sums, self._weights["near"])  # (5, words, hidden)
        self.sums[NEAR, first:last] += self._weights["near_bias"]
        self._marks.extend(self._vocabulary.could_be(token) for token, _ in self._new)
        self._new = []


@lru_cache(maxsize=8192)
def token_spans(piece: str) -> tuple[tuple[int, int], ...]:
    """Return where each token of *piece* begins and ends."""
    return tuple(match.span() for match in TOKEN.finditer(piece))

"""The tagger that finds names, places, organisations and addresses: inference, in numpy only.

A word is the sum of learned rows (itself, its affixes, its shape); what it adds to each of the five places
around it is worked out once and kept, so that a word costs a few additions the second time it is seen.
A second layer looks nine words wide. Only words that could be part of a name are scored, and then their
neighbours. Texts are read together, so that the arrays are long.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.words import LONGEST, TOKEN, Could, Vocabulary, is_link, stand_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Numbers = NDArray[np.int64]
    Marks = NDArray[np.int8]
    Bools = NDArray[np.bool_]

__all__ = ["BETWEEN", "FAR", "NEAR", "OUTSIDE", "Found", "Tagger", "load_tagger"]

OUTSIDE = "O"
# Words on each side that the first and the second layer look at.
NEAR, FAR = 2, 4
# The gap between texts: as far as a word can see, so that no text changes what is found in the next one.
BETWEEN = NEAR + FAR
# Distinct pieces and words that are remembered: about 300 bytes each; then everything is forgotten and learned anew.
_MOST_PIECES, _MOST_WORDS = 200_000, 60_000
# Pieces that are read together: their arrays just fit into the cache of a core.
_TOGETHER = 12_000
# How often it is looked beside what was told, and where.
_ROUNDS, _BESIDE = 3, (-3, -2, -1, 1, 2, 3)

# What may stand between two words of one name, by label; and how many such signs in a row.
_SIGNS = frozenset(" .,-/'\u2019&#:;()+\n")
_JOINS: dict[str, tuple[frozenset[str], int]] = {
    "PERSON": (frozenset(" .-'\u2019"), 2),
    "PLACE": (frozenset(" .-'\u2019()"), 2),
    "ORGANIZATION": (frozenset(" .,-'\u2019&"), 2),
    "ADDRESS": (_SIGNS, 4),
    "PHONE": (frozenset(" .-/()+"), 3),
    "DATE": (frozenset(" .,-/:"), 2),
}
_OTHERS = (frozenset(" .-'\u2019"), 1)


# A number that signs hold together is told as a whole: half a date is no better than all of it.
_NUMBERS = re.compile(r"\w+(?:[/.:-]\d\w*)*")


class Found(NamedTuple):
    """A part of a text that the tagger calls *label*."""

    start: int
    end: int
    label: str


class _Line(NamedTuple):
    """Texts as one line of words with gaps between them; text i has the words from *bounds[i]* and pieces from *firsts[i]*.

    *sizes* is the number of words of each piece; what could be a name is in *marks*.
    """

    words: "Numbers"
    marks: "Marks"
    bounds: "Numbers"
    firsts: list[int]
    sizes: "NDArray[np.int32]"


class Tagger:
    """Find parts of texts that are names, by *weights* and *labels*; see `load_tagger` for the file.

    *limits* gives, per level, the probability from which each label is told.
    """

    def __init__(
        self, vocabulary: Vocabulary, weights: dict[str, "Floats"], labels: Sequence[str], limits: dict[str, "Floats"]
    ) -> None:
        self.labels = tuple(labels)
        self.limits = limits
        self._vocabulary = vocabulary
        self._weights = weights
        self._forget()

    def find(self, texts: Sequence[str], level: str) -> list[list[Found]]:
        """Return what is found in each of *texts*, in order and without overlap, at *level* (`standard`, `strict`)."""
        return self.find_split([text.split(" ") for text in texts], level)

    def find_split(self, texts: Sequence[Sequence[str]], level: str) -> list[list[Found]]:
        """Return what `find` does for *texts* that were split at spaces before."""
        return self._find(texts, level, _candidates)

    def find_again(self, texts: Sequence[Sequence[str]], level: str) -> list[list[Found]]:
        """Return what is found in split *texts* beside placeholders: elsewhere nothing changed since they were put in."""
        return self._find(texts, level, _beside_placeholders)

    def _find(
        self, texts: Sequence[Sequence[str]], level: str, choose: "Callable[[Marks], Bools]"
    ) -> list[list[Found]]:
        found: list[list[Found]] = []
        for part in _split_evenly(texts):
            line = self._read(part)
            found += _gather(part, line, self._tell(line, choose(line.marks), level))
        return found

    def probabilities(self, text: str) -> "Floats":
        """Return the probability of every label for every token of *text*, (tokens, labels)."""
        import numpy as np

        line = self._read([text.split(" ")])
        return self._score(line.words, np.arange(BETWEEN, len(line.words) - BETWEEN))

    def _tell(self, line: _Line, able: "Bools", level: str) -> dict[int, str]:
        # Candidates first, then what stands beside those that were told: a plain word may be part of a name.
        # A placeholder never is: masking it again under another kind would go on for ever.
        import numpy as np

        words, limits = line.words, self.limits[level]
        told: dict[int, str] = {}
        places, seen = np.flatnonzero(able), able | (line.marks == Could.PLACEHOLDER)
        for _ in range(_ROUNDS):
            if not places.size:
                break
            chances = self._score(words, places)
            likely = 1.0 - chances[:, 0]
            hits = np.flatnonzero(likely >= limits.min())
            best = chances[hits, 1:].argmax(axis=1) + 1
            sure = likely[hits] >= limits[best]
            hits, best = places[hits[sure]], best[sure]
            told.update(zip(hits.tolist(), (self.labels[label] for label in best.tolist()), strict=True))
            beside = np.unique(hits[:, None] + np.array(_BESIDE))
            places = beside[~seen[beside] & (words[beside] != 0)]
            seen[places] = True
        return told

    def _score(self, words: "Numbers", places: "Numbers") -> "Floats":
        # words: (n,) with gaps of BETWEEN zeros on every side; places: (m,); result: (m, labels)
        import numpy as np

        weights = self._weights
        wide = np.zeros(len(words), bool)
        for offset in range(-FAR, FAR + 1):
            wide[places + offset] = True
        needed = np.flatnonzero(wide)
        where = np.zeros(len(words), np.int64)
        where[needed] = np.arange(len(needed))
        # Every index is in range; without `clip` the rows would be copied twice.
        near = self._sums[0].take(words[np.maximum(needed - NEAR, 0)], axis=0, mode="clip")
        for offset in range(1, 2 * NEAR + 1):
            places_there = np.minimum(needed + (offset - NEAR), len(words) - 1)
            near += self._sums[offset].take(words[places_there], axis=0, mode="clip")
        np.maximum(near, 0.0, out=near)  # (needed, hidden)
        small = near @ weights["squeeze"]  # (needed, narrow)
        window = where[places[:, None] + np.arange(-FAR, FAR + 1)]  # (m, 2 FAR + 1)
        seen = small.take(window, axis=0, mode="clip").reshape(len(places), -1)
        hidden = near.take(where[places], axis=0, mode="clip") @ weights["far_own"] + seen @ weights["far_wide"]
        hidden += weights["far_bias"]
        scores = np.maximum(hidden, 0.0, out=hidden) @ weights["out"] + weights["out_bias"]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        return np.asarray(scores, np.float32)

    def _read(self, texts: Sequence[Sequence[str]]) -> _Line:
        import numpy as np

        if max(len(self._pieces), len(self._flat) // 8) > _MOST_PIECES or len(self._words) > _MOST_WORDS:
            self._forget()
        numbers, firsts = array("i", [0]), [1]
        for pieces in texts:
            known: list[int | None] = list(map(self._pieces.get, pieces))
            numbers.extend(self._learn_pieces(pieces, known) if None in known else known)  # type: ignore[arg-type]  # no None is left
            numbers.append(0)
            firsts.append(len(numbers))
        self._learn_words()
        chosen = np.frombuffer(numbers, np.int32)
        starts, sizes = np.frombuffer(self._starts, np.int32)[chosen], np.frombuffer(self._sizes, np.int32)[chosen]
        ends = np.cumsum(sizes)
        flat = np.arange(ends[-1]) + np.repeat(starts - (ends - sizes), sizes)
        words = np.frombuffer(self._flat, np.int32)[flat].astype(np.int64)
        marks = np.frombuffer(self._marks, np.int8)[words]
        return _Line(words, marks, ends[np.array(firsts) - 1], firsts, sizes)

    def _forget(self) -> None:
        import numpy as np

        self._pieces: dict[str, int] = {}
        self._words: dict[tuple[str, bool], int] = {("", False): 0}
        self._new: list[tuple[str, bool]] = [("", False)]
        self._marks = array("b")
        self._starts, self._sizes, self._flat = array("i", [0]), array("i", [BETWEEN]), array("i", [0] * BETWEEN)
        self._sums = np.zeros((2 * NEAR + 1, 4096, self._weights["near_bias"].shape[0]), np.float32)
        self._learn_words()

    def _learn_pieces(self, pieces: Sequence[str], known: list[int | None]) -> list[int | None]:
        for place, number in enumerate(known):
            if number is None:  # it may have been learned a moment ago
                piece = pieces[place]
                known[place] = self._pieces[piece] = self._pieces.get(piece) or self._learn_piece(piece)
        return known

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
        return len(self._sizes) - 1

    def _learn_words(self) -> None:
        import numpy as np

        if not self._new:
            return
        rows = [self._vocabulary.rows(token, spaced=spaced) for token, spaced in self._new]
        first, last = len(self._words) - len(rows), len(self._words)
        if last > self._sums.shape[1]:
            grown = np.zeros((2 * NEAR + 1, max(last, 2 * self._sums.shape[1]), self._sums.shape[2]), np.float32)
            grown[:, :first] = self._sums[:, :first]
            self._sums = grown
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        flat = np.fromiter((row for word in rows for row in word), np.int64, int(sizes.sum()))
        sums = np.add.reduceat(self._weights["rows"].take(flat, axis=0), np.cumsum(sizes) - sizes, axis=0)
        self._sums[:, first:last] = np.matmul(sums, self._weights["near"])  # (5, words, hidden)
        self._sums[NEAR, first:last] += self._weights["near_bias"]
        self._marks.extend(self._vocabulary.could_be(token) for token, _ in self._new)
        self._new = []


def _split_evenly(texts: Sequence[Sequence[str]]) -> Iterator[Sequence[Sequence[str]]]:
    first, size = 0, 0
    for place, pieces in enumerate(texts):
        if size > _TOGETHER:
            yield texts[first:place]
            first, size = place, 0
        size += len(pieces)
    if first < len(texts):
        yield texts[first:]


def _beside_placeholders(marks: "Marks") -> "Bools":
    import numpy as np

    near = np.zeros(len(marks), bool)
    # One word further than a word can see: a rule may have cut the word beside the placeholder in two.
    reach = np.arange(-BETWEEN - 1, BETWEEN + 2)
    around = np.flatnonzero(marks == Could.PLACEHOLDER)[:, None] + reach
    near[around.clip(0, len(near) - 1)] = True
    return _candidates(marks) & near


def _candidates(marks: "Marks") -> "Bools":
    # A number that stands beside a sign of arithmetic is counted with.
    summed = marks == Could.SUM
    beside = summed.copy()
    beside[1:] |= summed[:-1]
    beside[:-1] |= summed[1:]
    able: Bools = (marks == Could.NAME) | ((marks == Could.NUMBER) & ~beside)
    return able


def _gather(texts: Sequence[Sequence[str]], line: _Line, told: dict[int, str]) -> list[list[Found]]:
    found: list[list[Found]] = [[] for _ in texts]
    places = sorted(told)
    owners = (line.bounds.searchsorted(places, side="right") - 1).tolist()
    first = 0
    for owner, group in groupby(owners):
        last = first + sum(1 for _ in group)
        start = int(line.bounds[owner])
        mine = [(place - start, told[place]) for place in places[first:last]]
        sizes = line.sizes[line.firsts[owner] : line.firsts[owner + 1] - 1].tolist()
        found[owner] = list(_join(" ".join(texts[owner]), _locate(texts[owner], mine, sizes)))
        first = last
    return found


def _locate(pieces: Sequence[str], told: Sequence[tuple[int, str]], sizes: Sequence[int]) -> Iterator[Found]:
    # Places of words become places of characters, piece by piece: most pieces of a text hold no name.
    words = list(accumulate(sizes, initial=0))
    characters = list(accumulate((len(piece) + 1 for piece in pieces), initial=0))
    for place, label in told:
        number = bisect_right(words, place) - 1
        spans = [match.span() for match in TOKEN.finditer(pieces[number])]
        start, end = spans[place - words[number]]
        if pieces[number][start].isdigit():
            start, end = next(run.span() for run in _NUMBERS.finditer(pieces[number]) if run.end() >= end)
        word = pieces[number][start:end]
        if any(map(str.isalnum, word)):
            told_as = "URL" if is_link(word) else label
            yield Found(characters[number] + start, characters[number] + end, told_as)


def _join(text: str, parts: Iterator[Found]) -> Iterator[Found]:
    # The signs between two words of one label go with them, so that a name has one placeholder.
    whole = next(parts, None)
    for part in parts:
        if whole is None:
            break
        if part.start < whole.end:  # two parts of one number
            whole = whole._replace(start=min(whole.start, part.start), end=max(whole.end, part.end))
            continue
        signs, most = _JOINS.get(whole.label, _OTHERS)
        between = text[whole.end : part.start]
        if part.label == whole.label and len(between.replace(" ", "")) <= most and signs.issuperset(between):
            whole = whole._replace(end=part.end)
            continue
        yield whole
        whole = part
    if whole is not None:
        yield whole


def load_tagger(path: Path) -> Tagger:
    """Load the tagger in the safetensors file at *path*.

    Rows and weights are half precision; `vocabulary` is the words as a JSON list, `plain` a number by word;
    `limits.<level>` a probability per label. Raises `UsageError` when there is no such file.
    """
    import numpy as np
    from safetensors import safe_open

    if not path.is_file():
        raise UsageError(
            f"the weights that find names are not at '{path}'",
            hint="pip install --force-reinstall cortex-cli",
            state="nothing was kept: without them names would stay in the text",
        )
    with safe_open(path, framework="np") as file:
        stored: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        labels = (file.metadata() or {})["labels"].split(" ")
    words = msgspec.json.decode(stored.pop("vocabulary").tobytes(), type=list[str])
    plain = msgspec.json.decode(stored.pop("plain").tobytes(), type=dict[str, int])
    limits = {name.partition(".")[2]: stored.pop(name) for name in list(stored) if name.startswith("limits.")}
    weights = {name: value.astype(np.float32) for name, value in stored.items()}
    return Tagger(Vocabulary(words, plain), weights, labels, limits)

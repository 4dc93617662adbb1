"""The tagger that finds names, places, organisations and addresses: inference, in numpy only.

A word is the sum of learned rows (itself, its affixes, its shape); what it adds to each of the five places
around it is worked out once and kept, so that a word costs a few additions the second time it is seen.
A second layer looks nine words wide. Only words that could be part of a name are scored, and then their
neighbours. Texts are read together, so that the arrays are long.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.lexicon import BETWEEN, FAR, NEAR, Judge, Lexicon, Line, token_spans
from cortex_cli.models.words import LONGEST, Could, Vocabulary, is_link

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Numbers = NDArray[np.int64]
    Marks = NDArray[np.int8]
    Bools = NDArray[np.bool_]

__all__ = ["OUTSIDE", "Found", "Span", "Split", "Tagger", "load_tagger", "take_span"]

OUTSIDE = "O"
# A word that was told: its text, its piece in it, which word of the piece it is, its label. No type of its own: making a
# named tuple takes as long as everything else that is done with a word.
_Told = tuple[int, int, int, str]
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


class Span(NamedTuple):
    """A part of a split text, called *label*: from character *start* of piece *first* to *end* of piece *last*."""

    first: int
    start: int
    last: int
    end: int
    label: str


class Split(NamedTuple):
    """A text split at single spaces, and the number of each piece in the tagger's lexicon."""

    pieces: list[str]
    numbers: list[int]


class Tagger:
    """Find parts of texts that are names, by *weights* and *labels*; see `load_tagger` for the file.

    *limits* gives, per level, the probability from which each label is told.
    """

    def __init__(
        self, vocabulary: Vocabulary, weights: dict[str, "Floats"], labels: Sequence[str], limits: dict[str, "Floats"]
    ) -> None:
        self.labels = tuple(labels)
        self.limits = limits
        self.lexicon = Lexicon(vocabulary, weights)
        self._vocabulary = vocabulary
        self._weights = weights

    def note(self, judge: Judge) -> None:
        """Let *judge* look at every piece that is learned from now on; what was learned is forgotten."""
        self.lexicon = Lexicon(self._vocabulary, self._weights, judge)

    def find(self, texts: Sequence[str], level: str) -> list[list[Found]]:
        """Return what is found in each of *texts*, in order and without overlap, at *level* (`standard`, `strict`)."""
        self.lexicon.make_room()
        splits = [Split(pieces, self.lexicon.number(pieces)) for pieces in (text.split(" ") for text in texts)]
        found = self.find_split(splits, level)
        return [list(_place(split.pieces, spans)) for split, spans in zip(splits, found, strict=True)]

    def find_split(self, texts: Sequence[Split], level: str) -> list[list[Span]]:
        """Return what `find` does for *texts* that were split and numbered before."""
        return self._find(texts, level, _candidates)

    def find_again(self, texts: Sequence[Split], level: str) -> list[list[Span]]:
        """Return what is found in split *texts* beside placeholders: elsewhere nothing changed since they were put in."""
        return self._find(texts, level, _beside_placeholders)

    def _find(self, texts: Sequence[Split], level: str, choose: "Callable[[Marks], Bools]") -> list[list[Span]]:
        found: list[list[Span]] = []
        for part in _split_evenly(texts):
            line = self.lexicon.read([text.numbers for text in part])
            spans: list[list[Span]] = [[] for _ in part]
            for owner, group in groupby(self._tell(line, choose(line.marks), level), itemgetter(0)):
                spans[owner] = list(_join(part[owner].pieces, group))
            found += spans
        return found

    def probabilities(self, text: str) -> "Floats":
        """Return the probability of every label for every token of *text*, (tokens, labels)."""
        import numpy as np

        line = self.lexicon.read([self.lexicon.number(text.split(" "))])
        return self._score(line.words, np.arange(BETWEEN, len(line.words) - BETWEEN)).T

    def _tell(self, line: Line, able: "Bools", level: str) -> Iterator[_Told]:
        # Candidates first, then what stands beside those that were told: a plain word may be part of a name.
        # A placeholder never is: masking it again under another kind would go on for ever.
        import numpy as np

        words, limits = line.words, self.limits[level]
        told = np.zeros(len(words), np.int8)
        places, seen = np.flatnonzero(able), able | (line.marks == Could.PLACEHOLDER)
        for _ in range(_ROUNDS):
            if not places.size:
                break
            chances = self._score(words, places)
            likely = 1.0 - chances[0]
            hits = np.flatnonzero(likely >= limits.min())
            best = chances[1:, hits].argmax(axis=0) + 1
            sure = likely[hits] >= limits[best]
            hits, best = places[hits[sure]], best[sure]
            told[hits] = best
            around = np.zeros(len(words), bool)
            for offset in _BESIDE:
                around[hits + offset] = True
            places = np.flatnonzero(around & ~seen & (words != 0))
            seen[places] = True
        return self._locate(line, told)

    def _locate(self, line: Line, told: "Marks") -> Iterator[_Told]:
        # Places of words become pieces of texts, all at once.
        import numpy as np

        places = np.flatnonzero(told)
        pieces = line.ends.searchsorted(places, side="right")
        words = places - (line.ends[pieces] - line.sizes[pieces])
        owners = line.firsts.searchsorted(pieces, side="right") - 1
        labels = [self.labels[label] for label in told[places].tolist()]
        inside = pieces - line.firsts[owners]
        return zip(owners.tolist(), inside.tolist(), words.tolist(), labels, strict=True)

    def _score(self, words: "Numbers", places: "Numbers") -> "Floats":
        # words: (n,) with gaps of BETWEEN zeros on every side; places: (m,); result: (labels, m), which numpy reduces
        # along its first axis at a fifth of the time of the other one
        import numpy as np

        weights = self._weights
        wide = np.zeros(len(words), bool)
        for offset in range(-FAR, FAR + 1):
            wide[places + offset] = True
        needed = np.flatnonzero(wide)
        where = np.zeros(len(words), np.int64)
        where[needed] = np.arange(len(needed))
        # Every index is in range; without `clip` the rows would be copied twice.
        near = self.lexicon.sums[0].take(words[np.maximum(needed - NEAR, 0)], axis=0, mode="clip")
        for offset in range(1, 2 * NEAR + 1):
            places_there = np.minimum(needed + (offset - NEAR), len(words) - 1)
            near += self.lexicon.sums[offset].take(words[places_there], axis=0, mode="clip")
        np.maximum(near, 0.0, out=near)  # (needed, hidden)
        small = near @ weights["squeeze"]  # (needed, narrow)
        window = where[places[:, None] + np.arange(-FAR, FAR + 1)]  # (m, 2 FAR + 1)
        seen = small.take(window, axis=0, mode="clip").reshape(len(places), -1)
        hidden = near.take(where[places], axis=0, mode="clip") @ weights["far_own"] + seen @ weights["far_wide"]
        hidden += weights["far_bias"]
        scores = weights["out"].T @ np.maximum(hidden, 0.0, out=hidden).T + weights["out_bias"][:, None]
        scores = np.exp(scores - scores.max(axis=0))
        scores /= scores.sum(axis=0)
        return np.asarray(scores, np.float32)


def take_span(pieces: Sequence[str], span: Span) -> str:
    """Return the text of *span* in a text that was split into *pieces*."""
    first, start, last, end, _ = span
    if first == last:
        return pieces[first][start:end]
    return " ".join([pieces[first][start:], *pieces[first + 1 : last], pieces[last][:end]])


def _place(pieces: Sequence[str], spans: Sequence[Span]) -> Iterator[Found]:
    starts = list(accumulate((len(piece) + 1 for piece in pieces), initial=0))
    for first, start, last, end, label in spans:
        yield Found(starts[first] + start, starts[last] + end, label)


def _split_evenly(texts: Sequence[Split]) -> Iterator[Sequence[Split]]:
    first, size = 0, 0
    for place, text in enumerate(texts):
        if size > _TOGETHER:
            yield texts[first:place]
            first, size = place, 0
        size += len(text.pieces)
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


def _join(pieces: Sequence[str], told: Iterator[_Told]) -> Iterator[Span]:
    # The signs between two words of one label go with them, so that a name has one placeholder.
    whole: Span | None = None
    for part in (_span(pieces, word) for word in told):
        if whole is None or part is None:
            whole = whole or part
        elif part.first == whole.last and part.start < whole.end:  # two parts of one number
            start = min(whole.start, part.start) if whole.first == part.first else whole.start
            whole = Span(whole.first, start, whole.last, max(whole.end, part.end), whole.label)
        elif part.label == whole.label and _joins(pieces, whole, part):
            whole = Span(whole.first, whole.start, part.last, part.end, part.label)
        else:
            yield whole
            whole = part
    if whole is not None:
        yield whole


def _joins(pieces: Sequence[str], whole: Span, part: Span) -> bool:
    signs, most = _JOINS.get(whole.label, _OTHERS)
    if part.first - whole.last == 1 and whole.end == len(pieces[whole.last]) and not part.start:
        return True  # nothing but a space is between them, as between most names
    between = take_span(pieces, Span(whole.last, whole.end, part.first, part.start, ""))
    return len(between.replace(" ", "")) <= most and signs.issuperset(between)


def _span(pieces: Sequence[str], told: _Told) -> Span | None:
    _, place, word, label = told
    piece = pieces[place]
    if piece.isalpha() and len(piece) < LONGEST:
        return Span(place, 0, place, len(piece), label)
    start, end = token_spans(piece)[word]
    if piece[start].isdigit():
        start, end = next(run.span() for run in _NUMBERS.finditer(piece) if run.end() >= end)
    token = piece[start:end]
    if not any(map(str.isalnum, token)):
        return None
    return Span(place, start, place, end, "URL" if is_link(token) else label)


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

"""Suspected poisoning: many near-identical accepted answers to different requests, from one source, at one time.

An answer is sketched by four keys, each the least hashes of its word pairs in two of eight bins, so that answers
which share nine tenths of their pairs share most keys. A *burst* is a key that one source (an origin or a user)
gave for at least `least` different requests within `window` seconds, although answers elsewhere so rarely have it
that chance explains that many with probability at most `alpha` over all tests (exact binomial, Bonferroni).
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from cortex_cli.curate.normal import hash64
from cortex_cli.stats.shares import binomial_tail

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Column = npt.NDArray[np.uint64]
    Rows = npt.NDArray[np.intp]

__all__ = ["Burst", "BurstLimits", "Bursts", "Ordered", "Search", "Whose", "hash_source", "sketch_answer"]

_BANDS = 4
_MASK = (1 << 64) - 1
_WORD = re.compile(r"\w+|[^\w\s]+")
# Numbers, addresses and masked names differ from copy to copy.
_VARIABLE = re.compile(r"<[A-Z_]+_[0-9a-p]+>|\d+")
# Odd multipliers of splitmix64: they spread 32 bits over 64, and mix two columns.
_SPREAD = 0x9E3779B97F4A7C15
_SCATTER = 0xBF58476D1CE4E5B9
_BINS = 2 * _BANDS
_BIN_SHIFT = 61
# A burst is a concentration: what one source gives at most twice as often as the others is its subject.
_LEAST_LIFT = 2.0
# A source is ordered by answer when so many of its answers come in bursts, and they are this share of what it gave:
# public sets are often sorted by label. A flood of one answer, however large, is no order.
_MANY = 5
_USUAL = 0.1
# Answers of fewer words are alike only when they are equal: two calls of different tools share all but one word.
_SHORT = 12
# Of a long answer the first words decide; it costs what a short one does.
_MOST_PAIRS = 64


class Whose(NamedTuple):
    """Where an example came from: hashes of its origin and of its user, 0 where there is none."""

    origin: int = 0
    user: int = 0


class BurstLimits(NamedTuple):
    """What counts as a burst: different requests, seconds, shortest answer in characters, error rate of the audit.

    Short answers, such as a label or a yes, repeat by themselves.
    """

    least: int = 20
    window: int = 3600
    shortest: int = 24
    alpha: float = 0.001


class Burst(NamedTuple):
    """Near-identical answers of one source: how many different requests, of how many it made, and the odds.

    *elsewhere* is the share of the same answer among all other examples; *chance* is corrected for the tests.
    *examples* are positions in the order in which examples were added. Of bursts that share most of their
    examples the one whose source made least else is told: a user rather than the file that holds everything.
    """

    kind: str
    source: int
    requests: int
    made: int
    elsewhere: float
    chance: float
    start: int
    examples: tuple[int, ...]


class Ordered(NamedTuple):
    """A source of which many answers come in bursts, each at its own time: it is sorted by answer, or flooded.

    A burst in it says nothing, so none is told. *answers* are the bursts, *examples* how many they are together.
    """

    kind: str
    source: int
    answers: int
    examples: int


class Search(NamedTuple):
    """What was found: bursts, the largest first, and sources in which bursts are usual."""

    bursts: list[Burst]
    ordered: list[Ordered]


class Bursts:
    """The search, example by example: 80 bytes each in memory, judged at the end."""

    def __init__(self, limits: BurstLimits = BurstLimits()) -> None:  # noqa: B008 - a tuple, which nobody can change
        self._limits = limits
        self._prompts = array("Q")
        self._keys = tuple(array("Q") for _ in range(_BANDS))
        self._sources = {"origin": array("Q"), "user": array("Q")}
        self._times = array("q")

    def add(self, prompt: int, answer: str, whose: Whose, time: int) -> None:
        """Add an example: a hash of its folded prompt, its answer, whose it is, and seconds since 1970 or -1."""
        self._prompts.append(prompt)
        keys = sketch_answer(answer) if len(answer) >= self._limits.shortest else (0,) * _BANDS
        for band, key in zip(self._keys, keys, strict=True):
            band.append(key)
        for source, column in zip(whose, self._sources.values(), strict=True):
            column.append(source)
        self._times.append(time)

    def find(self) -> Search:
        """Return the bursts, of those that share most of their examples only the largest."""
        found = [burst for kind in self._sources for burst in self._search(kind)]
        found.sort(key=lambda burst: (-burst.requests, burst.made, burst.kind != "user", burst.examples))
        kept: list[Burst] = []
        told: dict[int, int] = {}
        for burst in found:
            # The bursts told so far that hold an example of this one, by their number.
            others = Counter(told[row] for row in burst.examples if row in told)
            if not others or 2 * others.most_common(1)[0][1] < len(burst.examples):
                told |= dict.fromkeys(burst.examples, len(kept))
                kept.append(burst)
        ordered = list(self._find_ordered(kept))
        usual = {(each.kind, each.source) for each in ordered}
        return Search([burst for burst in kept if (burst.kind, burst.source) not in usual], ordered)

    def _find_ordered(self, bursts: list[Burst]) -> Iterator[Ordered]:
        by_source: dict[tuple[str, int], list[Burst]] = {}
        for burst in bursts:
            by_source.setdefault((burst.kind, burst.source), []).append(burst)
        for (kind, source), own in by_source.items():
            covered = len({row for burst in own for row in burst.examples})
            if len(own) >= _MANY and covered > _USUAL * self._sources[kind].count(source):
                yield Ordered(kind, source, len(own), covered)

    def _search(self, kind: str) -> Iterator[Burst]:
        import numpy as np

        sources = np.frombuffer(self._sources[kind], dtype=np.uint64)
        times = np.frombuffer(self._times, dtype=np.int64)
        # Windows that begin at every half of their length: a burst of half a window lies whole in one of them.
        for shift in (0, max(1, self._limits.window // 2)):
            slots = np.where(times < 0, -1, (times + shift) // self._limits.window)
            places = _mix(sources, slots.astype(np.uint64))
            for band in self._keys:
                keys = np.frombuffer(band, dtype=np.uint64)
                for cell in self._dense(places, keys, np.flatnonzero((sources != 0) & (keys != 0))):
                    yield from self._judge(kind, cell)

    def _dense(self, places: "Column", keys: "Column", usable: "Rows") -> "Iterator[_Cell]":
        """Yield the cells of one source, window and key with many rows, and far more of them than elsewhere."""
        import numpy as np

        cells = _mix(places, keys)[usable]
        order = usable[np.argsort(cells, kind="stable")]
        _, starts, counts = np.unique(np.sort(cells), return_index=True, return_counts=True)
        first = order[starts]
        made, alike = _occurrences(places)[first], _occurrences(keys)[first]
        outside, elsewhere = len(places) - made, alike - counts
        # Without anything elsewhere there is nothing to compare with.
        lift = counts / made > _LEAST_LIFT * (elsewhere + 1) / (outside + 1)
        for index in np.flatnonzero((counts >= self._limits.least) & (outside > 0) & lift):
            rows = order[starts[index] : starts[index] + counts[index]]
            yield _Cell(rows, int(made[index]), int(elsewhere[index]), int(outside[index]), len(starts))

    def _judge(self, kind: str, cell: "_Cell") -> Iterator[Burst]:
        members = [int(row) for row in cell.rows]
        requests = len({self._prompts[member] for member in members})
        if requests < self._limits.least:
            return
        # One more than was seen elsewhere: an answer never seen there is not impossible.
        chance = binomial_tail(requests, cell.made, (cell.elsewhere + 1) / (cell.outside + 1)) * cell.tests
        if chance <= self._limits.alpha:
            start = min(self._times[member] for member in members)
            share = cell.elsewhere / cell.outside
            yield Burst(
                kind, self._sources[kind][members[0]], requests, cell.made, share, chance, start, tuple(members)
            )


class _Cell(NamedTuple):
    """Rows of one source, window and key; rows *made* there, with the key *elsewhere*, of *outside*; cells tested."""

    rows: "Rows"
    made: int
    elsewhere: int
    outside: int
    tests: int


def sketch_answer(answer: str) -> tuple[int, ...]:
    """Return four keys of *answer*; near-identical answers have most of them in common, others none.

    Short answers have the same keys only when they are equal but for case, spaces and what varies.
    """
    words = _WORD.findall(_VARIABLE.sub("0", answer.casefold()))[: _MOST_PAIRS + 1]
    if sum(word[0].isalnum() for word in words) < _SHORT:
        return (hash_source(" ".join(words)),) * _BANDS
    least: list[int] = [0] * _BINS
    for pair in {f"{first} {second}" for first, second in pairwise(words)}:
        value = crc32(pair.encode("utf-8", "surrogatepass")) * _SPREAD & _MASK | 1
        place = value >> _BIN_SHIFT
        least[place] = min(least[place] or value, value)
    # One permutation in bins (Li, Owen and Zhang 2012); an empty bin takes the value of the next one that is not.
    filled = [next(filter(None, least[place:] + least[:place])) for place in range(_BINS)]
    return tuple(hash_source(f"{filled[2 * band]} {filled[2 * band + 1]}") for band in range(_BANDS))


def hash_source(text: str) -> int:
    """Return a hash of the name of an origin or user, never 0, which stands for none."""
    return hash64(text) | 1


def _mix(first: "Column", second: "Column") -> "Column":
    import numpy as np

    mixed: Column = (first ^ (second * np.uint64(_SPREAD))) * np.uint64(_SCATTER)
    return mixed ^ (mixed >> np.uint64(31))


def _occurrences(values: "Column") -> "Rows":
    """Return for every value how often it occurs."""
    import numpy as np

    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: Rows = counts[places]
    return found

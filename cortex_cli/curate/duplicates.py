"""Duplicates: equal ones by sorting keys, near ones by shared bands and then by what the texts really share.

Rows stand in the order of preference, so of two rows the one with the smaller number survives, whatever the order in
which they were read. A near-duplicate is dropped only for a row that stays and that it was compared with: there are
no chains in which the first and the last have nothing in common.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cortex_cli.curate.columns import BLANK, SHORT_ANSWER, SHORT_REQUEST
from cortex_cli.curate.normal import normalise
from cortex_cli.curate.sketches import BANDS, jaccard, shingle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
    PairsOfRows = NDArray[np.int64]

__all__ = ["Compare", "Turn", "find_equal", "find_near", "make_comparer"]

# Tells of pairs of rows, n x 2, whether the texts are near-duplicates.
Compare = Callable[["PairsOfRows"], "NDArray[np.bool_]"]

# How much of the requests alone must be shared.
_ALIKE = 0.5
# In how many rounds the rows of a bucket are compared: with its first row, then its second, and so on. A bucket
# of many unlike texts would otherwise take the square of its size.
_ROUNDS = 4


class Turn(NamedTuple):
    """What is compared of an example: the last user message and the answer."""

    request: str
    answer: str


def find_equal(keys: "NDArray[Any]") -> "Rows":
    """Return for each row the first row with the same key."""
    order = np.lexsort([keys[name] for name in (keys.dtype.names or ())][::-1]) if keys.dtype.names else None
    order = np.argsort(keys, kind="stable") if order is None else order
    ranked = keys[order]
    begins = np.concatenate(([True], ranked[1:] != ranked[:-1])) if len(ranked) else np.empty(0, np.bool_)
    first = np.empty(len(keys), np.int64)
    # The sort is stable, so the first of a run is the least row.
    first[order] = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
    return first


def find_near(examples: "Mapping[str, NDArray[Any]]", rows: "Rows", compare: Compare) -> tuple["Rows", "PairsOfRows"]:
    """Return for each of *rows* (ascending) the row that it is dropped for, itself when it stays; and all near pairs.

    Candidates share a band. Where an answer is short it must be equal, and where a request is short so must be
    what was said before: a table for two is not a table for three, and "yes" answers another question each time.
    """
    rows = rows[(examples["flags"][rows] & BLANK) == 0]
    staying, tested, near = rows, np.empty(0, np.int64), np.empty((0, 2), np.int64)
    for depth in range(_ROUNDS):
        candidates = _candidates(examples, staying, depth)
        keys = candidates[:, 0] * len(examples["flags"]) + candidates[:, 1]
        fresh = ~np.isin(keys, tested)
        if not fresh.any():
            break
        tested = np.union1d(tested, keys)
        near = np.concatenate((near, _compare_likely_first(candidates[fresh], compare)))
        staying = _settle(near, rows)
    return _survivors(near, len(examples["flags"])), near


def make_comparer(similarity: float) -> Callable[[Sequence[tuple[Turn, Turn]]], list[bool]]:
    """Return the function that tells of pairs of turns whether they are near: *similarity* of their shingles shared.

    Request and answer are compared as one text; besides, the requests must be more alike than not, or one canned
    answer would make duplicates of all questions that it answers.
    """

    def compare(pairs: Sequence[tuple[Turn, Turn]]) -> list[bool]:
        known: dict[str, frozenset[Any]] = {}
        return [
            jaccard(_shingles(" ".join(one), known), _shingles(" ".join(other), known)) >= similarity
            and jaccard(_shingles(one.request, known), _shingles(other.request, known)) >= _ALIKE
            for one, other in pairs
        ]

    return compare


def _shingles(text: str, known: dict[str, frozenset[Any]]) -> frozenset[Any]:
    if text not in known:
        known[text] = shingle(normalise(text))
    return known[text]


def _candidates(examples: "Mapping[str, NDArray[Any]]", rows: "Rows", depth: int) -> "PairsOfRows":
    """Return pairs of *rows* that share a band, those that share most first: each with the first rows of its bucket."""
    found = [pair for band in range(BANDS) for pair in _stars(examples["bands"][rows, band], depth)]
    if not found:
        return np.empty((0, 2), np.int64)
    size = len(examples["flags"])
    joined = np.concatenate(found)
    joined = rows[joined]
    joined = joined[_comparable(examples, joined[:, 0], joined[:, 1])]
    keys, shared = np.unique(joined[:, 0] * size + joined[:, 1], return_counts=True)
    pairs = np.stack([keys // size, keys % size], axis=1)
    return pairs[np.lexsort((pairs[:, 0], -shared, pairs[:, 1]))]


def _stars(band: "NDArray[np.uint32]", depth: int) -> Iterator["PairsOfRows"]:
    """Yield pairs of positions with equal keys: the first *depth* + 1 of every bucket with all after them."""
    order = np.argsort(band, kind="stable")
    ranked = band[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    sizes = np.diff(np.concatenate((starts, [len(ranked)])))
    for at in range(depth + 1):
        large = sizes > at + 1
        begins, counts = starts[large] + at, sizes[large] - at - 1
        if len(begins):
            offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            leaders = np.repeat(begins, counts)
            yield np.stack([order[leaders], order[leaders + 1 + offsets]], axis=1)


def _comparable(examples: "Mapping[str, NDArray[Any]]", one: "Rows", other: "Rows") -> "NDArray[np.bool_]":
    either = examples["flags"][one] | examples["flags"][other]
    same_answer = examples["answer"][one] == examples["answer"][other]
    same_context = examples["context"][one] == examples["context"][other]
    comparable: NDArray[np.bool_] = (((either & SHORT_ANSWER) == 0) | same_answer) & (
        ((either & SHORT_REQUEST) == 0) | same_context
    )
    return comparable


def _compare_likely_first(pairs: "PairsOfRows", compare: Compare) -> "PairsOfRows":
    """Return the near ones of *pairs*: the likeliest of every row first, the others where that was none."""
    first = np.concatenate(([True], pairs[1:, 1] != pairs[:-1, 1]))
    near = pairs[first][compare(pairs[first])]
    others = pairs[~first]
    others = others[~np.isin(others[:, 1], near[:, 1])]
    return np.concatenate((near, others[compare(others)])) if len(others) else near


def _settle(near: "PairsOfRows", rows: "Rows") -> "Rows":
    size = int(rows[-1]) + 1 if len(rows) else 0
    staying: NDArray[np.int64] = rows[_survivors(near, size)[rows] == rows]
    return staying


def _survivors(near: "PairsOfRows", size: int) -> "Rows":
    """Return for each row the least row that stays and is near it; itself when there is none."""
    kept = np.arange(size)
    # Better rows first: whether a row stays is known before it is asked for.
    for better, worse in near[np.lexsort((near[:, 0], near[:, 1]))].tolist():
        if kept[worse] == worse and kept[better] == better:
            kept[worse] = better
    return kept

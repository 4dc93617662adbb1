"""Bootstrap of a mean whose rows come in groups; for one look at fixed rows.

Rows of one group (turns of an episode, paraphrases of a request) are drawn together, because they are right or wrong
together: taken as independent they promise more than they show.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from cortex_cli.stats.intervals import Interval
from cortex_cli.stats.wealth import Array

__all__ = ["bootstrap_mean", "group_totals"]

# Draws at once: bounds the memory to 64 x groups indices.
_CHUNK = 64
_NORMAL = NormalDist()


def bootstrap_mean(
    values: Array,
    groups: Sequence[object] | None,
    generator: np.random.Generator,
    *,
    method: Literal["percentile", "bca"] = "bca",
    confidence: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """Return the interval of the mean of *values* when whole *groups* are drawn again; None: every row on its own.

    *values* may be differences of pairs. `percentile` is Efron's of 1979; `bca` corrects bias and skew (Efron 1987,
    "Better Bootstrap Confidence Intervals"), with the acceleration from leaving out one group at a time. Fewer than two
    groups tell nothing about their spread: the interval is then unbounded.
    """
    sums, sizes = group_totals(values, groups)
    if sums.size < 2:
        return Interval(-np.inf, np.inf)
    means = _draw(sums, sizes, generator, draws)
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    if method == "bca":
        tails = _corrected(tails, means, sums, sizes)
    low, high = np.quantile(means, tails)
    return Interval(float(low), float(high))


def group_totals(values: Array, groups: Sequence[object] | None) -> tuple[Array, Array]:
    """Return the sum of *values* and the rows of each group, in the order in which groups first appear."""
    if groups is None:
        return values.astype(np.float64), np.ones(values.size)
    numbers: dict[object, int] = {}
    places = np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)
    sums = np.bincount(places, values, len(numbers)).astype(np.float64)
    return sums, np.bincount(places, minlength=len(numbers)).astype(np.float64)


def _draw(sums: Array, sizes: Array, generator: np.random.Generator, draws: int) -> Array:
    means = np.empty(draws)
    for start in range(0, draws, _CHUNK):
        count = min(_CHUNK, draws - start)
        chosen = generator.integers(0, sums.size, (count, sums.size))  # (draws, groups)
        means[start : start + count] = sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)
    return means


def _corrected(tails: tuple[float, float], means: Array, sums: Array, sizes: Array) -> tuple[float, float]:
    mean = sums.sum() / sizes.sum()
    # Half of the ties count as below: means of few distinct values, such as shares, tie often.
    below = float((means < mean).mean() + (means == mean).mean() / 2)
    if not 0 < below < 1:
        return tails
    bias = _NORMAL.inv_cdf(below)
    left = mean - (sums.sum() - sums) / (sizes.sum() - sizes)  # leave one group out
    spread = float((left**2).sum())
    skew = float((left**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    low, high = (_shift(_NORMAL.inv_cdf(tail), bias, skew) for tail in tails)
    return low, high


def _shift(quantile: float, bias: float, skew: float) -> float:
    moved = bias + quantile
    return _NORMAL.cdf(bias + moved / (1 - skew * moved))

"""Intervals for a difference and for a rate, each named for what it promises.

A confidence sequence holds at every look at once; Wilson's, Newcombe's and the bootstrap hold for
one look at a number of rows that was fixed beforehand.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from cortex_cli.stats.betting import WIDE_BETS, Bets, Estimates, bet_above
from cortex_cli.stats.wealth import Array, final_log_e

__all__ = [
    "Interval",
    "bootstrap_interval",
    "confidence_sequence",
    "newcombe_interval",
    "wilson_interval",
]

# Bounds are found to half a thousandth, and lie on the safe side of it.
_TOLERANCE = 0.0005


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower and upper bound."""

    low: float
    high: float


def confidence_sequence(estimates: Estimates, alpha: float, bets: Bets = WIDE_BETS) -> Interval:
    """Return bounds on the difference of which each is wrong at any time with probability at most *alpha*.

    They are the constant differences that all rows together do not refute: the lower bound is the
    largest b whose H0: D_t <= b stands refuted at 1/alpha now, found by halving because the wealth
    falls as b rises; the upper bound mirrors it. So they hold the mean of the estimates, 1 - 2 alpha
    holds for both together, and the lower one is above 0 exactly while `superiority` with the same
    bets stands at 1/alpha. Source: arXiv:2010.09686, section 4.
    """
    known = ~np.isnan(estimates.values)
    if not bool(known.any()):
        return Interval(-1.0, 1.0)
    kept = Estimates(estimates.values[known], estimates.floors[known], estimates.ceilings[known])
    low = _lower_bound(kept, math.log(1.0 / alpha), bets)
    return Interval(low, -_lower_bound(kept.mirrored(), math.log(1.0 / alpha), bets))


def wilson_interval(successes: float, rows: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval (1927) for a rate; for one look at a fixed number of rows."""
    if rows == 0:
        return Interval(0.0, 1.0)
    z = _quantile(confidence)
    rate = successes / rows
    centre = (rate + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(rate * (1 - rate) / rows + z * z / (4 * rows * rows))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def newcombe_interval(both: int, wins: int, losses: int, neither: int, confidence: float = 0.95) -> Interval:
    """Return Newcombe's interval for a paired difference of rates; for one look at fixed rows.

    *wins* are pairs that only the challenger solved, *losses* only the champion. Source: Newcombe
    1998, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", method 10.
    """
    rows = both + wins + losses + neither
    if rows == 0:
        return Interval(-1.0, 1.0)
    first, second = (both + wins) / rows, (both + losses) / rows
    one = wilson_interval(both + wins, rows, confidence)
    two = wilson_interval(both + losses, rows, confidence)
    phi = _correlation(both, wins, losses, neither)
    down = _spread(first - one.low, two.high - second, phi)
    up = _spread(one.high - first, second - two.low, phi)
    return Interval(first - second - down, first - second + up)


def bootstrap_interval(
    differences: Array, generator: np.random.Generator, confidence: float = 0.95, draws: int = 2000
) -> Interval:
    """Return the percentile bootstrap interval of the mean paired difference; for one look at fixed rows.

    Pairs are drawn together, so their correlation is kept. Source: Efron 1979.
    """
    if not differences.size:
        return Interval(-1.0, 1.0)
    means = np.array([generator.choice(differences, differences.size).mean() for _ in range(draws)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def _lower_bound(estimates: Estimates, threshold: float, bets: Bets) -> float:
    """Return the largest bound, to the tolerance, that the wealth refutes; -1 if none."""
    centre = float(estimates.values.mean())
    # With the best bet known beforehand the bound would lie this far below the mean; a mixture's
    # lies 1 to 1.5 times as far. Beginning there saves half of the steps.
    width = max(_TOLERANCE, float(estimates.values.std()) * math.sqrt(2 * threshold / estimates.values.size))
    # The mean itself is never refuted: payoffs that sum to 0 have a product of at most 1.
    low, high = centre - 1.5 * width, centre
    at_low, at_high, aim = threshold, 0.0, -1
    while low > -1.0 and (at_low := final_log_e(bet_above(estimates, low, bets))) < threshold:
        low, high, at_high, width = low - width, low, at_low, 2 * width
    low = max(-1.0, low)
    while high - low > _TOLERANCE:
        share = _expected_share(at_low, at_high, threshold)
        # Aimed a little to either side of the guess in turn, so that both ends close in on it.
        middle = low + (high - low) * share + 0.4 * _TOLERANCE * aim
        middle = min(max(middle, low + 0.1 * (high - low)), high - 0.1 * (high - low))
        found = final_log_e(bet_above(estimates, middle, bets))
        if found >= threshold:
            low, at_low, aim = middle, found, 1
        else:
            high, at_high, aim = middle, found, -1
    return low


def _expected_share(at_low: float, at_high: float, threshold: float) -> float:
    """Return where between two bounds the threshold is to be expected: log-wealth falls about quadratically."""
    top, bottom = math.sqrt(max(at_low, threshold)), math.sqrt(max(at_high, 0.0))
    return (top - math.sqrt(threshold)) / (top - bottom) if top > bottom else 0.5


def _correlation(both: int, wins: int, losses: int, neither: int) -> float:
    product = (both + wins) * (losses + neither) * (both + losses) * (wins + neither)
    if product == 0:
        return 0.0
    excess = both * neither - wins * losses
    rows = both + wins + losses + neither
    # Newcombe's continuity correction applies to positive correlation only.
    corrected = max(excess - rows / 2, 0.0) if excess > 0 else float(excess)
    return corrected / math.sqrt(product)


def _spread(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(0.0, first * first - 2 * phi * first * second + second * second))


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)

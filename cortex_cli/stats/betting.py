"""Bets on a bounded estimate of a difference: the one shape behind all tests of a mean here.

Row t gives an unbiased estimate x_t of the difference D_t (challenger minus champion) that lies in
[-floor_t, ceiling_t], where floor_t and ceiling_t are known before the outcome. Against H0: D_t <= b
at every t, the payoff g_t = (x_t - b) / (floor_t + b) is at least -1 and has mean at most 0, so
E = mean over c of prod(1 + c g_t), c in (0, 1), is an e-process.
Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
arXiv:2010.09686.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cortex_cli.stats.wealth import Array, Process

__all__ = [
    "BOLD_BETS",
    "WIDE_BETS",
    "Bets",
    "Estimates",
    "Side",
    "bet_above",
    "bet_below",
    "row_payoff",
]

Side = Literal["above", "below"]


@dataclass(frozen=True, slots=True)
class Bets:
    """Shares of the wealth to put on each row, in (0, 1), and the start money of each, which sums to 1.

    A right share is near difference / variance of the estimate. A test whose smallest share is c can
    find no difference below c/2 variances, however many rows it has.
    """

    shares: tuple[float, ...]
    money: tuple[float, ...]


# For margins, effects and unequal arms: differences of 1 % to 40 % of the estimate's range.
WIDE_BETS = Bets((0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75), (1 / 7,) * 7)
# For pairs, of which most are ties and the others carry +1 or -1. The first two are for differences
# below one point in long contests; a tenth of the money on them costs 0 to 12 % more pairs (median).
BOLD_BETS = Bets((0.01, 0.04, 0.1, 0.25, 0.45, 0.65, 0.85), (0.05, 0.05, 0.18, 0.18, 0.18, 0.18, 0.18))


@dataclass(frozen=True, slots=True)
class Estimates:
    """Estimates of a difference, one per row, all shape (n,): value, and how far it could lie below and above 0.

    A row without an outcome has value NaN; every bet leaves it out.
    """

    values: Array
    floors: Array
    ceilings: Array

    def mirrored(self) -> "Estimates":
        """Return the estimates of the opposite difference, champion minus challenger."""
        return Estimates(-self.values, self.ceilings, self.floors)


def bet_above(estimates: Estimates, bound: float, bets: Bets = WIDE_BETS) -> Process:
    """Bet that the difference is above *bound*: an e-process against H0: D_t <= bound at every t.

    Assumes that each value is unbiased given the past and inside its floor and ceiling, and
    -1 < bound < 1. Formula and source: the module's.
    """
    shares = np.asarray(bets.shares)[:, None]  # (K, 1)
    values, floors = estimates.values, estimates.floors

    def _factors(start: int, stop: int) -> Array:
        payoffs = (values[start:stop] - bound) / (floors[start:stop] + bound)
        gained: Array = 1.0 + shares * np.where(np.isnan(payoffs), 0.0, payoffs)
        return gained

    return Process(np.asarray(bets.money), values.size, _factors)


def bet_below(estimates: Estimates, bound: float, bets: Bets = WIDE_BETS) -> Process:
    """Bet that the difference is below *bound*: an e-process against H0: D_t >= bound at every t.

    The mirror image of `bet_above`, under the same assumptions.
    """
    return bet_above(estimates.mirrored(), -bound, bets)


def row_payoff(value: float, limits: tuple[float, float], side: Side, bound: float) -> float:
    """Return the payoff of one row; *limits* are its floor and ceiling."""
    floor, ceiling = limits
    if side == "above":
        return (value - bound) / (floor + bound)
    return (bound - value) / (ceiling - bound)

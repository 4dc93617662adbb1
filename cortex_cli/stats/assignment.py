"""Bets on the assignment, given a failure: live success tests that no drifting base rate can fool.

Row t is a failure of either arm; A_t = 1 where the challenger had the unit, with logged propensity
p_t. If the challenger's failure probability is r times the champion's, the unit behind a failure was
the challenger's with probability theta = r p / (r p + 1 - p). So bet on A_t at those odds:
E = mean over r of prod(theta / p if A_t else (1 - theta) / (1 - p)), over failures only.
Assumes randomised assignment with a propensity in (0, 1) that was fixed before the outcome; the
failure rate of the moment cancels out. Source: the idea of Lindon and Malek, "Anytime-valid
inference for multinomial count data", NeurIPS 2022, arXiv:2011.03567, here one-sided over a grid.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cortex_cli.stats.wealth import Array, Process, Wealth

__all__ = ["FEWER_FAILURES", "AssignmentTest", "failure_log_e", "harm", "superiority"]

# Ratios of the challenger's failure probability to the champion's that the bets are made for.
FEWER_FAILURES = (0.15, 0.25, 0.4, 0.55, 0.7, 0.85)


def superiority(
    outcomes: Array, arms: npt.NDArray[np.bool_], propensities: Array, ratios: Sequence[float] = FEWER_FAILURES
) -> Process:
    """Return the e-process against H0: the challenger fails at least as often at every t.

    Shapes (n,): *outcomes* 1, 0 or NaN (unknown, not bet on), *arms* True for the challenger.
    Under H0 a failure is the challenger's with probability at least p_t, so every ratio below 1 loses.
    """
    ratio = np.asarray(ratios)[:, None]  # (K, 1)

    def _factors(start: int, stop: int) -> Array:
        gained = np.ones((len(ratios), stop - start))
        failed = np.flatnonzero(outcomes[start:stop] == 0.0)
        arm, share = arms[start:stop][failed], propensities[start:stop][failed]
        gained[:, failed] = np.where(arm, ratio, 1.0) / (ratio * share + 1.0 - share)
        return gained

    return Process(np.full(len(ratios), 1.0 / len(ratios)), outcomes.size, _factors)


def harm(
    outcomes: Array, arms: npt.NDArray[np.bool_], propensities: Array, ratios: Sequence[float] = FEWER_FAILURES
) -> Process:
    """Return the e-process against H0: the challenger fails at most as often at every t.

    The same bets at odds 1/r.
    """
    return superiority(outcomes, arms, propensities, [1.0 / ratio for ratio in ratios])


def failure_log_e(challenger: int, failures: int, propensity: float, ratios: Sequence[float] = FEWER_FAILURES) -> float:
    """Return log E of `superiority` after *failures*, of which *challenger* were the challenger's."""
    champion = failures - challenger
    scale = [math.log(ratio * propensity + 1.0 - propensity) for ratio in ratios]
    logs = [challenger * math.log(ratio) - failures * each for ratio, each in zip(ratios, scale, strict=True)]
    if champion < 0:
        raise ValueError(f"{challenger} of {failures} failures")
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs) / len(ratios))


class AssignmentTest:
    """The assignment bet kept row by row; ratios below 1 bet on fewer failures, above 1 on more."""

    __slots__ = ("_ratios", "wealth")

    def __init__(self, ratios: Sequence[float] = FEWER_FAILURES) -> None:
        self._ratios = tuple(ratios)
        self.wealth = Wealth([1.0 / len(self._ratios)] * len(self._ratios))

    def update(self, *, failed: bool, challenger: bool, propensity: float) -> float:
        """Add one task and return log E; a success changes nothing."""
        if not failed:
            return self.wealth.last
        factors = [(ratio if challenger else 1.0) / (ratio * propensity + 1.0 - propensity) for ratio in self._ratios]
        return self.wealth.multiply(factors)

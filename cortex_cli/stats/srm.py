"""Sample-ratio check: did the arms get the traffic that was promised? Valid at every look.

H0: each unit falls into arm i with probability p_i (fixed before the unit came). Against it stands a
Dirichlet(k p) mixture over the true shares, so the Bayes factor
    log BF = lnG(k) - sum lnG(k p_i) + sum lnG(k p_i + x_i) - lnG(k + n) - sum x_i ln p_i
is a non-negative martingale under H0 and P(log BF ever reaches ln 1000) <= 0.001.
Source: Lindon and Malek, arXiv:2011.03567; GrowthBook's sequential check uses the same form.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cortex_cli.stats.wealth import Array

__all__ = ["ALARM", "CONCENTRATION", "SampleRatio", "log_bayes_factor", "ratio_path"]

# One false alarm in a thousand contests, and the weight of the mixture: 15 % of traffic instead of
# 10 % is found after some 680 tasks with 100, later with GrowthBook's 10,000.
ALARM = math.log(1000.0)
CONCENTRATION = 100.0


def log_bayes_factor(counts: Sequence[int], shares: Sequence[float], concentration: float = CONCENTRATION) -> float:
    """Return log BF for *counts* per arm against promised *shares* that sum to 1; the module's formula."""
    total = sum(counts)
    prior = [concentration * share for share in shares]
    value = math.lgamma(concentration) - math.lgamma(concentration + total)
    for count, share, weight in zip(counts, shares, prior, strict=True):
        value += math.lgamma(weight + count) - math.lgamma(weight) - count * math.log(share)
    return value


def ratio_path(arms: npt.NDArray[np.bool_], propensities: Array, concentration: float = CONCENTRATION) -> Array:
    """Return log BF after each of n units of two arms, shape (n,), for propensities that may change.

    Units with the same propensity are one step of a ramp and share their counts; steps multiply.
    Each factor is the mixture's prediction of the unit's arm over the promised probability.
    """
    gains = np.zeros(arms.shape)
    for share in _distinct(propensities):
        step = propensities == share
        gains[step] = _step_gains(arms[step], share, concentration)
    path: Array = np.cumsum(gains)
    return path


class SampleRatio:
    """The check kept unit by unit, for two arms."""

    __slots__ = ("_concentration", "_counts", "highest", "last")

    def __init__(self, concentration: float = CONCENTRATION) -> None:
        self._concentration = concentration
        self._counts: dict[float, tuple[int, int]] = {}
        self.last = 0.0
        self.highest = 0.0

    def update(self, *, challenger: bool, propensity: float) -> float:
        """Add one assigned unit and return log BF."""
        champions, challengers = self._counts.get(propensity, (0, 0))
        share = propensity if challenger else 1.0 - propensity
        had = challengers if challenger else champions
        seen = champions + challengers
        predicted = (self._concentration * share + had) / (self._concentration + seen)
        self.last += math.log(predicted / share)
        self.highest = max(self.highest, self.last)
        self._counts[propensity] = (champions + (not challenger), challengers + challenger)
        return self.last


def _distinct(propensities: Array) -> list[float]:
    # One share for the whole contest is the usual case, and 20 times cheaper to see than a set is to build.
    if propensities.size and bool((propensities == propensities[0]).all()):
        return [float(propensities[0])]
    return sorted(set(propensities.tolist()))


def _step_gains(arms: npt.NDArray[np.bool_], share: float, concentration: float) -> Array:
    seen = np.arange(arms.size, dtype=np.float64)
    challengers: Array = np.cumsum(arms, dtype=np.float64) - arms  # before this unit
    had = np.where(arms, challengers, seen - challengers)
    shares = np.where(arms, share, 1.0 - share)
    gains: Array = np.log((concentration * shares + had) / ((concentration + seen) * shares))
    return gains

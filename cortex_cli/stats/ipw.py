"""Live contests: one arm per unit, drawn with a logged propensity that may change from row to row.

With A_t = 1 for the challenger, propensity p_t, outcome Y_t in [0, 1] and any prediction m_t of Y_t
made before it was seen (here the running mean of past outcomes),
    x_t = (Y_t - m_t) (A_t / p_t - (1 - A_t) / (1 - p_t))           E[x_t | past] = mu1_t - mu0_t
    floor_t   = max(m_t / p_t, (1 - m_t) / (1 - p_t))               largest possible -x_t
    ceiling_t = max((1 - m_t) / p_t, m_t / (1 - p_t))               largest possible +x_t
and the bets of `betting` apply. Ramps and bandit allocation keep validity because p_t is inside x_t.
Assumes randomised assignment, p_t in (0, 1) logged at assignment, rows in assignment order.
Source: arXiv:2010.09686 (betting); Waudby-Smith et al., "Anytime-valid off-policy inference for
contextual bandits", arXiv:2210.10768 (changing logging policies, drifting contexts).
"""

import numpy as np
import numpy.typing as npt

from cortex_cli.stats.betting import WIDE_BETS, Bets, Estimates, Side, bet_above, bet_below, row_payoff
from cortex_cli.stats.wealth import Array, Process, Wealth

__all__ = ["IpwTest", "futility", "harm", "ipw_estimates", "noninferiority", "superiority"]


def ipw_estimates(outcomes: Array, arms: npt.NDArray[np.bool_], propensities: Array) -> Estimates:
    """Return x_t with its limits for outcomes in [0, 1]; an unknown outcome is NaN and stays out of m_t."""
    mean = _running_mean(outcomes)
    away = 1.0 - propensities
    values = (outcomes - mean) * np.where(arms, 1.0 / propensities, -1.0 / away)
    floors = np.maximum(mean / propensities, (1.0 - mean) / away)
    ceilings = np.maximum((1.0 - mean) / propensities, mean / away)
    return Estimates(values, floors, ceilings)


def superiority(estimates: Estimates) -> Process:
    """Return the e-process against H0: the challenger is nowhere better, mu1_t - mu0_t <= 0.

    E = mean over c of prod(1 + c x_t / floor_t).
    """
    return bet_above(estimates, 0.0)


def noninferiority(estimates: Estimates, margin: float) -> Process:
    """Return the e-process against H0: the challenger is worse by *margin* or more, mu1_t - mu0_t <= -margin.

    E = mean over c of prod(1 + c (x_t + margin) / (floor_t - margin)).
    """
    return bet_above(estimates, -margin)


def harm(estimates: Estimates) -> Process:
    """Return the e-process against H0: the challenger is nowhere worse, mu1_t - mu0_t >= 0.

    E = mean over c of prod(1 - c x_t / ceiling_t).
    """
    return bet_below(estimates, 0.0)


def futility(estimates: Estimates, effect: float) -> Process:
    """Return the e-process against H0: the challenger is better by *effect* or more, mu1_t - mu0_t >= effect.

    E = mean over c of prod(1 + c (effect - x_t) / (ceiling_t - effect)).
    """
    return bet_below(estimates, effect)


class IpwTest:
    """One weighted test kept task by task: H0 is mu1_t - mu0_t <= bound for 'above', >= bound for 'below'."""

    __slots__ = ("_bound", "_count", "_shares", "_side", "_sum", "wealth")

    def __init__(self, side: Side = "above", bound: float = 0.0, bets: Bets = WIDE_BETS) -> None:
        self._side = side
        self._bound = bound
        self._shares = bets.shares
        self._sum = _PRIOR_MEAN
        self._count = 1
        self.wealth = Wealth(bets.money)

    def update(self, outcome: float, *, challenger: bool, propensity: float) -> float:
        """Add one task's outcome in [0, 1] and return log E."""
        mean = self._sum / self._count
        away = 1.0 - propensity
        value = (outcome - mean) * (1.0 / propensity if challenger else -1.0 / away)
        floor = max(mean / propensity, (1.0 - mean) / away)
        ceiling = max((1.0 - mean) / propensity, mean / away)
        payoff = row_payoff(value, (floor, ceiling), self._side, self._bound)
        self._sum += outcome
        self._count += 1
        return self.wealth.multiply([1.0 + share * payoff for share in self._shares])


# Before the first outcome the prediction is 1/2, and that guess then weighs as much as one outcome.
_PRIOR_MEAN = 0.5


def _running_mean(outcomes: Array) -> Array:
    seen = ~np.isnan(outcomes)
    sums = np.cumsum(np.where(seen, outcomes, 0.0))
    counts = np.cumsum(seen)
    before = np.where(seen, outcomes, 0.0)
    mean: Array = (_PRIOR_MEAN + sums - before) / (1.0 + counts - seen)
    return mean

"""Shadow contests: both variants answer every unit, and the pair is the observation.

Row t gives D_t = challenger's outcome minus champion's, in [-1, 1], in the order of the units; NaN
where one of the two is unknown. Assumes that pairs are judged blind to the arm and that the null
below holds at every t; the mix and difficulty of the units may drift.
"""

import math

import numpy as np

from cortex_cli.stats.betting import BOLD_BETS, WIDE_BETS, Bets, Estimates, Side, bet_above, bet_below, row_payoff
from cortex_cli.stats.wealth import Array, Process, Wealth

__all__ = [
    "PairedTest",
    "discordant_log_e",
    "futility",
    "harm",
    "noninferiority",
    "paired_estimates",
    "superiority",
]


def paired_estimates(champion: Array, challenger: Array) -> Estimates:
    """Return the differences of two outcome arrays in [0, 1] as estimates bounded by 1 on both sides."""
    ones = np.ones(champion.shape)
    return Estimates(challenger - champion, ones, ones)


def superiority(differences: Array, bets: Bets = BOLD_BETS) -> Process:
    """Return the e-process against H0: the challenger is nowhere better, E[D_t | past] <= 0.

    E = mean over c of prod(1 + c D_t). With D in {-1, 0, 1} this is the discordant-pairs test
    mean (2 theta)^wins (2 (1 - theta))^losses at theta = (1 + c) / 2: only discordant pairs count.
    Source: arXiv:2010.09686; for pairs the sequential form of McNemar's test (1947).
    """
    return bet_above(_unit_estimates(differences), 0.0, bets)


def noninferiority(differences: Array, margin: float, bets: Bets = WIDE_BETS) -> Process:
    """Return the e-process against H0: the challenger is worse by *margin* or more, E[D_t | past] <= -margin.

    E = mean over c of prod(1 + c (D_t + margin) / (1 - margin)). Source: arXiv:2010.09686.
    """
    return bet_above(_unit_estimates(differences), -margin, bets)


def harm(differences: Array, bets: Bets = BOLD_BETS) -> Process:
    """Return the e-process against H0: the challenger is nowhere worse, E[D_t | past] >= 0.

    E = mean over c of prod(1 - c D_t): `superiority` with the arms exchanged.
    """
    return bet_below(_unit_estimates(differences), 0.0, bets)


def futility(differences: Array, effect: float, bets: Bets = WIDE_BETS) -> Process:
    """Return the e-process against H0: the challenger is better by *effect* or more, E[D_t | past] >= effect.

    E = mean over c of prod(1 + c (effect - D_t) / (1 - effect)). Source: arXiv:2010.09686.
    """
    return bet_below(_unit_estimates(differences), effect, bets)


def discordant_log_e(wins: int, losses: int, bets: Bets = BOLD_BETS) -> float:
    """Return log E of `superiority` after so many discordant pairs, in any order.

    H0: given that the two disagree, the challenger wins with probability at most 1/2.
    """
    logs = [
        math.log(money) + wins * math.log1p(share) + losses * math.log1p(-share)
        for share, money in zip(bets.shares, bets.money, strict=True)
    ]
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs))


class PairedTest:
    """One paired test kept pair by pair: H0 is E[D_t | past] <= bound for side 'above', >= bound for 'below'.

    After the same pairs it holds the wealth that the function of the same null returns for arrays.
    """

    __slots__ = ("_bound", "_shares", "_side", "wealth")

    def __init__(self, side: Side = "above", bound: float = 0.0, bets: Bets = BOLD_BETS) -> None:
        self._side = side
        self._bound = bound
        self._shares = bets.shares
        self.wealth = Wealth(bets.money)

    def update(self, difference: float) -> float:
        """Add one pair's difference in [-1, 1] and return log E."""
        payoff = row_payoff(difference, (1.0, 1.0), self._side, self._bound)
        return self.wealth.multiply([1.0 + share * payoff for share in self._shares])


def _unit_estimates(differences: Array) -> Estimates:
    ones = np.ones(differences.shape)
    return Estimates(differences, ones, ones)

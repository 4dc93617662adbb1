"""How many tasks a contest needs: normal approximations for one look, simulated medians for every look."""

import math
from dataclasses import dataclass
from statistics import NormalDist, median_high
from typing import Literal

import numpy as np

from cortex_cli.domain.manifests import Policy
from cortex_cli.stats.decision import find_first_decision
from cortex_cli.stats.simulation import Scenario, simulate_pairs, simulate_split

__all__ = [
    "Anytime",
    "fixed_discordant_pairs",
    "fixed_mean_tasks",
    "fixed_pairs",
    "fixed_split_tasks",
    "noninferior_split_tasks",
    "simulate_decisions",
]


@dataclass(frozen=True, slots=True)
class Anytime:
    """Simulated contests: share promoted, and the median and 90th percentile of tasks until then (None if none)."""

    promoted_rate: float
    median_tasks: int | None
    p90_tasks: int | None


def fixed_split_tasks(scenario: Scenario, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return total tasks for one look at a live split to show the difference, one-sided *alpha*.

    n = (z_alpha + z_power)^2 (p1 q1 / share + p0 q0 / (1 - share)) / (p1 - p0)^2, the normal
    approximation for two independent proportions (Fleiss 1981, unpooled).
    """
    return _tasks(_split_variance(scenario), scenario.challenger - scenario.champion, alpha, power)


def fixed_mean_tasks(deviation: float, effect: float, share: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return total tasks for one look at a live split to show a difference of means, one-sided *alpha*.

    n = (z_alpha + z_power)^2 sd^2 (1 / share + 1 / (1 - share)) / effect^2.
    """
    return _tasks(deviation**2 * (1 / share + 1 / (1 - share)), effect, alpha, power)


def noninferior_split_tasks(base: float, margin: float, share: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return total tasks for one look at a live split of equal arms to show that nothing above *margin* is lost."""
    return _tasks(_split_variance(Scenario(base, base, share)), margin, alpha, power)


def fixed_pairs(scenario: Scenario, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return shadow pairs for one look to show the difference, one-sided *alpha*.

    With discordant share s and difference d: n = (z_alpha sqrt(s) + z_power sqrt(s - d^2))^2 / d^2
    (Connor 1987, sample size for McNemar's test).
    """
    return fixed_discordant_pairs(*_discordant(scenario), alpha, power)


def fixed_discordant_pairs(wins: float, losses: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """Return shadow pairs for one look when these shares of pairs are won and lost, as `fixed_pairs` does; 0 if equal."""
    share, gain = wins + losses, wins - losses
    if gain == 0:
        return 0
    spread = _quantile(1 - alpha) * math.sqrt(share) + _quantile(power) * math.sqrt(max(0.0, share - gain**2))
    return math.ceil(spread**2 / gain**2)


def simulate_decisions(
    scenario: Scenario, policy: Policy, mode: Literal["shadow", "split"], tasks: int, draws: tuple[int, int]
) -> Anytime:
    """Run simulated contests of at most *tasks* units, a look after every unit; *draws* is (contests, seed)."""
    contests, seed = draws
    generator = np.random.default_rng(seed)
    simulate = simulate_pairs if mode == "shadow" else simulate_split
    decisions = [find_first_decision(simulate(scenario, tasks, generator), policy) for _ in range(contests)]
    promoted = sorted(row for outcome, row in decisions if outcome == "promote")
    if not promoted:
        return Anytime(0.0, None, None)
    late = promoted[math.ceil(0.9 * len(promoted)) - 1]
    return Anytime(len(promoted) / contests, median_high(promoted), late)


def _discordant(scenario: Scenario) -> tuple[float, float]:
    """Return the probabilities that only the challenger, and only the champion, succeeds."""
    p0, p1, alike = scenario.champion, scenario.challenger, scenario.alike
    wins = alike * max(0.0, p1 - p0) + (1 - alike) * p1 * (1 - p0)
    losses = alike * max(0.0, p0 - p1) + (1 - alike) * p0 * (1 - p1)
    return wins, losses


def _split_variance(scenario: Scenario) -> float:
    p0, p1, share = scenario.champion, scenario.challenger, scenario.share
    return p1 * (1 - p1) / share + p0 * (1 - p0) / (1 - share)


def _tasks(variance: float, effect: float, alpha: float, power: float) -> int:
    return math.ceil((_quantile(1 - alpha) + _quantile(power)) ** 2 * variance / effect**2)


def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)

"""Simulated contests: outcomes of two variants with known rates, for planning and for calibration."""

from dataclasses import dataclass

import numpy as np

from cortex_cli.stats.evidence import PairedEvidence, SplitEvidence

__all__ = ["Scenario", "simulate_pairs", "simulate_split"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """True success rates, the challenger's share of live traffic, and how alike the two fail on one unit.

    *alike* is the probability that one draw of difficulty decides for both: 0 independent, 1 nested.
    """

    champion: float
    challenger: float
    share: float = 0.5
    alike: float = 0.0


def simulate_pairs(scenario: Scenario, rows: int, generator: np.random.Generator) -> PairedEvidence:
    """Draw *rows* shadow pairs."""
    own = generator.random((2, rows))
    common = generator.random(rows) < scenario.alike
    challenger = np.where(common, own[0], own[1])
    return PairedEvidence(
        {"success": (own[0] < scenario.champion).astype(np.float64)},
        {"success": (challenger < scenario.challenger).astype(np.float64)},
    )


def simulate_split(scenario: Scenario, rows: int, generator: np.random.Generator) -> SplitEvidence:
    """Draw *rows* live tasks, each assigned to the challenger with probability *share*."""
    arms = generator.random(rows) < scenario.share
    rates = np.where(arms, scenario.challenger, scenario.champion)
    success = (generator.random(rows) < rates).astype(np.float64)
    return SplitEvidence(arms, np.full(rows, scenario.share), {"success": success})

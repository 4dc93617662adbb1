"""Simulated contests."""

import numpy as np
import pytest

from cortex_cli.stats.simulation import Scenario, simulate_pairs, simulate_split


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_pairs_have_the_rates_that_were_asked_for(alike: float) -> None:
    tally = simulate_pairs(Scenario(0.7, 0.8, alike=alike), 20_000, np.random.default_rng(1)).tally()

    assert tally.champion_rate == pytest.approx(0.7, abs=0.015)
    assert tally.challenger_rate == pytest.approx(0.8, abs=0.015)


def test_pairs_that_are_wholly_alike_never_lose_to_a_better_challenger() -> None:
    tally = simulate_pairs(Scenario(0.7, 0.8, alike=1.0), 5_000, np.random.default_rng(2)).tally()

    assert tally.losses == 0
    assert tally.wins == pytest.approx(500, abs=70)


def test_a_split_has_its_share_and_rates() -> None:
    evidence = simulate_split(Scenario(0.7, 0.9, 0.1), 50_000, np.random.default_rng(3))
    tally = evidence.tally()

    assert evidence.arms.mean() == pytest.approx(0.1, abs=0.005)
    assert set(evidence.propensities.tolist()) == {0.1}
    assert tally.challenger_rate - tally.champion_rate == pytest.approx(0.2, abs=0.02)


def test_the_same_seed_draws_the_same_contest() -> None:
    one, two = (simulate_split(Scenario(0.7, 0.9), 100, np.random.default_rng(4)) for _ in range(2))

    assert one.arms.tolist() == two.arms.tolist()
    assert one.outcomes["success"].tolist() == two.outcomes["success"].tolist()

"""Intervals."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.stats import paired
from cortex_cli.stats.betting import BOLD_BETS, Estimates, bet_above, bet_below
from cortex_cli.stats.intervals import (
    bootstrap_interval,
    confidence_sequence,
    newcombe_interval,
    wilson_interval,
)
from cortex_cli.stats.simulation import Scenario, simulate_pairs, simulate_split
from cortex_cli.stats.wealth import final_log_e, find_peak


def estimates_of(differences: list[float]) -> Estimates:
    values = np.array(differences)
    return paired.paired_estimates(np.zeros(values.shape), values)


def test_wilson_gives_the_published_intervals(oracles: dict[str, Any]) -> None:
    for row in oracles["wilson"]:
        found = wilson_interval(row["successes"], row["rows"])
        assert (found.low, found.high) == pytest.approx((row["low"], row["high"]), abs=5e-5)


def test_newcombe_gives_the_published_interval(oracles: dict[str, Any]) -> None:
    row = oracles["newcombe_paired"]
    found = newcombe_interval(row["both"], row["wins"], row["losses"], row["neither"])

    assert (found.low, found.high) == pytest.approx((row["low"], row["high"]), abs=5e-4)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_newcombe_holds_the_difference_and_mirrors(both: int, wins: int, losses: int, neither: int) -> None:
    found = newcombe_interval(both, wins, losses, neither)
    mirrored = newcombe_interval(both, losses, wins, neither)

    gain = (wins - losses) / max(1, both + wins + losses + neither)
    assert found.low - 1e-9 <= gain <= found.high + 1e-9
    assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)


def test_nothing_known_says_nothing() -> None:
    assert wilson_interval(0, 0).high == 1.0
    assert newcombe_interval(0, 0, 0, 0).low == -1.0
    assert bootstrap_interval(np.empty(0), np.random.default_rng(0)).low == -1.0
    assert confidence_sequence(estimates_of([math.nan]), 0.05).low == -1.0


def test_the_bootstrap_is_near_the_normal_interval() -> None:
    differences = np.random.default_rng(5).choice([-1.0, 0.0, 1.0], 400, p=[0.1, 0.7, 0.2])

    found = bootstrap_interval(differences, np.random.default_rng(6))

    half = 1.96 * differences.std() / 20
    assert found.low == pytest.approx(differences.mean() - half, abs=0.01)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.01)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=80))
def test_the_lower_bound_passes_zero_exactly_while_superiority_stands(values: list[float]) -> None:
    bounds = confidence_sequence(estimates_of(values), 0.05, BOLD_BETS)

    now = final_log_e(paired.superiority(np.array(values)))
    if now >= math.log(20) + 0.05:
        assert bounds.low > -0.001
    if now < math.log(20):
        assert bounds.low <= 0.0


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_the_bounds_hold_the_mean(values: list[float]) -> None:
    bounds = confidence_sequence(estimates_of(values), 0.05)

    assert bounds.low <= sum(values) / len(values) <= bounds.high


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_the_bounds_mirror_when_the_arms_are_exchanged(values: list[float]) -> None:
    found = confidence_sequence(estimates_of(values), 0.05)
    mirrored = confidence_sequence(estimates_of([-value for value in values]), 0.05)

    assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)


@pytest.mark.parametrize("mode", ["shadow", "split"])
def test_a_bound_is_wrong_in_at_most_one_contest_of_twenty(mode: str) -> None:
    generator = np.random.default_rng(11)
    simulate = simulate_pairs if mode == "shadow" else simulate_split
    scenario = Scenario(0.9, 0.93, 0.2)
    contests = [simulate(scenario, 1500, generator) for _ in range(200)]
    estimates = [contest.estimates("success") for contest in contests]

    low = sum(find_peak(bet_above(each, 0.03), math.log(20)).crossed > 0 for each in estimates)
    high = sum(find_peak(bet_below(each, 0.03), math.log(20)).crossed > 0 for each in estimates)

    # A look after every row: 5 % of 200 is 10; 18 or more would happen in 1 of 100 suites.
    assert low <= 17
    assert high <= 17


def test_at_each_bound_the_wealth_stands_at_the_threshold() -> None:
    evidence = simulate_pairs(Scenario(0.9, 0.94), 6000, np.random.default_rng(12))
    estimates = paired.paired_estimates(evidence.champion["success"], evidence.challenger["success"])

    found = confidence_sequence(estimates, 0.05, BOLD_BETS)

    for process in (bet_above(estimates, found.low, BOLD_BETS), bet_below(estimates, found.high, BOLD_BETS)):
        # Within the tolerance of the search, on the safe side.
        assert math.log(20) <= final_log_e(process) < math.log(20) + 0.5
    assert found.high - found.low < 0.05

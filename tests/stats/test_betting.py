"""Bets on a bounded estimate."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.stats.betting import BOLD_BETS, WIDE_BETS, Bets, Estimates, bet_above, bet_below, row_payoff
from cortex_cli.stats.wealth import Array, log_path


def estimates_of(values: list[float], floor: float = 1.0, ceiling: float = 1.0) -> Estimates:
    array: Array = np.array(values, dtype=np.float64)
    return Estimates(array, np.full(array.shape, floor), np.full(array.shape, ceiling))


def mean_wealth(bound: float, win: float, floor: float, ceiling: float) -> float:
    """Enumerate all outcomes of four rows that are *ceiling* with probability *win*, else -*floor*."""
    total = 0.0
    for outcome in itertools.product((True, False), repeat=4):
        chance = math.prod(win if won else 1 - win for won in outcome)
        values = [ceiling if won else -floor for won in outcome]
        total += chance * math.exp(log_path(bet_above(estimates_of(values, floor, ceiling), bound))[-1])
    return total


@pytest.mark.parametrize("bound", [-0.3, -0.02, 0.0, 0.05, 0.4])
@pytest.mark.parametrize(("floor", "ceiling"), [(1.0, 1.0), (1.0, 9.0), (9.0, 1.0)])
def test_mean_wealth_at_the_null_is_exactly_one(bound: float, floor: float, ceiling: float) -> None:
    win = (bound + floor) / (floor + ceiling)

    assert mean_wealth(bound, win, floor, ceiling) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("inside", [0.1, 0.5, 0.9])
def test_mean_wealth_inside_the_null_is_below_one(inside: float) -> None:
    win = inside * (0.1 + 2.0) / (2.0 + 3.0)

    assert mean_wealth(0.1, win, 2.0, 3.0) < 1.0


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(-0.9, 0.9))
def test_a_bet_below_is_the_bet_above_of_the_opposite(values: list[float], bound: float) -> None:
    below = log_path(bet_below(estimates_of(values), bound))
    above = log_path(bet_above(estimates_of([-value for value in values]), -bound))

    assert below == pytest.approx(above, abs=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(-0.9, 0.85))
def test_a_higher_bound_is_never_easier_to_refute(values: list[float], bound: float) -> None:
    low = log_path(bet_above(estimates_of(values), bound))
    high = log_path(bet_above(estimates_of(values), bound + 0.05))

    assert bool((high <= low + 1e-12).all())


@given(st.permutations([0.5, -1.0, 0.25, 1.0, 0.0, -0.75]))
def test_the_last_wealth_does_not_depend_on_the_order(values: list[float]) -> None:
    expected = log_path(bet_above(estimates_of(sorted(values)), 0.1))[-1]

    assert log_path(bet_above(estimates_of(values), 0.1))[-1] == pytest.approx(expected, abs=1e-12)


def test_an_unknown_row_is_not_bet_on() -> None:
    with_gap = log_path(bet_above(estimates_of([0.5, math.nan, -0.25]), 0.0))
    without = log_path(bet_above(estimates_of([0.5, -0.25]), 0.0))

    assert with_gap[[0, 2]] == pytest.approx(without)
    assert with_gap[1] == with_gap[0]


@pytest.mark.parametrize("bets", [BOLD_BETS, WIDE_BETS])
def test_every_grid_keeps_some_money_whatever_happens(bets: Bets) -> None:
    worst = log_path(bet_above(estimates_of([-1.0] * 50), 0.0, bets))

    assert np.isfinite(worst).all()
    assert all(0 < share < 1 for share in bets.shares)
    assert sum(bets.money) == pytest.approx(1.0)


def test_a_row_payoff_is_at_least_minus_one_and_fair_at_the_bound() -> None:
    assert row_payoff(-2.0, (2.0, 3.0), "above", 0.1) == pytest.approx(-1.0)
    assert row_payoff(0.1, (2.0, 3.0), "above", 0.1) == 0.0
    assert row_payoff(3.0, (2.0, 3.0), "below", 0.1) == pytest.approx(-1.0)
    assert row_payoff(0.1, (2.0, 3.0), "below", 0.1) == 0.0

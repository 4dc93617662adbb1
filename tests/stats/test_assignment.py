"""Bets on the assignment, given a failure."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from cortex_cli.stats import assignment
from cortex_cli.stats.wealth import Array, log_path

SHARES = (0.1, 0.5, 0.25, 0.9)


def mean_wealth(champion: float, challenger: float, *, harm: bool = False) -> float:
    """Enumerate arms and outcomes of four rows with shares that change, true success rates given."""
    total = 0.0
    shares = np.array(SHARES)
    test = assignment.harm if harm else assignment.superiority
    for arms in itertools.product((True, False), repeat=4):
        for outcome in itertools.product((1.0, 0.0), repeat=4):
            chance = 1.0
            for arm, value, share in zip(arms, outcome, SHARES, strict=True):
                rate = challenger if arm else champion
                chance *= (share if arm else 1 - share) * (rate if value else 1 - rate)
            process = test(np.array(outcome), np.array(arms), shares)
            total += chance * math.exp(log_path(process)[-1])
    return total


def test_closed_form_gives_the_published_numbers(oracles: dict[str, Any]) -> None:
    for row in oracles["assignment_log_e"]:
        found = assignment.failure_log_e(row["challenger"], row["failures"], 0.1)
        assert found == pytest.approx(row["log_e"], abs=1e-6)


def test_mean_wealth_of_equal_variants_is_exactly_one() -> None:
    assert mean_wealth(0.9, 0.9) == pytest.approx(1.0, abs=1e-12)
    assert mean_wealth(0.9, 0.9, harm=True) == pytest.approx(1.0, abs=1e-12)


def test_mean_wealth_is_below_one_on_the_null_side_and_above_on_the_other() -> None:
    assert mean_wealth(0.9, 0.8) < 1.0 < mean_wealth(0.8, 0.95)
    assert mean_wealth(0.8, 0.95, harm=True) < 1.0 < mean_wealth(0.9, 0.8, harm=True)


def random_rows(rows: int) -> tuple[Array, Any, Array]:
    generator = np.random.default_rng(7)
    shares = generator.choice([0.01, 0.05, 0.1, 0.25, 0.5], rows)
    return (generator.random(rows) < 0.8).astype(np.float64), generator.random(rows) < shares, shares


def test_row_by_row_equals_all_at_once() -> None:
    outcomes, arms, shares = random_rows(400)
    test = assignment.AssignmentTest()

    steps = [
        test.update(failed=outcome == 0.0, challenger=bool(arm), propensity=float(share))
        for outcome, arm, share in zip(outcomes, arms, shares, strict=True)
    ]

    assert steps == pytest.approx(list(log_path(assignment.superiority(outcomes, arms, shares))), abs=1e-9)


def test_a_closed_form_equals_the_rows_it_counts() -> None:
    outcomes = np.zeros(40)
    arms = np.arange(40) < 3

    path = log_path(assignment.superiority(outcomes, arms, np.full(40, 0.1)))

    assert path[-1] == pytest.approx(assignment.failure_log_e(3, 40, 0.1), abs=1e-12)


def test_successes_and_unknown_outcomes_change_nothing() -> None:
    outcomes = np.array([1.0, math.nan, 1.0])

    path = log_path(assignment.superiority(outcomes, np.array([True, False, True]), np.full(3, 0.5)))

    assert path == pytest.approx([0.0, 0.0, 0.0], abs=1e-15)


def test_more_challenger_failures_than_failures_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2 failures"):
        assignment.failure_log_e(3, 2, 0.1)

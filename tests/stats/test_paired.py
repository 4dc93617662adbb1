"""Shadow contests: paired tests."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.stats import paired
from cortex_cli.stats.betting import BOLD_BETS, WIDE_BETS, Bets, Side
from cortex_cli.stats.wealth import Array, Process, log_path

DIFFERENCES = st.lists(st.floats(-1, 1), min_size=1, max_size=40)
TRIPLES = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=60)


def array_of(values: list[float]) -> Array:
    return np.array(values, dtype=np.float64)


def final(process: Process) -> float:
    return float(log_path(process)[-1])


@given(TRIPLES)
def test_only_the_counts_of_discordant_pairs_matter(values: list[float]) -> None:
    wins, losses = values.count(1.0), values.count(-1.0)

    assert final(paired.superiority(array_of(values))) == pytest.approx(paired.discordant_log_e(wins, losses), abs=1e-9)


@given(DIFFERENCES)
def test_harm_is_superiority_with_the_arms_exchanged(values: list[float]) -> None:
    assert final(paired.harm(array_of(values))) == pytest.approx(
        final(paired.superiority(-array_of(values))), abs=1e-12
    )


@given(DIFFERENCES)
def test_the_order_of_the_pairs_does_not_change_the_last_wealth(values: list[float]) -> None:
    in_order = final(paired.superiority(array_of(sorted(values))))

    assert final(paired.superiority(array_of(values))) == pytest.approx(in_order, abs=1e-9)


@pytest.mark.parametrize(
    ("side", "bound", "bets"),
    [("above", 0.0, BOLD_BETS), ("above", -0.02, WIDE_BETS), ("below", 0.0, BOLD_BETS), ("below", 0.05, WIDE_BETS)],
)
def test_pair_by_pair_equals_all_at_once(side: Side, bound: float, bets: Bets) -> None:
    values = np.random.default_rng(2).uniform(-1, 1, 300)
    test = paired.PairedTest(side, bound, bets)
    at_once = {
        ("above", 0.0): lambda: paired.superiority(values),
        ("above", -0.02): lambda: paired.noninferiority(values, 0.02),
        ("below", 0.0): lambda: paired.harm(values),
        ("below", 0.05): lambda: paired.futility(values, 0.05),
    }[(side, bound)]()

    one_by_one = [test.update(float(value)) for value in values]

    assert one_by_one == pytest.approx(list(log_path(at_once)), abs=1e-9)


@pytest.mark.parametrize("wins", [0.0, 0.05, 0.2, 0.5])
def test_mean_wealth_of_equal_variants_is_exactly_one(wins: float) -> None:
    chances = {1.0: wins, -1.0: wins, 0.0: 1 - 2 * wins}

    for test in (paired.superiority, paired.harm):
        mean = sum(
            math.prod(chances[value] for value in outcome) * math.exp(final(test(array_of(list(outcome)))))
            for outcome in itertools.product(chances, repeat=5)
        )
        assert mean == pytest.approx(1.0, abs=1e-12)


def test_mean_wealth_at_the_margin_and_at_the_effect_is_exactly_one() -> None:
    for shift, test in ((-0.02, paired.noninferiority), (0.05, paired.futility)):
        chances = {1.0: 0.1 + shift, -1.0: 0.1, 0.0: 0.8 - shift}
        mean = sum(
            math.prod(chances[value] for value in outcome) * math.exp(final(test(array_of(list(outcome)), abs(shift))))
            for outcome in itertools.product(chances, repeat=5)
        )
        assert mean == pytest.approx(1.0, abs=1e-12)


def test_a_pair_without_an_outcome_counts_for_nothing() -> None:
    estimates = paired.paired_estimates(array_of([1.0, math.nan, 0.0]), array_of([0.0, 1.0, 1.0]))

    assert estimates.values[[0, 2]] == pytest.approx([-1.0, 1.0])
    assert math.isnan(estimates.values[1])


def test_seven_wins_in_a_row_are_enough_for_one_in_twenty() -> None:
    assert paired.discordant_log_e(7, 0) >= math.log(20)
    assert paired.discordant_log_e(6, 0) < math.log(20)
    assert paired.discordant_log_e(50, 50) < 0


def test_a_difference_of_a_point_and_a_half_is_found_in_a_long_contest() -> None:
    generator = np.random.default_rng(3)
    differences = generator.choice([-1.0, 0.0, 1.0], 60_000, p=[0.1925, 0.6, 0.2075])

    assert final(paired.superiority(differences)) > math.log(20)

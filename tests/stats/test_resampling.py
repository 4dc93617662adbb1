import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.stats.intervals import bootstrap_interval
from cortex_cli.stats.power import fixed_discordant_pairs, fixed_pairs
from cortex_cli.stats.resampling import bootstrap_mean, group_totals
from cortex_cli.stats.simulation import Scenario


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_groups_the_percentile_interval_is_the_plain_bootstrap() -> None:
    values = rng().normal(1.0, 2.0, 80)
    ours = bootstrap_mean(values, None, rng(1), method="percentile")
    plain = bootstrap_interval(values, rng(2))

    assert ours.low == pytest.approx(plain.low, abs=0.08)
    assert ours.high == pytest.approx(plain.high, abs=0.08)


def test_rows_that_repeat_each_other_do_not_narrow_the_interval() -> None:
    values = rng().normal(0.0, 1.0, 30)
    repeated, groups = np.repeat(values, 10), np.repeat(np.arange(30), 10).tolist()
    whole = bootstrap_mean(repeated, groups, rng(1))
    naive = bootstrap_mean(repeated, None, rng(1))
    single = bootstrap_mean(values, None, rng(1))

    assert whole.high - whole.low == pytest.approx(single.high - single.low, rel=0.1)
    assert naive.high - naive.low < 0.5 * (whole.high - whole.low)


def test_bca_leans_towards_the_long_tail() -> None:
    values = rng(3).exponential(1.0, 40)
    plain = bootstrap_mean(values, None, rng(1), method="percentile")
    leaning = bootstrap_mean(values, None, rng(1), method="bca")

    assert leaning.low > plain.low
    assert leaning.high > plain.high


def test_bca_covers_the_mean_of_a_skewed_distribution_about_as_often_as_it_says() -> None:
    found = [bootstrap_mean(rng(seed).exponential(1.0, 50), None, rng(seed), draws=400) for seed in range(300)]
    covered = sum(interval.low <= 1.0 <= interval.high for interval in found) / len(found)

    assert 0.88 < covered < 0.99


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_group_tells_nothing_about_the_spread(values: list[float]) -> None:
    found = bootstrap_mean(np.array(values), None, rng())

    assert (found.low, found.high) == (-np.inf, np.inf)
    assert bootstrap_mean(np.ones(5), ["a"] * 5, rng()).high == np.inf


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=30), st.integers(1, 5))
def test_an_interval_lies_within_the_values_and_repeats(values: list[float], groups: int) -> None:
    names = [number % groups for number in range(len(values))]
    one, two = (bootstrap_mean(np.array(values), names, rng(), draws=200) for _ in range(2))

    assert one == two
    if len(set(names)) > 1:
        assert min(values) <= one.low <= one.high <= max(values)


def test_groups_are_added_up_in_their_order() -> None:
    sums, sizes = group_totals(np.array([1.0, 2.0, 3.0]), ["b", "a", "b"])

    assert sums.tolist() == [4.0, 2.0]
    assert sizes.tolist() == [2.0, 1.0]


def test_pairs_from_shares_are_those_of_the_scenario() -> None:
    assert fixed_discordant_pairs(0.8 * 0.3, 0.2 * 0.7) == fixed_pairs(Scenario(0.7, 0.8))
    assert fixed_discordant_pairs(0.1, 0.1) == 0

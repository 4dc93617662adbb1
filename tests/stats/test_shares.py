"""Exact intervals and the chi-square distribution, against published values and against brute force."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.stats.shares import binomial_tail, chi_square_quantile, chi_square_tail, exact_interval


def summed_tail(successes: int, rows: int, rate: float) -> float:
    return math.fsum(math.comb(rows, k) * rate**k * (1 - rate) ** (rows - k) for k in range(successes, rows + 1))


@pytest.mark.parametrize(
    ("successes", "rows", "low", "high"),
    [(5, 100, 0.016432, 0.112835), (0, 10, 0.0, 0.308497), (10, 10, 0.691503, 1.0), (1, 1, 0.025, 1.0)],
)
def test_the_exact_interval_is_that_of_the_tables(successes: int, rows: int, low: float, high: float) -> None:
    assert exact_interval(successes, rows) == pytest.approx((low, high), abs=1e-6)


def test_nothing_seen_says_nothing() -> None:
    assert exact_interval(0, 0) == (0.0, 1.0)


def test_a_million_rows_have_a_narrow_interval() -> None:
    low, high = exact_interval(120_000, 1_000_000, 0.999)
    assert low < 0.12 < high
    assert high - low < 0.0025


@given(st.integers(1, 60), st.floats(0.001, 0.999), st.data())
def test_the_binomial_tail_is_the_sum_of_its_terms(rows: int, rate: float, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, rows))
    assert binomial_tail(successes, rows, rate) == pytest.approx(
        summed_tail(successes, rows, rate), rel=1e-9, abs=1e-12
    )


@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.5, 0.99))
def test_the_exact_interval_holds_the_share_and_grows_with_confidence(
    successes: int, rows: int, confidence: float
) -> None:
    successes = min(successes, rows)
    narrow, wide = exact_interval(successes, rows, confidence), exact_interval(successes, rows, 0.995)
    assert wide.low <= narrow.low + 1e-12 <= successes / rows + 2e-12
    assert successes / rows <= narrow.high + 1e-12 <= wide.high + 2e-12


@pytest.mark.parametrize("rate", [0.03, 0.3, 0.5, 0.92])
def test_the_exact_interval_covers_at_least_as_often_as_it_says(rate: float) -> None:
    rows = 30
    covered = [k for k in range(rows + 1) if exact_interval(k, rows).low <= rate <= exact_interval(k, rows).high]
    assert sum(math.comb(rows, k) * rate**k * (1 - rate) ** (rows - k) for k in covered) >= 0.95


def test_out_of_range_counts_are_certain_or_impossible() -> None:
    assert (binomial_tail(0, 5, 0.2), binomial_tail(6, 5, 0.2)) == (1.0, 0.0)
    assert (binomial_tail(2, 5, 0.0), binomial_tail(2, 5, 1.0)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("probability", "degrees", "value"),
    [(0.95, 1, 3.841459), (0.95, 10, 18.307038), (0.99, 30, 50.892181), (0.5, 2, 1.386294), (0.999, 100, 149.449253)],
)
def test_chi_square_quantiles_are_those_of_the_tables(probability: float, degrees: int, value: float) -> None:
    assert chi_square_quantile(probability, degrees) == pytest.approx(value, abs=1e-5)
    assert chi_square_tail(value, degrees) == pytest.approx(1 - probability, abs=1e-6)


@given(st.integers(1, 200), st.floats(0.0, 400.0))
def test_the_chi_square_tail_falls_from_one_to_nothing(degrees: int, value: float) -> None:
    here, beyond = chi_square_tail(value, degrees), chi_square_tail(value + 1, degrees)
    assert 0.0 <= beyond <= here + 1e-12 <= 1.0 + 2e-12
    assert chi_square_tail(0.0, degrees) == 1.0

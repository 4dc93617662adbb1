"""Log-wealth arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.stats.wealth import Array, Process, Wealth, final_log_e, find_peak, log_path, mix_processes

FACTORS = st.lists(st.lists(st.floats(0.05, 20.0), min_size=3, max_size=3), min_size=1, max_size=40)


def process_of(factors: Array, weights: Array | None = None) -> Process:
    start = np.full(factors.shape[0], 1.0 / factors.shape[0]) if weights is None else weights
    return Process(start, factors.shape[1], lambda a, b: factors[:, a:b])


def random_factors(rows: int, seed: int = 1, bets: int = 5) -> Array:
    return np.exp(np.random.default_rng(seed).normal(0.0, 0.2, (bets, rows)))


@given(FACTORS)
def test_the_path_is_the_mean_of_the_products(rows: list[list[float]]) -> None:
    factors = np.array(rows).T

    path = log_path(process_of(factors))

    assert path == pytest.approx(np.log(np.cumprod(factors, axis=1).mean(axis=0)), abs=1e-9)


@given(FACTORS)
def test_row_by_row_and_at_once_give_the_same_wealth(rows: list[list[float]]) -> None:
    wealth = Wealth([1 / 3] * 3)

    steps = [wealth.multiply(row) for row in rows]

    assert steps == pytest.approx(list(log_path(process_of(np.array(rows).T))), abs=1e-9)
    assert wealth.highest == pytest.approx(max(0.0, *steps))
    assert wealth.rows == len(rows)


@given(FACTORS, st.floats(0.1, 5.0))
def test_the_peak_is_the_highest_point_and_the_first_crossing(rows: list[list[float]], threshold: float) -> None:
    process = process_of(np.array(rows).T)
    path = log_path(process)

    peak = find_peak(process, threshold)

    crossings = [row for row, value in enumerate(path, start=1) if value >= threshold]
    assert peak.crossed == (crossings[0] if crossings else 0)
    assert peak.highest == max(0.0, float(path.max()))
    assert peak.last == path[-1]


def test_slices_do_not_change_the_path() -> None:
    factors = random_factors(20_000)

    path = log_path(process_of(factors))

    logs = np.cumsum(np.log(factors), axis=1)
    expected = logs.max(axis=0) + np.log(np.exp(logs - logs.max(axis=0)).mean(axis=0))
    assert np.abs(path - expected).max() < 1e-9


@pytest.mark.parametrize("factor", [1e-6, 0.15, 1.85, 1e6])
def test_a_long_run_of_the_same_luck_neither_overflows_nor_vanishes(factor: float) -> None:
    rows = 30_000

    path = log_path(process_of(np.full((2, rows), factor)))

    assert path[-1] == pytest.approx(rows * math.log(factor), rel=1e-9)


def test_a_mixture_of_processes_is_the_mean_of_their_wealth() -> None:
    one, two = process_of(random_factors(50, 1, 3)), process_of(random_factors(50, 2, 2))

    mixed = log_path(mix_processes([(3.0, one), (1.0, two)]))

    expected = np.log(0.75 * np.exp(log_path(one)) + 0.25 * np.exp(log_path(two)))
    assert mixed == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rows", [1, 31, 33, 9_000])
def test_the_final_wealth_is_the_end_of_the_path(rows: int) -> None:
    process = process_of(random_factors(rows))

    assert final_log_e(process) == pytest.approx(log_path(process)[-1], abs=1e-9)


def test_no_rows_leave_the_wealth_as_it_was() -> None:
    empty = process_of(np.empty((3, 0)))

    assert find_peak(empty, 1.0).highest == 0.0
    assert find_peak(empty, 1.0).crossed == 0
    assert final_log_e(empty) == 0.0
    assert log_path(empty).size == 0

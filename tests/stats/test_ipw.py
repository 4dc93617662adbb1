"""Live contests: weighted tests."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.stats import ipw
from cortex_cli.stats.betting import Estimates, Side
from cortex_cli.stats.wealth import Array, Process, log_path

SHARES = np.array([0.1, 0.5, 0.9])


def each_contest(champion: float, challenger: float) -> list[tuple[float, Estimates]]:
    """List every contest of three rows with its probability; shares change from row to row."""
    contests = []
    for arms in itertools.product((True, False), repeat=3):
        for outcome in itertools.product((1.0, 0.0), repeat=3):
            chance = 1.0
            for arm, value, share in zip(arms, outcome, SHARES, strict=True):
                rate = challenger if arm else champion
                chance *= (share if arm else 1 - share) * (rate if value else 1 - rate)
            contests.append((chance, ipw.ipw_estimates(np.array(outcome), np.array(arms), SHARES)))
    return contests


def final(process: Process) -> float:
    return math.exp(log_path(process)[-1])


def test_the_estimate_is_unbiased_at_every_row_whatever_the_share() -> None:
    mean = sum(chance * estimates.values for chance, estimates in each_contest(0.7, 0.9))

    assert mean == pytest.approx([0.2, 0.2, 0.2], abs=1e-12)


def test_mean_wealth_at_each_null_is_exactly_one() -> None:
    equal = each_contest(0.8, 0.8)
    assert sum(c * final(ipw.superiority(e)) for c, e in equal) == pytest.approx(1.0, abs=1e-12)
    assert sum(c * final(ipw.harm(e)) for c, e in equal) == pytest.approx(1.0, abs=1e-12)
    at_margin = each_contest(0.8, 0.78)
    assert sum(c * final(ipw.noninferiority(e, 0.02)) for c, e in at_margin) == pytest.approx(1.0, abs=1e-12)
    at_effect = each_contest(0.8, 0.85)
    assert sum(c * final(ipw.futility(e, 0.05)) for c, e in at_effect) == pytest.approx(1.0, abs=1e-12)


def random_rows(rows: int, seed: int = 3) -> tuple[Array, npt.NDArray[np.bool_], Array]:
    generator = np.random.default_rng(seed)
    shares = generator.choice([0.01, 0.1, 0.5], rows)
    return generator.random(rows), generator.random(rows) < shares, shares


@given(st.integers(0, 10_000))
def test_every_estimate_lies_within_its_limits(seed: int) -> None:
    estimates = ipw.ipw_estimates(*random_rows(50, seed))

    assert bool((estimates.values >= -estimates.floors - 1e-9).all())
    assert bool((estimates.values <= estimates.ceilings + 1e-9).all())
    assert bool((estimates.floors >= 1.0).all())
    assert bool((estimates.ceilings >= 1.0).all())


@pytest.mark.parametrize(("side", "bound"), [("above", 0.0), ("above", -0.02), ("below", 0.0), ("below", 0.05)])
def test_task_by_task_equals_all_at_once(side: Side, bound: float) -> None:
    outcomes, arms, shares = random_rows(300)
    estimates = ipw.ipw_estimates(outcomes, arms, shares)
    test = ipw.IpwTest(side, bound)
    at_once = {
        ("above", 0.0): lambda: ipw.superiority(estimates),
        ("above", -0.02): lambda: ipw.noninferiority(estimates, 0.02),
        ("below", 0.0): lambda: ipw.harm(estimates),
        ("below", 0.05): lambda: ipw.futility(estimates, 0.05),
    }[(side, bound)]()

    steps = [
        test.update(float(outcome), challenger=bool(arm), propensity=float(share))
        for outcome, arm, share in zip(outcomes, arms, shares, strict=True)
    ]

    assert steps == pytest.approx(list(log_path(at_once)), abs=1e-9)


def test_an_unknown_outcome_moves_neither_the_wealth_nor_the_prediction() -> None:
    outcomes, arms, shares = random_rows(60)
    gap = np.arange(60) % 3 == 0
    holed = np.where(gap, math.nan, outcomes)

    path = log_path(ipw.superiority(ipw.ipw_estimates(holed, arms, shares)))
    dense = log_path(ipw.superiority(ipw.ipw_estimates(outcomes[~gap], arms[~gap], shares[~gap])))

    assert path[~gap] == pytest.approx(dense, abs=1e-12)


def test_exchanging_the_arms_turns_superiority_into_harm() -> None:
    outcomes, arms, shares = random_rows(200)

    better = log_path(ipw.superiority(ipw.ipw_estimates(outcomes, arms, shares)))
    worse = log_path(ipw.harm(ipw.ipw_estimates(outcomes, ~arms, 1.0 - shares)))

    assert better == pytest.approx(worse, abs=1e-9)

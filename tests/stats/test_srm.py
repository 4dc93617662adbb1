"""Sample-ratio check."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from cortex_cli.stats.srm import ALARM, SampleRatio, log_bayes_factor, ratio_path


def test_closed_form_gives_the_published_numbers(oracles: dict[str, Any]) -> None:
    for row in oracles["sample_ratio_log_bf"]:
        found = log_bayes_factor(row["counts"], (0.9, 0.1), row["k"])
        assert found == pytest.approx(row["log_bf"], abs=1e-6)


def test_the_path_ends_at_the_closed_form() -> None:
    arms = np.random.default_rng(1).random(5000) < 0.12

    path = ratio_path(arms, np.full(5000, 0.1))

    counts = [int((~arms).sum()), int(arms.sum())]
    assert path[-1] == pytest.approx(log_bayes_factor(counts, (0.9, 0.1)), abs=1e-9)


def test_unit_by_unit_equals_all_at_once_along_a_ramp() -> None:
    generator = np.random.default_rng(2)
    shares = np.repeat([0.01, 0.1, 0.5], 200)
    arms = generator.random(600) < shares
    check = SampleRatio()

    steps = [
        check.update(challenger=bool(arm), propensity=float(share)) for arm, share in zip(arms, shares, strict=True)
    ]

    assert steps == pytest.approx(list(ratio_path(arms, shares)), abs=1e-9)
    assert check.highest == pytest.approx(max(0.0, *steps))


def test_mean_factor_of_a_fair_assignment_is_exactly_one() -> None:
    shares = np.array([0.1, 0.1, 0.5, 0.5, 0.1])
    mean = 0.0
    for arms in itertools.product((True, False), repeat=5):
        chance = math.prod(share if arm else 1 - share for arm, share in zip(arms, shares, strict=True))
        mean += chance * math.exp(ratio_path(np.array(arms), shares)[-1])

    assert mean == pytest.approx(1.0, abs=1e-12)


def test_fifteen_percent_instead_of_ten_is_found_within_700_tasks() -> None:
    generator = np.random.default_rng(3)
    found = []
    for _ in range(200):
        path = ratio_path(generator.random(5000) < 0.15, np.full(5000, 0.1))
        found.append(int((path >= ALARM).argmax()) + 1 if path.max() >= ALARM else 10**9)

    assert np.median(found) <= 700


def test_a_fair_assignment_hardly_ever_alarms() -> None:
    generator = np.random.default_rng(4)

    alarms = sum(ratio_path(generator.random(5000) < 0.1, np.full(5000, 0.1)).max() >= ALARM for _ in range(1000))

    # At most 0.1 % by Ville: 5 of 1,000 would happen once in 250 suites if the rate were the bound.
    assert alarms <= 5

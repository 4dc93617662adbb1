"""Alarms after a promotion."""

from typing import Literal

import numpy as np
import pytest

from cortex_cli.stats.detectors import Detector

Kind = Literal["sr", "cusum"]


def rows_to_alarm(rate: float, kind: Kind, generator: np.random.Generator, *, most: int = 3000) -> int:
    detector = Detector(0.975, kind=kind)
    for success in generator.random(most) < rate:
        detector.update(success=bool(success))
        if detector.alarmed:
            return detector.rows
    return most


@pytest.mark.parametrize(("kind", "rate", "bar"), [("sr", 0.875, 70), ("cusum", 0.875, 90), ("sr", 0.7, 20)])
def test_a_drop_is_found_within_the_published_time(kind: Kind, rate: float, bar: int) -> None:
    generator = np.random.default_rng(1)

    times = [rows_to_alarm(rate, kind, generator) for _ in range(200)]

    assert np.median(times) <= bar


def test_a_kept_promise_seldom_alarms() -> None:
    generator = np.random.default_rng(2)

    alarms = sum(rows_to_alarm(0.975, "sr", generator) < 3000 for _ in range(40))

    # At least 10,000 rows between false alarms: 12 expected at most in 120,000, 22 in 1 of 200 suites.
    assert alarms <= 21


def test_the_mean_gain_of_the_level_at_the_null_is_one_per_row() -> None:
    detector = Detector(0.9)
    lucky, unlucky = Detector(0.9), Detector(0.9)

    lucky.update(success=True)
    unlucky.update(success=False)

    assert 0.9 * lucky.level + 0.1 * unlucky.level == pytest.approx(1.0, abs=1e-12)
    assert detector.level == 0.0


def test_a_promise_lower_than_the_largest_drop_is_still_watched() -> None:
    detector = Detector(0.3)

    for _ in range(60):
        detector.update(success=False)

    assert detector.alarmed

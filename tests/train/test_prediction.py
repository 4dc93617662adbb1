"""The learning curve: what it forecasts, how sure it is, and when it advises against a training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.train.prediction import Forecast, Point, fit_curve, forecast

SHARES = (100, 200, 400)


def error(examples: float, floor: float = 0.05, drop: float = 3.0, exponent: float = 0.5) -> float:
    return min(1.0, floor + drop / float(examples**exponent))


def draw_points(generator: np.random.Generator, cases: int, **curve: float) -> list[Point]:
    """Trainings of a true curve: a case is right when its difficulty lies above the error, with noise of training."""
    difficulty = generator.random(cases)
    return [
        Point(size, tuple((difficulty > error(size, **curve) + generator.normal(0, 0.01)).tolist())) for size in SHARES
    ]


def even(success: float, cases: int = 200) -> tuple[bool, ...]:
    return tuple(number < success * cases for number in range(cases))


def foretell(successes: tuple[float, ...], champion: float | None, least: float = 0.1) -> Forecast:
    points = [Point(size, even(success)) for size, success in zip(SHARES, successes, strict=True)]
    return forecast(points, 1000, None if champion is None else even(champion), least=least, seed=0)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(60):
        curve = {
            "floor": generator.uniform(0.0, 0.2),
            "drop": generator.uniform(1.0, 4.0),
            "exponent": generator.uniform(0.3, 0.7),
        }
        found = forecast(draw_points(generator, 400, **curve), 1000, None, least=0.1, seed=1)
        held += found.low <= 1 - error(1000, **curve) <= found.high
    assert held >= 0.85 * 60


def test_a_curve_without_noise_is_continued() -> None:
    found = foretell(tuple(1 - error(size) for size in SHARES), None)
    assert found.expected == pytest.approx(1 - error(1000), abs=0.03)
    assert 0 < found.doubled < 0.06
    assert found.low < found.expected < found.high <= found.best + 0.1


def test_a_candidate_that_hardly_grows_is_skipped_and_the_sentence_says_why() -> None:
    found = foretell((0.60, 0.61, 0.615), 0.95)
    assert found.skip
    assert found.chance is not None
    assert found.chance < 0.1
    assert "chance to beat the champion's 95.0%" in found.sentence
    assert found.sentence.endswith("below the 10% asked for: skipped")


def test_a_candidate_that_is_ahead_already_is_trained() -> None:
    found = foretell((0.60, 0.75, 0.85), 0.5)
    assert not found.skip
    assert found.chance == 1.0
    assert "skipped" not in found.sentence


def test_a_candidate_that_learns_late_is_given_a_chance() -> None:
    """At small shares nothing is right, then nearly everything: no power law, so the forecast must not be sure."""
    found = foretell((0.02, 0.15, 0.60), 0.85)
    assert not found.skip
    assert found.high - found.low > 0.1


def test_without_a_champion_nothing_is_skipped() -> None:
    found = foretell((0.1, 0.1, 0.1), None)
    assert (found.skip, found.champion, found.chance) == (False, None, None)
    assert "champion" not in found.sentence


def test_the_same_seed_gives_the_same_forecast() -> None:
    assert foretell((0.3, 0.5, 0.6), 0.7) == foretell((0.3, 0.5, 0.6), 0.7)


def test_fewer_cases_leave_more_open() -> None:
    generator = np.random.default_rng(3)
    wide, narrow = (forecast(draw_points(generator, cases), 1000, None, least=0.1, seed=0) for cases in (20, 2000))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


@given(st.lists(st.lists(st.booleans(), min_size=8, max_size=8), min_size=3, max_size=5), st.integers(0, 2**31))
def test_whatever_was_measured_shares_stay_shares_and_more_data_never_hurts(rows: list[list[bool]], seed: int) -> None:
    curve = fit_curve([Point(50 * 2**at, tuple(row)) for at, row in enumerate(rows)], seed=seed)
    some, more = curve.success_at(500), curve.success_at(5000)
    assert np.all((some >= 0) & (some <= 1))
    assert np.all(more >= some)
    assert np.all((curve.floor >= 0) & (curve.drop >= 0))


@pytest.mark.parametrize("successes", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
def test_the_ends_of_the_scale_are_forecast_as_they_are(successes: tuple[float, ...]) -> None:
    found = foretell(successes, 0.5)
    assert found.expected == pytest.approx(successes[0], abs=0.05)
    assert found.skip == (successes[0] == 0.0)

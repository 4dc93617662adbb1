"""Numbers in words."""

import math

import pytest

from cortex_cli.stats.wording import tell_evidence, tell_more_tasks, tell_percent, tell_points

BAR = math.log(20)


@pytest.mark.parametrize(
    ("e_value", "told"),
    [(17.2, "17.2 of 20"), (0.04, "0.0 of 20"), (1234.4, "1,234 of 20"), (1e7, "over a million of 20")],
)
def test_evidence_is_told_against_its_threshold(e_value: float, told: str) -> None:
    assert tell_evidence(math.log(e_value), BAR) == told


def test_the_forecast_grows_with_what_is_missing() -> None:
    assert tell_more_tasks(math.log(17.2), BAR, 1000) == 54
    assert tell_more_tasks(math.log(2.0), BAR, 1000) == 3400
    assert tell_more_tasks(BAR, BAR, 1000) == 1


def test_no_forecast_is_made_from_evidence_that_does_not_grow() -> None:
    assert tell_more_tasks(-0.1, BAR, 1000) is None
    assert tell_more_tasks(0.001, BAR, 1000) is None
    assert tell_more_tasks(1.0, BAR, 0) is None


def test_shares_and_differences_carry_their_unit() -> None:
    assert tell_percent(0.105) == "10.5 %"
    assert tell_points(0.051) == "+5.1 points"
    assert tell_points(-0.02) == "-2.0 points"

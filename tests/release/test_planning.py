"""Tasks and days before a contest begins."""

import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Policy
from cortex_cli.release.planning import Question, plan


def test_pairs_decide_soonest_and_days_follow_the_traffic() -> None:
    found = plan(Question(0.8, 0.1, per_day=100.0), Policy(), (30, 1))

    pairs, ninety, fifty = found.modes
    assert [mode.mode for mode in found.modes] == ["shadow pairs", "split 90/10", "split 50/50"]
    assert pairs.median_tasks is not None
    assert fifty.median_tasks is not None
    assert pairs.median_tasks < fifty.median_tasks < ninety.one_look * 2
    assert fifty.days == fifty.median_tasks / 100.0
    assert found.advice.startswith(f"{pairs.median_tasks:,} pairs of both answers decide")
    assert "at split 50/50" in found.advice


def test_without_traffic_there_are_no_days() -> None:
    found = plan(Question(0.8, 0.15), Policy(), (10, 1))

    assert all(mode.days is None for mode in found.modes)


def test_a_gain_beyond_certainty_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a gain of 10.0 points is impossible above a rate of 95.0 %"):
        plan(Question(0.95, 0.1), Policy(), (10, 1))


def test_a_gain_too_small_for_any_mode_is_said_to_be() -> None:
    found = plan(Question(0.5, 0.002), Policy(mde=0.002, min_tasks=60_000), (2, 1))

    assert found.modes[0].median_tasks is None
    assert found.advice.startswith("none of the modes finds it")

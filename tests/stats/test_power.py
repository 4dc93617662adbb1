"""Tasks that a contest needs."""

from typing import Any

import pytest

from cortex_cli.domain.manifests import Policy
from cortex_cli.stats.power import (
    fixed_mean_tasks,
    fixed_pairs,
    fixed_split_tasks,
    noninferior_split_tasks,
    simulate_decisions,
)
from cortex_cli.stats.simulation import Scenario


def test_fixed_looks_need_the_published_numbers_of_tasks(oracles: dict[str, Any]) -> None:
    for row in oracles["fixed_split_tasks"]:
        scenario = Scenario(row["champion"], row["challenger"], row["share"])
        assert abs(fixed_split_tasks(scenario) - row["tasks"]) <= 1
    for row in oracles["fixed_mean_tasks"]:
        assert abs(fixed_mean_tasks(row["deviation"], row["effect"], row["share"]) - row["tasks"]) <= 1
    for row in oracles["noninferior_tasks"]:
        assert abs(noninferior_split_tasks(row["base"], row["margin"], row["share"]) - row["tasks"]) <= 1


def test_pairs_need_fewer_units_than_a_split_and_fewer_still_when_failures_agree() -> None:
    split = fixed_split_tasks(Scenario(0.925, 0.975, 0.1))
    pairs = fixed_pairs(Scenario(0.925, 0.975))
    alike = fixed_pairs(Scenario(0.925, 0.975, alike=0.5))

    assert alike < pairs < split / 2


def test_five_points_are_found_by_pairs_within_a_few_hundred() -> None:
    found = simulate_decisions(Scenario(0.925, 0.975, alike=0.5), Policy(), "shadow", 3000, (200, 1))

    assert found.promoted_rate >= 0.97
    assert found.median_tasks is not None
    assert found.median_tasks <= 200


def test_five_points_are_found_live_at_ninety_to_ten() -> None:
    found = simulate_decisions(Scenario(0.925, 0.975, 0.1), Policy(), "split", 5000, (150, 2))

    assert found.promoted_rate >= 0.9
    assert found.median_tasks is not None
    assert found.p90_tasks is not None
    assert found.median_tasks <= 1600
    assert found.median_tasks < found.p90_tasks


def test_the_same_seed_gives_the_same_plan() -> None:
    scenario = Scenario(0.8, 0.9, 0.5)

    assert simulate_decisions(scenario, Policy(), "split", 500, (20, 3)) == simulate_decisions(
        scenario, Policy(), "split", 500, (20, 3)
    )


def test_a_contest_that_promotes_nobody_has_no_median() -> None:
    found = simulate_decisions(Scenario(0.9, 0.2), Policy(), "shadow", 300, (10, 4))

    assert (found.promoted_rate, found.median_tasks, found.p90_tasks) == (0.0, None, None)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_smaller_effect_needs_more_tasks(share: float) -> None:
    large = fixed_split_tasks(Scenario(0.9, 0.95, share))
    small = fixed_split_tasks(Scenario(0.9, 0.92, share))

    assert small > 4 * large

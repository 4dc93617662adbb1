"""Evidence of a contest."""

import math

import numpy as np
import pytest

from cortex_cli.stats.evidence import PairedEvidence, SplitEvidence
from cortex_cli.stats.simulation import Scenario, simulate_pairs, simulate_split
from cortex_cli.stats.wealth import log_path


def test_pairs_are_counted_as_wins_and_losses() -> None:
    evidence = PairedEvidence(
        {"success": np.array([1.0, 0.0, 0.0, 1.0, math.nan])},
        {"success": np.array([0.0, 1.0, 1.0, 1.0, 1.0])},
    )

    tally = evidence.tally()

    assert (tally.tasks, tally.wins, tally.losses) == (4, 2, 1)
    assert (tally.champion_rate, tally.challenger_rate) == (0.5, 0.75)
    assert tally.quality_gain is None


def test_quality_is_compared_over_pairs_that_have_both() -> None:
    ones = np.ones(3)
    evidence = PairedEvidence(
        {"success": ones, "quality": np.array([0.5, 0.5, math.nan])},
        {"success": ones, "quality": np.array([0.75, 1.0, 1.0])},
    )

    assert evidence.tally().quality_gain == pytest.approx(0.375)


def test_rates_of_a_ramp_are_not_confounded_by_the_hour() -> None:
    generator = np.random.default_rng(1)
    shares = np.repeat([0.05, 0.5], 20_000)
    base = np.repeat([0.9, 0.5], 20_000)
    arms = generator.random(40_000) < shares
    success = (generator.random(40_000) < base).astype(np.float64)

    tally = SplitEvidence(arms, shares, {"success": success}).tally()

    assert success[arms].mean() - success[~arms].mean() < -0.1
    assert tally.challenger_rate - tally.champion_rate == pytest.approx(0.0, abs=0.04)


def test_enough_is_when_the_slower_arm_has_its_tasks() -> None:
    arms = np.array([False, False, True, False, True])
    evidence = SplitEvidence(arms, np.full(5, 0.5), {"success": np.array([1.0, 1.0, math.nan, 1.0, 0.0])})

    assert evidence.enough_at(1) == 5
    assert evidence.enough_at(2) == 0
    assert evidence.enough_at(0) == 1


def test_a_wrong_share_of_traffic_is_a_flaw() -> None:
    generator = np.random.default_rng(2)
    arms = generator.random(3000) < 0.2
    evidence = SplitEvidence(arms, np.full(3000, 0.1), {"success": np.ones(3000)})

    flaw = evidence.find_flaw(["success"])

    assert flaw is not None
    assert "of 3,000 units instead of 10.0 %" in flaw.reason
    assert flaw.row < 1000


def test_ratings_that_come_from_one_arm_only_are_a_flaw_for_quality_alone() -> None:
    evidence = simulate_split(Scenario(0.9, 0.9, 0.5), 2000, np.random.default_rng(3))
    rated = np.where(evidence.arms & (np.arange(2000) % 2 == 0), 0.8, math.nan)
    rated[~evidence.arms] = 0.8
    both = SplitEvidence(evidence.arms, evidence.propensities, {**evidence.outcomes, "quality": rated})

    flaw = both.find_flaw(["success", "quality"])

    assert both.find_flaw(["success"]) is None
    assert flaw is not None
    assert "units with quality" in flaw.reason


def test_a_judge_that_leaves_many_pairs_open_is_a_flaw() -> None:
    success = np.where(np.arange(100) % 5 == 0, math.nan, 1.0)

    flaw = PairedEvidence({"success": np.ones(100)}, {"success": success}).find_flaw(["success"])

    assert flaw is not None
    assert flaw.reason == "20 of 100 pairs have no success on both arms, at most 10 % may"


def test_a_success_boolean_also_bets_on_the_assignment() -> None:
    evidence = simulate_split(Scenario(0.9, 0.9, 0.1), 100, np.random.default_rng(4))
    graded = SplitEvidence(evidence.arms, evidence.propensities, {"success": evidence.outcomes["success"] * 0.9})

    assert evidence.better("success").weights.size == 13
    assert graded.better("success").weights.size == 7


def test_immature_tasks_are_assigned_but_not_judged() -> None:
    evidence = simulate_split(Scenario(0.9, 0.95, 0.5), 400, np.random.default_rng(5))
    holed = np.where(np.arange(400) >= 300, math.nan, evidence.outcomes["success"])
    young = SplitEvidence(evidence.arms, evidence.propensities, {"success": holed})

    path = log_path(young.better("success"))

    assert young.tally().tasks == 300
    assert path[299:] == pytest.approx(np.full(101, path[299]), abs=1e-12)
    assert not young.has("quality")


def test_pairs_that_fail_alike_agree_more_often() -> None:
    generator = np.random.default_rng(6)
    apart = simulate_pairs(Scenario(0.8, 0.8), 4000, generator).tally()
    alike = simulate_pairs(Scenario(0.8, 0.8, alike=0.9), 4000, generator).tally()

    assert alike.wins + alike.losses < 0.2 * (apart.wins + apart.losses)


def test_live_quality_is_compared_over_the_tasks_that_have_it() -> None:
    arms = np.array([True, True, False, False])
    quality = np.array([1.0, math.nan, 0.25, 0.75])
    evidence = SplitEvidence(arms, np.full(4, 0.5), {"success": np.ones(4), "quality": quality})

    assert evidence.tally().quality_gain == pytest.approx(0.5)


def test_a_metric_that_no_task_has_is_a_flaw() -> None:
    evidence = SplitEvidence(np.array([True, False]), np.full(2, 0.5), {"success": np.ones(2)})

    flaw = evidence.find_flaw(["success", "cost"])

    assert flaw is not None
    assert (flaw.reason, flaw.row) == ("no unit has cost", 2)


def test_the_head_of_a_contest_is_the_contest_as_it_stood() -> None:
    pairs = simulate_pairs(Scenario(0.8, 0.9), 100, np.random.default_rng(8))
    live = simulate_split(Scenario(0.8, 0.9), 100, np.random.default_rng(8))

    assert pairs.head(40).tally().tasks == live.head(40).tally().tasks == 40
    assert log_path(live.head(40).better("success")) == pytest.approx(log_path(live.better("success"))[:40])

"""The decision."""

import math
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.domain.manifests import Policy
from cortex_cli.stats.decision import decide, find_first_decision, guarded_metrics, seeds_rule
from cortex_cli.stats.evidence import PairedEvidence, SplitEvidence, Tally
from cortex_cli.stats.simulation import Scenario, simulate_pairs, simulate_split

POLICY = Policy()


def pairs_of(wins: int, losses: int, ties: int, seed: int = 0) -> PairedEvidence:
    """Spread so many wins, losses and ties evenly at random over the contest."""
    differences = np.array([1.0] * wins + [-1.0] * losses + [0.0] * ties)
    np.random.default_rng(seed).shuffle(differences)
    return PairedEvidence(
        {"success": (differences <= 0).astype(np.float64)}, {"success": (differences >= 0).astype(np.float64)}
    )


def test_a_better_challenger_is_promoted_with_a_reason_in_words() -> None:
    verdict = decide(pairs_of(60, 10, 130), POLICY, "dispatch-0123456789ab")

    assert verdict.outcome == "promote"
    assert verdict.challenger == "dispatch-0123456789ab"
    assert verdict.reason.startswith("better: evidence ")
    assert verdict.reason.endswith(" of 20, success +25.0 points over 200 pairs")
    assert (verdict.tasks, verdict.wins, verdict.losses, verdict.difference) == (200, 60, 10, 0.25)
    assert 0.0 < verdict.low < 0.25 < verdict.high
    assert verdict.e_value >= verdict.threshold == 20.0


def test_too_few_pairs_hold_even_when_the_evidence_is_there() -> None:
    verdict = decide(pairs_of(30, 0, 30), POLICY)

    assert verdict.outcome == "hold"
    assert verdict.reason.endswith("but only 60 of the 100 pairs it takes")


def test_growing_evidence_says_how_many_more_tasks_it_takes() -> None:
    verdict = decide(pairs_of(14, 4, 182), POLICY)

    assert verdict.outcome == "hold"
    assert verdict.reason.startswith("evidence ")
    assert " of 20: about " in verdict.reason
    assert verdict.reason.endswith(" more pairs at this rate")


def test_a_worse_challenger_is_rolled_back() -> None:
    verdict = decide(pairs_of(5, 40, 155), POLICY)

    assert verdict.outcome == "rollback"
    assert verdict.reason.startswith("worse in success: evidence ")


def test_a_difference_too_small_to_matter_is_futile() -> None:
    verdict = decide(pairs_of(20, 20, 2000), POLICY)

    assert verdict.outcome == "futile"
    assert verdict.reason.startswith("no gain of +5.0 points or more: evidence ")


def test_a_broken_split_is_invalid_whatever_it_shows() -> None:
    generator = np.random.default_rng(1)
    arms = generator.random(3000) < 0.2
    success = np.where(arms, 1.0, (generator.random(3000) < 0.7).astype(np.float64))

    verdict = decide(SplitEvidence(arms, np.full(3000, 0.1), {"success": success}), POLICY)

    assert verdict.outcome == "invalid"
    assert "instead of 10.0 %" in verdict.reason


def test_no_rows_hold_and_say_so() -> None:
    empty = PairedEvidence({"success": np.empty(0)}, {"success": np.empty(0)})
    nothing = SplitEvidence(np.empty(0, dtype=np.bool_), np.empty(0), {"success": np.empty(0)})

    assert decide(empty, POLICY).reason == "no pair has a judged outcome yet"
    assert decide(nothing, POLICY).reason == "no task has a judged outcome yet"
    assert decide(empty, POLICY).outcome == decide(nothing, POLICY).outcome == "hold"


def joined(first: PairedEvidence, then: PairedEvidence) -> PairedEvidence:
    return PairedEvidence(
        {"success": np.concatenate([first.champion["success"], then.champion["success"]])},
        {"success": np.concatenate([first.challenger["success"], then.challenger["success"]])},
    )


def test_evidence_that_was_lost_again_promotes_nobody() -> None:
    verdict = decide(joined(pairs_of(20, 2, 78), pairs_of(60, 78, 0)), POLICY)

    assert verdict.outcome == "hold"
    assert verdict.reason.startswith("evidence stood at ")
    assert verdict.reason.endswith("it is gone")


def test_evidence_that_stood_higher_once_is_told_with_where_it_stands_now() -> None:
    verdict = decide(joined(pairs_of(25, 5, 70), pairs_of(20, 22, 258)), POLICY)

    assert verdict.outcome == "promote"
    assert " of 20 at its best, " in verdict.reason
    assert " of 20 now, success " in verdict.reason


def with_quality(evidence: PairedEvidence, champion: float, challenger: float, rows: int) -> PairedEvidence:
    return PairedEvidence(
        {**evidence.champion, "quality": np.full(rows, champion)},
        {**evidence.challenger, "quality": np.full(rows, challenger)},
    )


def test_a_guardrail_that_gets_worse_stops_a_better_challenger() -> None:
    policy = Policy(guardrails=("quality",))
    better = pairs_of(60, 10, 130)

    kept = decide(with_quality(better, 0.7, 0.7, 200), policy)
    worse = decide(with_quality(better, 0.7, 0.3, 200), policy)

    assert worse.outcome == "rollback"
    assert worse.reason.startswith("worse in quality: ")
    assert worse.threshold == 40.0
    assert kept.outcome == "hold"
    assert "but quality is not yet shown to lose less than 2.0 %" in kept.reason


def test_a_guardrail_shown_to_hold_lets_a_better_challenger_through() -> None:
    policy = Policy(guardrails=("quality",), margin=0.1)

    verdict = decide(with_quality(pairs_of(60, 10, 130), 0.7, 0.72, 200), policy)

    assert verdict.outcome == "promote"


def test_a_guardrail_nobody_measured_is_invalid() -> None:
    verdict = decide(pairs_of(60, 10, 130), Policy(guardrails=("cost",)))

    assert verdict.outcome == "invalid"
    assert verdict.reason == "200 of 200 pairs have no cost on both arms, at most 10 % may"


def test_quality_alone_may_carry_a_promotion_while_success_does_not_get_worse() -> None:
    policy = Policy(objectives=("quality",), margin=0.1)

    verdict = decide(with_quality(pairs_of(6, 5, 389), 0.5, 0.8, 400), policy)

    assert verdict.outcome == "promote"


def test_guarded_metrics_are_success_and_all_that_the_policy_names() -> None:
    policy = Policy(objectives=("quality",), guardrails=("cost", "quality"))

    assert guarded_metrics(policy) == ("success", "quality", "cost")


@pytest.mark.parametrize(
    ("success", "quality", "tasks", "met"),
    [(0.06, 0.06, 100, True), (0.06, 0.04, 100, False), (0.05, 0.06, 100, False), (0.06, 0.06, 99, False)],
)
def test_the_seeds_rule_is_exact(success: float, quality: float, tasks: int, met: bool) -> None:
    tally = Tally(tasks * 2, tasks, tasks + 1, 0, 0, 0.5, 0.5 + success, quality)

    assert seeds_rule(tally).met is met


def test_the_seeds_rule_is_not_met_without_quality() -> None:
    assert not seeds_rule(Tally(400, 200, 200, 0, 0, 0.5, 0.9, None)).met


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from([0.75, 0.8, 0.9]), st.booleans())
def test_a_look_after_every_task_decides_what_the_whole_ledger_up_to_there_decides(
    seed: int, rate: float, alike: bool
) -> None:
    scenario = Scenario(0.8, rate, alike=0.5 * alike)
    evidence = simulate_pairs(scenario, 800, np.random.default_rng(seed))

    outcome, row = find_first_decision(evidence, POLICY)

    assert decide(evidence.head(row), POLICY).outcome == outcome
    assert decide(evidence.head(row - 1), POLICY).outcome == "hold"


def test_the_same_evidence_gives_the_same_bytes() -> None:
    encode = msgspec.json.Encoder(order="deterministic").encode
    one = decide(simulate_split(Scenario(0.9, 0.95), 3000, np.random.default_rng(9)), POLICY, "x")
    two = decide(simulate_split(Scenario(0.9, 0.95), 3000, np.random.default_rng(9)), POLICY, "x")

    assert encode(one) == encode(two)
    assert all(not isinstance(value, float) or math.isfinite(value) for value in msgspec.structs.astuple(one))


@pytest.mark.parametrize(
    ("mode", "scenario"),
    [
        ("shadow", Scenario(0.925, 0.925)),
        ("shadow", Scenario(0.8, 0.8, alike=0.5)),
        ("split", Scenario(0.925, 0.925, 0.1)),
        ("split", Scenario(0.925, 0.925, 0.5)),
    ],
)
def test_equal_variants_are_promoted_in_at_most_one_contest_of_twenty(mode: str, scenario: Scenario) -> None:
    simulate = simulate_pairs if mode == "shadow" else simulate_split
    generator = np.random.default_rng(21)

    outcomes = Counter(find_first_decision(simulate(scenario, 3000, generator), POLICY)[0] for _ in range(300))

    # 5 % of 300 is 15; 25 or more would happen in 1 of 100 suites if the rate were 5 %.
    assert outcomes["promote"] <= 24
    assert outcomes["rollback"] <= 24
    assert outcomes["invalid"] <= 3


@pytest.mark.parametrize(
    ("mode", "scenario", "median"),
    [
        ("shadow", Scenario(0.925, 0.975), 260),
        ("split", Scenario(0.925, 0.975, 0.5), 520),
    ],
)
def test_five_points_are_found(mode: str, scenario: Scenario, median: int) -> None:
    simulate = simulate_pairs if mode == "shadow" else simulate_split
    generator = np.random.default_rng(22)

    decisions = [find_first_decision(simulate(scenario, 3000, generator), POLICY) for _ in range(200)]

    promoted = [row for outcome, row in decisions if outcome == "promote"]
    assert len(promoted) >= 188
    assert np.median(promoted) <= median


def test_a_challenger_that_loses_five_points_is_removed() -> None:
    generator = np.random.default_rng(23)

    outcomes = Counter(
        find_first_decision(simulate_pairs(Scenario(0.925, 0.875), 3000, generator), POLICY)[0] for _ in range(100)
    )

    assert outcomes["promote"] == 0
    assert outcomes["rollback"] + outcomes["futile"] == 100

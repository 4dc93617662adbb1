"""What the decision promises, in contests that are harder than a coin with one bias.

Reduced in size; the benchmark `decisions` runs the plain settings in full. Seeds are fixed. A bar of
5 % over n contests allows what would be exceeded in one suite of a hundred if the rate were 5 %.
"""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from cortex_cli.domain.manifests import Policy
from cortex_cli.stats.decision import find_first_decision
from cortex_cli.stats.evidence import Evidence, PairedEvidence, SplitEvidence

CONTESTS = 200
# 99th percentile of a binomial of 200 at 5 %.
AT_MOST = 18
ROWS = 3000


def run(make: Callable[[np.random.Generator], Evidence], policy: Policy, seed: int) -> Counter[str]:
    generator = np.random.default_rng(seed)
    return Counter(find_first_decision(make(generator), policy)[0] for _ in range(CONTESTS))


def split_of(rates: np.ndarray, shares: np.ndarray, gain: float = 0.0) -> Callable[[np.random.Generator], Evidence]:
    """Draw live contests in which the champion's rate and the challenger's share change from task to task."""

    def make(generator: np.random.Generator) -> Evidence:
        arms = generator.random(rates.size) < shares
        success = (generator.random(rates.size) < rates + gain * arms).astype(np.float64)
        return SplitEvidence(arms, shares, {"success": success})

    return make


RAMP = np.repeat([0.01, 0.05, 0.1, 0.25, 0.5], ROWS // 5)
DRIFT = 0.8 + 0.15 * np.sin(np.linspace(0, 12, ROWS))
FLAT = np.full(ROWS, 0.9)


def test_a_ramp_promotes_an_equal_challenger_in_at_most_one_contest_of_twenty() -> None:
    assert run(split_of(FLAT, RAMP), Policy(), 1)["promote"] <= AT_MOST


def test_a_drifting_base_rate_promotes_no_equal_challenger() -> None:
    assert run(split_of(DRIFT, np.full(ROWS, 0.1)), Policy(), 2)["promote"] <= AT_MOST


def test_a_ramp_along_a_falling_base_rate_does_not_confound() -> None:
    # Difficulty rises while the challenger's share does: its plain mean is far below the champion's.
    outcomes = run(split_of(np.linspace(0.95, 0.6, ROWS), RAMP), Policy(), 3)

    assert outcomes["rollback"] <= AT_MOST
    assert outcomes["promote"] <= AT_MOST


def test_a_ramp_still_finds_a_better_challenger() -> None:
    outcomes = run(split_of(np.full(ROWS, 0.8), RAMP, gain=0.15), Policy(), 4)

    assert outcomes["promote"] >= 0.95 * CONTESTS


def test_a_challenger_exactly_at_the_margin_of_a_guardrail_is_seldom_promoted() -> None:
    policy = Policy(guardrails=("quality",), margin=0.05)

    def make(generator: np.random.Generator) -> Evidence:
        old, new = generator.random((2, ROWS)) < [[0.7], [0.85]]
        good, worse = (generator.random((2, ROWS)) < [[0.6], [0.55]]).astype(np.float64)
        return PairedEvidence(
            {"success": old.astype(np.float64), "quality": good},
            {"success": new.astype(np.float64), "quality": worse},
        )

    assert run(make, policy, 5)["promote"] <= AT_MOST


def test_a_guardrail_that_holds_does_not_stop_a_better_challenger() -> None:
    policy = Policy(guardrails=("quality",), margin=0.05)

    def make(generator: np.random.Generator) -> Evidence:
        old, new = generator.random((2, ROWS)) < [[0.7], [0.85]]
        before = generator.normal(0.6, 0.1, ROWS).clip(0, 1)
        after = (before + generator.normal(0.0, 0.05, ROWS)).clip(0, 1)
        return PairedEvidence(
            {"success": old.astype(np.float64), "quality": before},
            {"success": new.astype(np.float64), "quality": after},
        )

    assert run(make, policy, 6)["promote"] >= 0.95 * CONTESTS


def test_failures_that_are_reported_late_by_one_arm_promote_nobody_in_a_matured_cohort() -> None:
    window = 400

    def make(generator: np.random.Generator) -> Evidence:
        arms = generator.random(ROWS) < 0.5
        success = (generator.random(ROWS) < 0.9).astype(np.float64)
        # Every outcome is known after at most the window, the challenger's failures last of all.
        matured = np.arange(ROWS) < ROWS - window
        return SplitEvidence(arms, np.full(ROWS, 0.5), {"success": np.where(matured, success, math.nan)})

    assert run(make, Policy(), 7)["promote"] <= AT_MOST


def test_equal_graded_outcomes_promote_nobody() -> None:
    def make(generator: np.random.Generator) -> Evidence:
        arms = generator.random(ROWS) < 0.3
        return SplitEvidence(arms, np.full(ROWS, 0.3), {"success": generator.beta(4, 1, ROWS)})

    outcomes = run(make, Policy(), 8)

    assert outcomes["promote"] <= AT_MOST
    assert outcomes["rollback"] <= AT_MOST


def test_an_objective_beside_success_can_win_while_success_is_kept() -> None:
    policy = Policy(objectives=("success", "quality"), margin=0.05)

    def make(generator: np.random.Generator) -> Evidence:
        arms = generator.random(ROWS) < 0.5
        success = (generator.random(ROWS) < 0.95).astype(np.float64)
        quality = (generator.normal(0.6, 0.2, ROWS) + 0.08 * arms).clip(0, 1)
        return SplitEvidence(arms, np.full(ROWS, 0.5), {"success": success, "quality": quality})

    assert run(make, policy, 9)["promote"] >= 0.9 * CONTESTS


def test_several_equal_objectives_promote_nobody() -> None:
    policy = Policy(objectives=("success", "quality"), margin=0.1)

    def make(generator: np.random.Generator) -> Evidence:
        old, new = (generator.random((2, ROWS)) < 0.8).astype(np.float64)
        one, two = generator.random((2, ROWS))
        return PairedEvidence({"success": old, "quality": one}, {"success": new, "quality": two})

    assert run(make, policy, 10)["promote"] <= AT_MOST

"""From rows to a verdict."""

import numpy as np
import pytest

from cortex_cli.domain.errors import IntegrityError
from cortex_cli.domain.manifests import Experiment, Policy
from cortex_cli.release.judging import evidence_of, judge, policy_of, stand
from cortex_cli.release.ledger import Row, Score
from cortex_cli.stats.evidence import PairedEvidence, SplitEvidence


def shadow(*challengers: str, policy: Policy | None = None) -> Experiment:
    return Experiment(id="ab-1", agent="a", champion="old", challengers=challengers, policy=policy or Policy())


def split(*challengers: str) -> Experiment:
    return Experiment(id="ab-1", agent="a", champion="old", challengers=challengers, mode="split")


def row(unit: int, **success: float | None) -> Row:
    return Row(unit=f"u{unit}", scores={name: Score(success=value) for name, value in success.items()})


def live(unit: int, arm: str, success: float | None, *, matured: bool = True) -> Row:
    shares = {"old": 0.5, "new": 0.25, "other": 0.25}
    scores = {arm: Score(success=success)} if success is not None else {}
    return Row(unit=f"u{unit}", arm=arm, propensity=shares, scores=scores, matured=matured)


def test_shadow_rows_become_pairs_and_immature_ones_wait() -> None:
    rows = [row(1, old=1.0, new=0.0), Row(unit="u2", matured=False), row(3, old=0.0, new=1.0)]

    evidence = evidence_of(shadow("new"), rows, "new")

    assert isinstance(evidence, PairedEvidence)
    assert list(evidence.champion["success"]) == [1.0, 0.0]
    assert list(evidence.challenger["success"]) == [0.0, 1.0]


def test_a_pair_without_one_of_its_judgements_is_open_and_not_a_failure() -> None:
    evidence = evidence_of(shadow("new"), [row(1, old=1.0, new=None), row(2, old=1.0)], "new")

    assert evidence.tally().tasks == 0


def test_live_rows_of_another_challenger_are_left_out_and_shares_are_of_the_two() -> None:
    rows = [live(1, "old", 1.0), live(2, "new", 1.0), live(3, "other", 0.0)]

    evidence = evidence_of(split("new", "other"), rows, "new")

    assert isinstance(evidence, SplitEvidence)
    assert list(evidence.arms) == [False, True]
    assert list(evidence.propensities) == pytest.approx([1 / 3, 1 / 3])


def test_a_matured_task_without_an_outcome_has_failed_and_an_immature_one_has_not() -> None:
    rows = [live(1, "old", None), live(2, "new", None, matured=False), live(3, "new", 1.0)]

    tally = evidence_of(split("new", "other"), rows, "new").tally()

    assert (tally.tasks, tally.champion_rate, tally.challenger_rate) == (2, 0.0, 1.0)


def test_latency_and_cost_are_read_as_what_is_left_of_their_cap() -> None:
    policy = Policy(guardrails=("latency", "cost"), latency_cap=10.0, cost_cap=0.5)
    scores = {
        "old": Score(success=1.0, latency=2.0, cost=0.1),
        "new": Score(success=1.0, latency=30.0, cost=0.0),
    }

    evidence = evidence_of(shadow("new", policy=policy), [Row(unit="u", scores=scores)], "new")

    assert isinstance(evidence, PairedEvidence)
    assert evidence.champion["latency"][0] == pytest.approx(0.8)
    assert evidence.challenger["latency"][0] == 0.0
    assert (evidence.champion["cost"][0], evidence.challenger["cost"][0]) == pytest.approx((0.8, 1.0))


def test_an_arm_that_is_no_variant_of_the_experiment_is_an_integrity_failure() -> None:
    with pytest.raises(IntegrityError, match="arm 'other', which is none of its variants"):
        evidence_of(split("new"), [live(1, "other", 1.0)], "new")


def test_a_row_that_does_not_know_both_shares_is_an_integrity_failure() -> None:
    rows = [Row(unit="u", seq=7, arm="old", propensity={"old": 0.9, "else": 0.1}, scores={"old": Score(success=1.0)})]

    with pytest.raises(IntegrityError, match="row 7 has no propensity of both 'old' and 'new'"):
        evidence_of(split("new"), rows, "new")


def contest_of_three(rows: int = 400) -> list[Row]:
    generator = np.random.default_rng(1)
    draws = (generator.random((rows, 3)) < (0.7, 0.9, 0.72)).astype(np.float64).tolist()
    return [row(number, old=old, good=good, same=same) for number, (old, good, same) in enumerate(draws)]


def test_of_several_challengers_the_better_one_speaks_and_the_error_rate_is_shared() -> None:
    experiment = shadow("same", "good")

    verdict = judge(experiment, contest_of_three())

    assert (verdict.outcome, verdict.challenger, verdict.threshold) == ("promote", "good", 40.0)
    assert policy_of(experiment).alpha == 0.025


def test_an_undecided_challenger_keeps_the_contest_open() -> None:
    rows = contest_of_three(60)

    assert judge(shadow("same"), rows).outcome == "hold"


def test_a_standing_tells_every_test_and_decides_nothing() -> None:
    policy = Policy(guardrails=("quality",))
    rows = [
        Row(
            unit=f"u{number}",
            scores={name: Score(success=float(number % 3 > 0), quality=0.5) for name in ("old", "new")},
        )
        for number in range(120)
    ]

    standing = stand(shadow("new", policy=policy), rows, "new")

    assert [(test.shows, test.metric) for test in standing.tests] == [
        ("better", "success"),
        ("worse", "success"),
        ("worse", "quality"),
        ("loses less than 2.0 %", "quality"),
        ("gains less than +5.0 points", "success"),
    ]
    assert standing.tests[4].reached
    assert [arm.variant for arm in standing.arms] == ["old", "new"]
    assert standing.arms[0].interval.low < standing.arms[0].rate == pytest.approx(2 / 3, abs=1e-6)
    assert standing.verdict.outcome == "futile"
    assert standing.seeds.quality_gain == 0.0

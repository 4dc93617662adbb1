"""From ledger rows to a verdict: the one way in which a verdict is made, shown and recomputed."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from cortex_cli.domain.errors import IntegrityError
from cortex_cli.domain.manifests import Experiment, Policy, Verdict
from cortex_cli.release.ledger import Row, Score
from cortex_cli.stats.decision import Findings, SeedsRule, decide, guarded_metrics, seeds_rule, weigh
from cortex_cli.stats.evidence import Evidence, PairedEvidence, SplitEvidence
from cortex_cli.stats.intervals import Interval, wilson_interval
from cortex_cli.stats.wealth import Array, Peak
from cortex_cli.stats.wording import tell_evidence, tell_percent, tell_points

__all__ = ["Arm", "Standing", "Weighed", "evidence_of", "judge", "policy_of", "stand"]

# Which verdict speaks for the experiment when several challengers have one each.
_ORDER = ("promote", "hold", "invalid", "rollback", "futile")


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant's success: rate, and Wilson's interval for it as if this were the only look."""

    variant: str
    tasks: int
    rate: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Weighed:
    """One test: what it would show, in which metric, its evidence in words, and whether that was reached."""

    shows: str
    metric: str
    evidence: str
    reached: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How one challenger's contest stands: verdict if it ended now, arms, every test, the founding rule."""

    verdict: Verdict
    unit: str
    arms: tuple[Arm, Arm]
    tests: tuple[Weighed, ...]
    seeds: SeedsRule


def judge(experiment: Experiment, rows: Iterable[Row]) -> Verdict:
    """Return the verdict of *experiment* on *rows*; with several challengers that of the best one.

    The same experiment and rows give the same bytes.
    """
    kept = list(rows)
    policy = policy_of(experiment)
    verdicts = [
        decide(evidence_of(experiment, kept, challenger), policy, challenger) for challenger in experiment.challengers
    ]
    return min(verdicts, key=lambda verdict: (_ORDER.index(verdict.outcome), -verdict.e_value, verdict.challenger))


def stand(experiment: Experiment, rows: Sequence[Row], challenger: str) -> Standing:
    """Return how the contest of *challenger* stands after *rows*; nothing is decided by looking."""
    policy = policy_of(experiment)
    evidence = evidence_of(experiment, rows, challenger)
    verdict, tally = decide(evidence, policy, challenger), evidence.tally()
    arms = (
        _arm(experiment.champion, tally.champion_tasks, tally.champion_rate),
        _arm(challenger, tally.challenger_tasks, tally.challenger_rate),
    )
    return Standing(verdict, evidence.unit, arms, _tests(weigh(evidence, policy), policy), seeds_rule(tally))


def policy_of(experiment: Experiment) -> Policy:
    """Return the policy of each challenger's own contest: its share of the error rate (e-Bonferroni)."""
    share = experiment.policy.alpha / len(experiment.challengers)
    return msgspec.structs.replace(experiment.policy, alpha=share)


def evidence_of(experiment: Experiment, rows: Sequence[Row], challenger: str) -> Evidence:
    """Return what *rows* show about one *challenger*; raise `IntegrityError` for a row of another kind."""
    if experiment.mode == "shadow":
        return _paired(experiment, rows, challenger)
    return _split(experiment, rows, challenger)


def _arm(variant: str, tasks: int, rate: float) -> Arm:
    return Arm(variant, tasks, round(rate, 6), wilson_interval(rate * tasks, tasks))


def _tests(findings: Findings, policy: Policy) -> tuple[Weighed, ...]:
    bar, harm_bar = math.log(1 / policy.alpha), math.log(len(guarded_metrics(policy)) / policy.alpha)
    objectives = " and ".join(policy.objectives)
    return (
        _weighed("better", objectives, findings.better, bar),
        *(_weighed("worse", metric, peak, harm_bar) for metric, peak in findings.worse.items()),
        *(
            _weighed(f"loses less than {tell_percent(policy.margin)}", metric, peak, bar)
            for metric, peak in findings.not_worse.items()
        ),
        *(
            _weighed(f"gains less than {tell_points(policy.mde)}", metric, peak, bar)
            for metric, peak in findings.too_small.items()
        ),
    )


def _weighed(shows: str, metric: str, peak: Peak, bar: float) -> Weighed:
    reached = peak.crossed > 0
    return Weighed(shows, metric, tell_evidence(peak.highest if reached else peak.last, bar), reached)


def _paired(experiment: Experiment, rows: Sequence[Row], challenger: str) -> PairedEvidence:
    kept = [row for row in rows if row.matured]
    champion, other = (
        _columns([row.scores.get(variant) or Score() for row in kept], experiment.policy)
        for variant in (experiment.champion, challenger)
    )
    return PairedEvidence(champion, other)


def _split(experiment: Experiment, rows: Sequence[Row], challenger: str) -> SplitEvidence:
    """Keep the rows of the two arms; given that a row is of either, its share is p1 / (p0 + p1)."""
    kept = [row for row in rows if row.arm in (experiment.champion, challenger)]
    strange = next((row for row in rows if row.arm not in (experiment.champion, *experiment.challengers)), None)
    if strange is not None:
        raise IntegrityError(
            f"row {strange.seq} of experiment '{experiment.id}' has arm '{strange.arm}', which is none of its variants",
            state="nothing was changed",
        )
    outcomes = _columns([_matured_score(row) for row in kept], experiment.policy)
    shares = [_share(row, experiment.champion, challenger) for row in kept]
    arms = np.array([row.arm == challenger for row in kept], dtype=np.bool_)
    return SplitEvidence(arms, np.array(shares, dtype=np.float64), outcomes)


def _share(row: Row, champion: str, challenger: str) -> float:
    own, other = row.propensity.get(challenger, 0.0), row.propensity.get(champion, 0.0)
    if not own or not other:
        raise IntegrityError(
            f"row {row.seq} has no propensity of both '{champion}' and '{challenger}'", state="nothing was changed"
        )
    return own / (own + other)


def _matured_score(row: Row) -> Score:
    """Return the row's score; a task that is still unresolved when it matures has failed."""
    score = row.scores.get(row.arm) or Score()
    if not row.matured:
        return Score()
    return msgspec.structs.replace(score, success=0.0) if score.success is None else score


def _columns(scores: Sequence[Score], policy: Policy) -> dict[str, Array]:
    """Return one array per guarded metric, and quality for the founding documents' rule."""
    return {metric: _column(scores, metric, policy) for metric in (*guarded_metrics(policy), "quality")}


def _column(scores: Sequence[Score], metric: str, policy: Policy) -> Array:
    caps = {"latency": policy.latency_cap, "cost": policy.cost_cap}
    values = np.array([_or_nan(getattr(score, metric)) for score in scores], dtype=np.float64)
    if metric not in caps:
        return values
    left: Array = 1.0 - np.minimum(values, caps[metric]) / caps[metric]
    return left


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value

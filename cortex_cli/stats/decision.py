"""The decision: evidence and a policy in, a verdict with its reason in words out.

INVALID (the data cannot be trusted) > ROLLBACK (harm on any guarded metric) > PROMOTE (some
objective better and every guardrail non-inferior) > FUTILE (no objective reaches the effect worth
having) > HOLD. With error rate alpha and G guarded metrics, whatever the number of looks:
P(promote | no objective is better) <= alpha, P(promote | a guardrail is worse by its margin or
more) <= alpha, P(rollback | nothing is worse) <= alpha.
Every test counts at its highest point, as if one had looked after every task; a promotion is held
when all rows together have turned against it. Non-inferiority tests need no correction for their
number because all of them must hold (intersection-union); harm tests are corrected (Bonferroni)
because one is enough. Source of the rule: Schultzberg, Ankargren and Franberg, "Risk-aware product
decisions in A/B tests with multiple metrics", arXiv:2402.11609.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cortex_cli.domain.manifests import Metric, Policy, Verdict
from cortex_cli.stats.evidence import Evidence, Flaw, Tally
from cortex_cli.stats.wealth import Peak, Process, find_peak, log_path, mix_processes
from cortex_cli.stats.wording import tell_evidence, tell_more_tasks, tell_percent, tell_points

__all__ = ["METHOD", "Findings", "SeedsRule", "decide", "find_first_decision", "guarded_metrics", "seeds_rule", "weigh"]

# To be raised with every change that can give another verdict on the same rows.
METHOD = "betting/1"

Outcome = Literal["promote", "hold", "rollback", "futile", "invalid"]

# The documents that Cortex grew from promote at +0.2 of quality on a scale of 1 to 5, +5 points of
# success and 100 tasks per arm.
SEEDS_QUALITY = 0.2 / 4
SEEDS_POINTS = 0.05
SEEDS_TASKS = 100
# E-values above this are all the same to a reader and would overflow a float.
_MOST = 1e12


@dataclass(frozen=True, slots=True)
class SeedsRule:
    """The founding documents' rule, for description: gains, tasks of the smaller arm, and whether it is met."""

    success_gain: float
    quality_gain: float | None
    tasks: int
    met: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """Every test's peak: superiority over the objectives, then harm, non-inferiority and futility by metric."""

    better: Peak
    worse: Mapping[str, Peak]
    not_worse: Mapping[str, Peak]
    too_small: Mapping[str, Peak]
    flaw: Flaw | None
    enough_at: int


def decide(evidence: Evidence, policy: Policy, challenger: str = "") -> Verdict:
    """Return the verdict on *challenger*; the same evidence and policy give the same bytes.

    Null hypotheses, error rates and source: the module's. The bounds of the difference in success
    are each wrong with probability at most alpha at any time, and speak of all rows together.
    """
    tally, findings = evidence.tally(), weigh(evidence, policy)
    interval = evidence.interval(policy.alpha)
    outcome = _judge(findings)
    reason = _tell(outcome, _Told(evidence.unit, tally, findings), policy)
    log_e, bar = _deciding(outcome, findings, policy)
    return Verdict(
        outcome=outcome,
        challenger=challenger,
        reason=reason,
        tasks=tally.tasks,
        wins=tally.wins,
        losses=tally.losses,
        champion_rate=_round(tally.champion_rate),
        challenger_rate=_round(tally.challenger_rate),
        difference=_round(tally.challenger_rate - tally.champion_rate),
        low=_round(interval.low),
        high=_round(interval.high),
        e_value=_significant(log_e),
        threshold=_significant(bar),
        seeds_rule=seeds_rule(tally).met,
        method=METHOD,
    )


def find_first_decision(evidence: Evidence, policy: Policy) -> tuple[Outcome, int]:
    """Return the first verdict other than hold that a look after every unit gives, and after which unit.

    ('hold', units) when there is none. At one unit the order of the module decides.
    """
    findings = weigh(evidence, policy)
    flaw = findings.flaw.row if findings.flaw else 0
    harms = [peak.crossed for peak in findings.worse.values() if peak.crossed]
    futile = [peak.crossed for peak in findings.too_small.values()]
    moments: list[tuple[int, int, Outcome]] = [
        (flaw, 0, "invalid"),
        (min(harms, default=0), 1, "rollback"),
        (_promoted_at(evidence, policy, findings), 2, "promote"),
        (max(futile) if futile and all(futile) else 0, 3, "futile"),
    ]
    reached = [moment for moment in moments if moment[0]]
    if not reached:
        return "hold", evidence.tally().tasks
    row, _, outcome = min(reached)
    return outcome, row


def weigh(evidence: Evidence, policy: Policy) -> Findings:
    """Run every test that *policy* asks for; a metric that was not measured is a flaw."""
    guarded = guarded_metrics(policy)
    flaw = evidence.find_flaw(guarded)
    measured = [metric for metric in guarded if evidence.has(metric)]
    objectives = [metric for metric in policy.objectives if metric in measured]
    bar, harm_bar = math.log(1 / policy.alpha), math.log(len(guarded) / policy.alpha)
    return Findings(
        better=find_peak(_mix_objectives(evidence, objectives), bar) if objectives else Peak(0.0, 0.0, 0),
        worse={metric: find_peak(evidence.worse(metric), harm_bar) for metric in measured},
        not_worse={
            metric: find_peak(evidence.not_worse(metric, policy.margin), bar)
            for metric in _restrained(policy)
            if metric in measured
        },
        too_small={metric: find_peak(evidence.too_small(metric, policy.mde), bar) for metric in objectives},
        flaw=flaw,
        enough_at=evidence.enough_at(policy.min_tasks),
    )


def guarded_metrics(policy: Policy) -> tuple[Metric, ...]:
    """Return the metrics in which harm is looked for: success always, objectives, guardrails."""
    return tuple(dict.fromkeys(("success", *policy.objectives, *policy.guardrails)))


def seeds_rule(tally: Tally) -> SeedsRule:
    """Work out the founding documents' rule: +0.2 quality (of 1 to 5), +5 points of success, 100 tasks per arm.

    Descriptive only: it has no error rate. Without quality scores it is not met.
    """
    # 0.55 - 0.5 is above 0.05 in doubles; nine digits settle that an exact 5 points do not exceed 5.
    gain = round(tally.challenger_rate - tally.champion_rate, 9)
    quality = round(tally.quality_gain or 0.0, 9)
    better = quality > SEEDS_QUALITY and gain > SEEDS_POINTS
    return SeedsRule(gain, tally.quality_gain, tally.fewest, better and tally.fewest >= SEEDS_TASKS)


def _mix_objectives(evidence: Evidence, objectives: Sequence[str]) -> Process:
    """Split the money evenly: a gain in one objective is enough, and it need not be the same at every task."""
    return mix_processes([(1.0, evidence.better(metric)) for metric in objectives])


def _promoted_at(evidence: Evidence, policy: Policy, findings: Findings) -> int:
    """Return the first unit with everything that a promotion needs, or 0."""
    needed = [findings.better.crossed, findings.enough_at, *(peak.crossed for peak in findings.not_worse.values())]
    if not all(needed):
        return 0
    begin = max(needed)
    # Evidence that was gone when the last condition came must first be back above 1.
    path = log_path(_mix_objectives(evidence, [metric for metric in policy.objectives if evidence.has(metric)]))
    standing = path[begin - 1 :] >= 0.0
    return begin + int(standing.argmax()) if bool(standing.any()) else 0


def _restrained(policy: Policy) -> tuple[Metric, ...]:
    """Return the metrics that must be shown not worse: one shown better needs no second proof."""
    guarded = guarded_metrics(policy)
    return tuple(metric for metric in guarded if (metric,) != policy.objectives)


def _judge(findings: Findings) -> Outcome:
    if findings.flaw:
        return "invalid"
    if any(peak.crossed for peak in findings.worse.values()):
        return "rollback"
    guards = all(peak.crossed for peak in findings.not_worse.values())
    if findings.better.crossed and findings.enough_at and guards and not _has_faded(findings):
        return "promote"
    futile = findings.too_small.values()
    return "futile" if futile and all(peak.crossed for peak in futile) else "hold"


def _has_faded(findings: Findings) -> bool:
    """Say whether the evidence was reached and then lost whole: all rows together now speak for the null."""
    return findings.better.crossed > 0 and findings.better.last < 0.0


def _deciding(outcome: Outcome, findings: Findings, policy: Policy) -> tuple[float, float]:
    """Return the log e-value that decided, or that is waited for, and the log of its threshold."""
    bar = math.log(1 / policy.alpha)
    if outcome == "rollback":
        return _worst(findings)[1].highest, math.log(len(guarded_metrics(policy)) / policy.alpha)
    if outcome == "futile":
        return min(peak.highest for peak in findings.too_small.values()), bar
    return findings.better.highest if findings.better.crossed else findings.better.last, bar


def _worst(findings: Findings) -> tuple[str, Peak]:
    return max(findings.worse.items(), key=lambda item: item[1].highest)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a reason is told from."""

    unit: str
    tally: Tally
    findings: Findings

    @property
    def over(self) -> str:
        gain = tell_points(self.tally.challenger_rate - self.tally.champion_rate)
        return f"success {gain} over {self.tally.tasks:,} {self.unit}s"


def _tell(outcome: Outcome, told: _Told, policy: Policy) -> str:
    findings = told.findings
    evidence = tell_evidence(*_deciding(outcome, findings, policy))
    if outcome == "invalid" and findings.flaw:
        return findings.flaw.reason
    if outcome == "rollback":
        return f"worse in {_worst(findings)[0]}: evidence {evidence}, {told.over}"
    if outcome == "promote":
        bar = math.log(1 / policy.alpha)
        now = f" at its best, {tell_evidence(findings.better.last, bar)} now"
        return f"better: evidence {evidence}{now if findings.better.last < bar else ''}, {told.over}"
    if outcome == "futile":
        return f"no gain of {tell_points(policy.mde)} or more: evidence {evidence}, {told.over}"
    return _tell_waiting(told, policy)


def _tell_waiting(told: _Told, policy: Policy) -> str:
    better, tally = told.findings.better, told.tally
    bar = math.log(1 / policy.alpha)
    unit = f"{told.unit}s"
    if tally.tasks == 0:
        return f"no {told.unit} has a judged outcome yet"
    if not better.crossed:
        return _tell_growth(better, bar, tally.tasks, unit)
    lead = f"better (evidence {tell_evidence(better.highest, bar)})"
    if _has_faded(told.findings):
        return f"evidence stood at {tell_evidence(better.highest, bar)} once, but {told.over} it is gone"
    if not told.findings.enough_at:
        least = unit if told.unit == "pair" else f"{unit} per arm"
        return f"{lead}, but only {tally.fewest:,} of the {policy.min_tasks:,} {least} it takes"
    metric, peak = next((name, each) for name, each in told.findings.not_worse.items() if not each.crossed)
    growth = _tell_growth(peak, bar, tally.tasks, unit)
    return f"{lead}, but {metric} is not yet shown to lose less than {tell_percent(policy.margin)}: {growth}"


def _tell_growth(peak: Peak, bar: float, tasks: int, unit: str) -> str:
    told = f"evidence {tell_evidence(peak.last, bar)}"
    more = tell_more_tasks(peak.last, bar, tasks)
    return f"{told}: about {more:,} more {unit} at this rate" if more else f"{told}, and not growing"


def _round(value: float) -> float:
    # Six digits outlive a change of platform or numpy; the rest of a double is rounding noise.
    return round(value, 6) + 0.0


def _significant(log_e: float) -> float:
    value = min(math.exp(min(log_e, 700.0)), _MOST)
    return float(f"{value:.6g}")

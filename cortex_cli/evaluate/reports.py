"""Reports: the scores of a suite as they are kept, with what each case came to and no text of any of them."""

from typing import Literal

import msgspec

from cortex_cli import __version__
from cortex_cli.evaluate.calibration import Calibration
from cortex_cli.evaluate.gates import Gate
from cortex_cli.evaluate.referee import Agreement
from cortex_cli.evaluate.scores import CaseResult, Comparison, Range, Scores, compare_scores

__all__ = ["CaseOutcome", "Gates", "SuiteReport", "report_suite"]

Outcome = Literal["passed", "failed", "undecided"]


class CaseOutcome(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """What one case came to: its id, whether right, how right, tokens, seconds, an error's first words."""

    case: str
    right: bool
    score: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    error: str = ""


class SuiteReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A suite's totals, the rival's share right on it, the comparison, and every case's outcome.

    *domains* has right answers and cases of each domain. *tokens*, *seconds* and *cost* are of all cases together.
    """

    suite: str
    suite_digest: str
    digest: str
    judge: str
    cases: int
    success: float
    low: float
    high: float
    mean: float
    resampled: Range | None = None
    errors: int = 0
    malformed: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    domains: dict[str, tuple[int, int]] = {}
    rival: float | None = None
    rival_seconds: float = 0.0
    comparison: Comparison | None = None
    outcomes: tuple[CaseOutcome, ...] = ()


class Gates(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an evaluation found of a candidate, without any text of a request or an answer.

    *digest* names the object that holds this value. *agreement* is that of a model as judge with people. *review* lists the interactions that were put before people.
    """

    schema: int = 1
    variant: str
    agent: str
    adapter: str = ""
    against: str = ""
    suites: tuple[SuiteReport, ...] = ()
    gates: tuple[Gate, ...] = ()
    calibration: Calibration | None = None
    agreement: Agreement | None = None
    review: tuple[str, ...] = ()
    created: str = ""
    version: str = __version__
    digest: str = ""

    @property
    def outcome(self) -> Outcome:
        """Return the worst outcome among the gates that nobody overrode."""
        found = {gate.outcome for gate in self.gates if not gate.opens}
        return "failed" if "failed" in found else "undecided" if found else "passed"

    @property
    def passed(self) -> bool:
        """Tell whether the candidate may be registered as a challenger."""
        return self.outcome == "passed"

    def scores(self) -> dict[str, float]:
        """Return the numbers that a manifest keeps: share right with its interval per suite, and what gates measured."""
        kept: dict[str, float] = {}
        for report in self.suites:
            kept |= {
                report.suite: report.success,
                f"{report.suite} low": report.low,
                f"{report.suite} high": report.high,
            }
        kept |= {gate.name: gate.value for gate in self.gates if gate.value is not None and gate.name != "success"}
        return {name: round(value, 6) for name, value in kept.items()}


def report_suite(scores: Scores, rival: Scores | None = None) -> SuiteReport:
    """Report *scores*, compared with those of the *rival* on the same cases if there is one."""
    return SuiteReport(
        suite=scores.suite,
        suite_digest=scores.suite_digest,
        digest=scores.digest(),
        judge=scores.judge,
        cases=len(scores.results),
        success=scores.success,
        low=scores.low,
        high=scores.high,
        mean=scores.mean,
        resampled=scores.resampled,
        errors=scores.errors,
        malformed=scores.malformed,
        tokens=scores.tokens,
        seconds=round(scores.seconds, 6),
        cost=scores.cost,
        domains=scores.by_domain(),
        rival=rival.success if rival else None,
        rival_seconds=round(rival.seconds, 6) if rival else 0.0,
        comparison=compare_scores(rival, scores) if rival else None,
        outcomes=tuple(map(_outcome, scores.results)),
    )


def _outcome(result: CaseResult) -> CaseOutcome:
    tokens = result.tokens_in + result.tokens_out
    return CaseOutcome(result.case, result.right, result.score, tokens, round(result.seconds, 6), result.error[:80])

"""Scores: one result per case, totals with an interval, and the paired difference of two runs."""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Answer, Generate
from cortex_cli.evaluate.judges import JudgeName, is_well_formed
from cortex_cli.evaluate.judging import Judge, Judgement, Panel
from cortex_cli.evaluate.suites import Case, JudgeSpec, Suite
from cortex_cli.stats.intervals import newcombe_interval, wilson_interval
from cortex_cli.stats.power import fixed_discordant_pairs
from cortex_cli.stats.resampling import bootstrap_mean

__all__ = ["CaseResult", "Comparison", "Range", "Scores", "compare_scores", "resample", "score_suite"]


class Range(msgspec.Struct, frozen=True):
    """Lower and upper bound, at 95 %; *groups* is how many groups of cases they were drawn from."""

    low: float
    high: float
    groups: int = 0


class CaseResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a variant did on one case. *error* is neither right nor wrong and is counted apart.

    *score* is how right on [0, 1]; for most judges 1 or 0. *formed* is whether the answer has the form that its judge
    reads. *seconds* is the batch's time shared out among its cases.
    """

    case: str
    right: bool
    answer: str
    domain: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    logprob: float | None = None
    error: str = ""
    score: float = 0.0
    note: str = ""
    group: str = ""
    formed: bool = True


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of a variant on a suite: share right with a 95 % Wilson interval, tokens, seconds, dollars.

    *mean* is of the graded scores. *resampled* is its bootstrap interval, with cases of one group drawn together.
    """

    suite: str
    suite_digest: str
    results: tuple[CaseResult, ...]
    success: float
    low: float
    high: float
    errors: int
    tokens: int
    seconds: float
    mean: float = 0.0
    resampled: Range | None = None
    malformed: int = 0
    cost: float = 0.0
    judge: str = ""

    def by_domain(self) -> dict[str, tuple[int, int]]:
        """Return right answers and cases for each domain."""
        totals: dict[str, tuple[int, int]] = {}
        for result in self.results:
            right, cases = totals.get(result.domain, (0, 0))
            totals[result.domain] = (right + result.right, cases + 1)
        return totals

    def digest(self) -> str:
        """Return the digest of which cases were right, the part that a rerun must repeat."""
        return digest_value([(result.case, result.right) for result in self.results])


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two variants on the same cases: second minus first, with a 95 % interval for paired shares.

    *resampled* is the bootstrap interval of the same difference, of the graded scores, with groups drawn together.
    *effect* is Cohen's h; *needed* the pairs by which one look shows this difference with a power of 80 % (0: there is
    none to show).
    """

    cases: int
    first: float
    second: float
    only_first: int
    only_second: int
    difference: float
    low: float
    high: float
    resampled: Range | None = None
    effect: float = 0.0
    needed: int = 0


def score_suite(
    generate: Generate,
    suite: Suite,
    judge: JudgeName | Judge,
    *,
    chunk: int = 256,
    watch: Callable[[int, int], None] = lambda _done, _total: None,
) -> Scores:
    """Answer every case of *suite* with *generate* and judge it; *watch* is told cases done and total."""
    panel: Judge = Panel(JudgeSpec(name=judge)) if isinstance(judge, str) else judge
    results: list[CaseResult] = []
    for start in range(0, len(suite.cases), chunk):
        cases = suite.cases[start : start + chunk]
        answers = generate([case.messages for case in cases])
        results += _judge(cases, answers, panel)
        watch(len(results), len(suite.cases))
    return _total(suite, tuple(results), panel.version)


def compare_scores(first: Scores, second: Scores) -> Comparison:
    """Compare two runs over the same suite, case by case; raises `UsageError` for different suites."""
    if first.suite_digest != second.suite_digest:
        raise UsageError(f"'{first.suite}' and '{second.suite}' are different suites, so they cannot be paired")
    pairs = list(zip(first.results, second.results, strict=True))
    only_first = sum(a.right and not b.right for a, b in pairs)
    only_second = sum(b.right and not a.right for a, b in pairs)
    both = sum(a.right and b.right for a, b in pairs)
    neither = len(pairs) - both - only_first - only_second
    interval = newcombe_interval(both, only_second, only_first, neither)
    return Comparison(
        cases=len(pairs),
        first=first.success,
        second=second.success,
        only_first=only_first,
        only_second=only_second,
        difference=second.success - first.success,
        low=interval.low,
        high=interval.high,
        resampled=resample([b.score - a.score for a, b in pairs], second.results),
        effect=_cohen_h(first.success, second.success),
        needed=fixed_discordant_pairs(only_second / len(pairs), only_first / len(pairs)),
    )


def resample(values: Sequence[float], results: Sequence[CaseResult]) -> Range | None:
    """Return the BCa interval of the mean of *values*, results of one group drawn together; None for fewer than two groups.

    A result without a group is one of its own. The draws are the same each time: a rerun gives the same interval.
    """
    groups = [result.group or result.case for result in results]
    count = len(set(groups))
    if count < 2:
        return None
    array = np.array(values, dtype=np.float64)
    found = bootstrap_mean(array, groups, np.random.default_rng(0))
    return Range(round(found.low, 6), round(found.high, 6), count)


def _judge(cases: Sequence[Case], answers: Sequence[Answer], panel: Judge) -> list[CaseResult]:
    # An error is not shown to the judge: it would be paid, or run, for nothing.
    asked = [place for place, answer in enumerate(answers) if not answer.error]
    judged = panel([cases[place] for place in asked], [answers[place].text for place in asked])
    by_place = dict(zip(asked, judged, strict=True))
    wrong = Judgement(right=False, score=0.0)
    return [
        _result(case, answer, by_place.get(place, wrong), panel)
        for place, (case, answer) in enumerate(zip(cases, answers, strict=True))
    ]


def _result(case: Case, answer: Answer, judgement: Judgement, panel: Judge) -> CaseResult:
    name: JudgeName = case.judge or (panel.spec.name if isinstance(panel, Panel) else "exact")
    return CaseResult(
        case=case.id,
        right=judgement.right,
        answer=answer.text,
        domain=case.domain,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        seconds=answer.seconds,
        logprob=answer.logprob,
        error=answer.error,
        score=judgement.score,
        note=judgement.note,
        group=case.group,
        formed=bool(answer.error) or is_well_formed(name, answer.text),
    )


def _total(suite: Suite, results: tuple[CaseResult, ...], judge: str) -> Scores:
    right = sum(result.right for result in results)
    interval = wilson_interval(right, len(results))
    return Scores(
        suite=suite.name,
        suite_digest=suite.digest,
        results=results,
        success=right / len(results),
        low=interval.low,
        high=interval.high,
        errors=sum(bool(result.error) for result in results),
        tokens=sum(result.tokens_in + result.tokens_out for result in results),
        seconds=sum(result.seconds for result in results),
        mean=sum(result.score for result in results) / len(results),
        resampled=resample([result.score for result in results], results),
        malformed=sum(not result.formed for result in results),
        judge=judge,
    )


def _cohen_h(first: float, second: float) -> float:
    """Return Cohen's h (1988), the difference of two shares on the arcsine scale; 0.2 is small, 0.8 large."""
    return round(2 * (math.asin(math.sqrt(second)) - math.asin(math.sqrt(first))), 6)

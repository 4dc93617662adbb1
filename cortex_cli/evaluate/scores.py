"""Scores: one result per case, totals with an interval, and the paired difference of two runs."""

from collections.abc import Callable, Sequence

import msgspec

from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Generate
from cortex_cli.evaluate.judges import JudgeName, judge_answer
from cortex_cli.evaluate.suites import Case, Suite
from cortex_cli.stats.intervals import newcombe_interval, wilson_interval

__all__ = ["CaseResult", "Comparison", "Scores", "compare_scores", "score_suite"]


class CaseResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a variant did on one case. *error* is neither right nor wrong and is counted apart."""

    case: str
    right: bool
    answer: str
    domain: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    logprob: float | None = None
    error: str = ""


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of a variant on a suite: share right with a 95 % Wilson interval, tokens, seconds."""

    suite: str
    suite_digest: str
    results: tuple[CaseResult, ...]
    success: float
    low: float
    high: float
    errors: int
    tokens: int
    seconds: float

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
    """Two variants on the same cases: second minus first, with a 95 % interval for paired shares."""

    cases: int
    first: float
    second: float
    only_first: int
    only_second: int
    difference: float
    low: float
    high: float


def score_suite(
    generate: Generate,
    suite: Suite,
    judge: JudgeName,
    *,
    chunk: int = 256,
    watch: Callable[[int, int], None] = lambda _done, _total: None,
) -> Scores:
    """Answer every case of *suite* with *generate* and judge it; *watch* is told cases done and total."""
    results: list[CaseResult] = []
    for start in range(0, len(suite.cases), chunk):
        cases = suite.cases[start : start + chunk]
        results += _answer(generate, cases, judge)
        watch(len(results), len(suite.cases))
    right = sum(result.right for result in results)
    interval = wilson_interval(right, len(results))
    return Scores(
        suite=suite.name,
        suite_digest=suite.digest,
        results=tuple(results),
        success=right / len(results),
        low=interval.low,
        high=interval.high,
        errors=sum(bool(result.error) for result in results),
        tokens=sum(result.tokens_in + result.tokens_out for result in results),
        seconds=sum(result.seconds for result in results),
    )


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
    )


def _answer(generate: Generate, cases: Sequence[Case], judge: JudgeName) -> list[CaseResult]:
    answers = generate([case.messages for case in cases])
    return [
        CaseResult(
            case=case.id,
            right=not answer.error and judge_answer(judge, answer.text, case.reference),
            answer=answer.text,
            domain=case.domain,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            seconds=answer.seconds,
            logprob=answer.logprob,
            error=answer.error,
        )
        for case, answer in zip(cases, answers, strict=True)
    ]

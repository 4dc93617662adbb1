"""Is a model as often right as it is sure? Expected calibration error and Brier score, with intervals.

The confidence of an answer is its probability: of the whole text, not of a token, because the whole text is right or
wrong. Long answers are therefore seldom sure; the error says how far that is from how often they are right.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from cortex_cli.evaluate.scores import CaseResult, Range
from cortex_cli.stats.wealth import Array

__all__ = ["Calibration", "confidence_of", "measure_calibration"]

_BINS = 10
_DRAWS = 1000


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How far confidence is from being right. *error* is the expected calibration error over bins of equal counts.

    *noise* is the error that a perfectly calibrated model would show on so many cases: it is never 0. *sure* is the mean
    confidence, *right* the share right: above, the model is too sure.
    """

    cases: int
    error: float
    interval: Range
    noise: float
    brier: float
    sure: float
    right: float


def confidence_of(result: CaseResult) -> float | None:
    """Return the probability of the whole answer from the mean per token, its end included; None if it is not known."""
    if result.logprob is None:
        return None
    return math.exp(min(0.0, result.logprob) * (result.tokens_out + 1))


def measure_calibration(results: Sequence[CaseResult]) -> Calibration | None:
    """Measure the calibration of *results*; None when fewer than two of them have a confidence."""
    known = [(confidence_of(result), result.right) for result in results if not result.error]
    pairs = [(told, right) for told, right in known if told is not None]
    if len(pairs) < 2:
        return None
    sure = np.array([told for told, _ in pairs])
    right = np.array([float(correct) for _, correct in pairs])
    generator = np.random.default_rng(0)
    places = generator.integers(0, sure.size, (_DRAWS, sure.size))
    errors = np.array([_error(sure[chosen], right[chosen]) for chosen in places])
    # A perfect model: each answer right with the probability that it gave.
    ideal = [_error(sure, (generator.random(sure.size) < sure).astype(np.float64)) for _ in range(200)]
    low, high = np.quantile(errors, (0.025, 0.975))
    return Calibration(
        cases=sure.size,
        error=round(_error(sure, right), 6),
        interval=Range(round(float(low), 6), round(float(high), 6), sure.size),
        noise=round(float(np.mean(ideal)), 6),
        brier=round(float(((sure - right) ** 2).mean()), 6),
        sure=round(float(sure.mean()), 6),
        right=round(float(right.mean()), 6),
    )


def _error(sure: Array, right: Array) -> float:
    """Return the expected calibration error, bins of equal counts (Nixon et al. 2019, arXiv:1904.01685)."""
    order = np.argsort(sure, kind="stable")
    bins = [part for part in np.array_split(order, min(_BINS, sure.size)) if part.size]
    return float(sum(abs(sure[part].mean() - right[part].mean()) * part.size for part in bins) / sure.size)

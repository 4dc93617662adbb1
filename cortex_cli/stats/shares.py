"""Exact intervals for a share, and the chi-square distribution; plain floats, no arrays.

The binomial tail is the regularised incomplete beta function, P(X >= s) = I_p(s, n - s + 1), and the
chi-square tail the upper incomplete gamma function Q(df / 2, x / 2); series and continued fractions as in
Press et al., Numerical Recipes, sections 6.2 and 6.4. All of it holds for one look at a fixed number of rows.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Bounds", "binomial_tail", "chi_square_quantile", "chi_square_tail", "exact_interval"]

# Continued fractions end by accuracy: near the mean of a million rows that takes some thousand steps.
_STEPS = 100_000
_ACCURACY = 1e-14
_TINY = 1e-300
# Halving [0, 1] sixty times leaves less than the rounding of a float.
_HALVINGS = 60


class Bounds(NamedTuple):
    """Lower and upper bound of a share."""

    low: float
    high: float


def exact_interval(successes: int, rows: int, confidence: float = 0.95) -> Bounds:
    """Return the interval of Clopper and Pearson (1934) for a share, which covers with at least *confidence*.

    For rows drawn without replacement, as examples from a journal are, it is wider than it need be.
    """
    if rows == 0:
        return Bounds(0.0, 1.0)
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _bisect(lambda rate: binomial_tail(successes, rows, rate) < tail)
    high = 1.0 if successes == rows else _bisect(lambda rate: 1 - binomial_tail(successes + 1, rows, rate) >= tail)
    return Bounds(low, high)


def binomial_tail(successes: int, rows: int, rate: float) -> float:
    """Return the probability of at least *successes* in *rows* draws that succeed with probability *rate*."""
    if successes <= 0:
        return 1.0
    if successes > rows:
        return 0.0
    return _incomplete_beta(successes, rows - successes + 1, rate)


def chi_square_tail(value: float, degrees: int) -> float:
    """Return the probability that a chi-square variable with *degrees* of freedom is above *value*."""
    half = value / 2  # the half of the least positive float is 0
    return _upper_gamma(degrees / 2, half) if half > 0 else 1.0


def chi_square_quantile(probability: float, degrees: int) -> float:
    """Return the value that a chi-square variable with *degrees* of freedom stays below with *probability*."""
    high = float(degrees + 10)
    while chi_square_tail(high, degrees) > 1 - probability:
        high *= 2
    return high * _bisect(lambda share: chi_square_tail(share * high, degrees) > 1 - probability)


def _bisect(is_below: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def _incomplete_beta(first: float, second: float, value: float) -> float:
    if value <= 0 or value >= 1:
        return float(value >= 1)
    front = math.lgamma(first + second) - math.lgamma(first) - math.lgamma(second)
    front += first * math.log(value) + second * math.log1p(-value)
    # The fraction converges fast on the near side of the mean; the far side is one minus it.
    if value < (first + 1) / (first + second + 2):
        return math.exp(front) * _beta_fraction(first, second, value) / first
    return 1 - math.exp(front) * _beta_fraction(second, first, 1 - value) / second


def _beta_fraction(first: float, second: float, value: float) -> float:
    """Evaluate the continued fraction of the incomplete beta function by Lentz's method."""
    upper = 1.0
    lower = 1 / _away(1 - (first + second) * value / (first + 1))
    result = lower
    for step in range(1, _STEPS):
        double = first + 2 * step
        even = step * (second - step) * value / ((double - 1) * double)
        odd = -(first + step) * (first + second + step) * value / (double * (double + 1))
        change = 1.0
        for term in (even, odd):
            lower = 1 / _away(1 + term * lower)
            upper = _away(1 + term / upper)
            change = upper * lower
            result *= change
        if abs(change - 1) < _ACCURACY:
            break
    return result


def _upper_gamma(shape: float, value: float) -> float:
    front = math.exp(shape * math.log(value) - value - math.lgamma(shape))
    if value < shape + 1:
        return 1 - front * _gamma_series(shape, value)
    return front * _gamma_fraction(shape, value)


def _gamma_series(shape: float, value: float) -> float:
    term = total = 1 / shape
    for step in range(1, _STEPS):
        term *= value / (shape + step)
        total += term
        if term < total * _ACCURACY:
            break
    return total


def _gamma_fraction(shape: float, value: float) -> float:
    base = value + 1 - shape
    upper, lower = 1 / _TINY, 1 / base
    result = lower
    for step in range(1, _STEPS):
        factor = -step * (step - shape)
        base += 2
        lower = 1 / _away(factor * lower + base)
        upper = _away(base + factor / upper)
        change = upper * lower
        result *= change
        if abs(change - 1) < _ACCURACY:
            break
    return result


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY

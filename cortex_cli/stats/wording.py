"""Numbers as a person reads them: evidence against its threshold, points, shares, tasks still needed."""

import math

__all__ = ["tell_evidence", "tell_more_tasks", "tell_percent", "tell_points"]


def tell_percent(share: float) -> str:
    """Tell a share in [0, 1] as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def tell_points(difference: float) -> str:
    """Tell a difference of two shares in percentage points, signed."""
    return f"{100 * difference:+.1f} points"


def tell_evidence(log_e: float, log_threshold: float) -> str:
    """Tell an e-value against its threshold: `17.2 of 20`."""
    return f"{_tell_e(log_e)} of {math.exp(log_threshold):.4g}"


def tell_more_tasks(log_e: float, log_threshold: float, tasks: int) -> int | None:
    """Return how many more tasks the evidence needs at its average growth so far; None when it does not grow.

    Rounded to two digits: it is a forecast from noise. More than a hundred times what was seen is
    no forecast.
    """
    if log_e <= 0 or tasks == 0:
        return None
    more = (log_threshold - log_e) * tasks / log_e
    if more > 100 * tasks:
        return None
    step: int = 10 ** max(0, len(str(math.ceil(more))) - 2)
    return max(1, math.ceil(more / step)) * step


def _tell_e(log_e: float) -> str:
    if log_e >= math.log(1e6):
        return "over a million"
    value = math.exp(log_e)
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"

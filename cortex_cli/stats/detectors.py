"""Alarms for a rate that falls after a promotion: e-detectors that restart themselves.

H0: the success probability is at least p0 at every t. Each bet on a lower p_k multiplies by
L = p_k / p0 on a success and (1 - p_k) / (1 - p0) on a failure, mean at most 1 under H0, and
    e-SR     M <- (M + 1) L        e-CUSUM  M <- max(M, 1) L
alarm at mean_k M_k >= 1/alpha. For both the average time to a false alarm is at least 1/alpha rows.
p0 must be a lower bound of what was promised: one that is too high is an alarm by itself.
Source: Shin, Ramdas and Rinaldo, "E-detectors", NEJSDS 2023, arXiv:2203.03532.
"""

from collections.abc import Sequence
from typing import Literal

__all__ = ["DROPS", "Detector"]

# Falls below p0 that the bets are made for.
DROPS = (0.05, 0.1, 0.2, 0.3, 0.5)
# A p_k at 0 would lose everything on one success.
_LEAST = 0.01


class Detector:
    """An alarm on the success rate, kept row by row; *run_length* is the least mean time to a false alarm."""

    __slots__ = ("_factors", "_kind", "_wealth", "level", "rows", "threshold")

    def __init__(
        self,
        promised: float,
        run_length: float = 10_000.0,
        kind: Literal["sr", "cusum"] = "sr",
        drops: Sequence[float] = DROPS,
    ) -> None:
        lower = [max(_LEAST, promised - drop) for drop in drops]
        self._factors = [(rate / promised, (1 - rate) / (1 - promised)) for rate in lower]
        self._wealth = [0.0] * len(lower)
        self._kind = kind
        self.threshold = run_length
        self.level = 0.0
        self.rows = 0

    @property
    def alarmed(self) -> bool:
        """Say whether the level stands at the threshold."""
        return self.level >= self.threshold

    def update(self, *, success: bool) -> float:
        """Add one task and return the level, mean over the bets."""
        for index, (won, lost) in enumerate(self._factors):
            had = self._wealth[index]
            base = had + 1.0 if self._kind == "sr" else max(had, 1.0)
            self._wealth[index] = base * (won if success else lost)
        self.level = sum(self._wealth) / len(self._wealth)
        self.rows += 1
        return self.level

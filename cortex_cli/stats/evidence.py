"""What a contest has shown: outcomes in assignment order, and the tests that its design allows.

Metrics are arrays on [0, 1], higher is better, NaN where an outcome is unknown or not yet matured.
Every process has one row per unit, so that processes on different metrics can be mixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cortex_cli.stats import assignment, ipw, paired
from cortex_cli.stats.betting import BOLD_BETS, WIDE_BETS, Estimates
from cortex_cli.stats.intervals import Interval, confidence_sequence
from cortex_cli.stats.srm import ALARM, ratio_path
from cortex_cli.stats.wealth import Array, Process, mix_processes
from cortex_cli.stats.wording import tell_percent

__all__ = ["Evidence", "Flaw", "PairedEvidence", "SplitEvidence", "Tally"]

# A shadow judge that leaves more of the pairs open than this may be hiding the difference in them.
MOST_UNJUDGED = 0.1


@dataclass(frozen=True, slots=True)
class Tally:
    """Judged tasks (a pair is one task of each arm), rates of success; *quality_gain* is None without quality."""

    tasks: int
    champion_tasks: int
    challenger_tasks: int
    wins: int
    losses: int
    champion_rate: float
    challenger_rate: float
    quality_gain: float | None

    @property
    def fewest(self) -> int:
        """Return the judged tasks of the smaller arm."""
        return min(self.champion_tasks, self.challenger_tasks)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why nothing may be concluded, and the unit (from 1) at which that was known."""

    reason: str
    row: int


class Evidence(Protocol):
    """Outcomes of a contest and the e-processes that its design allows; *metric* must be among its metrics."""

    unit: str

    def has(self, metric: str) -> bool:
        """Say whether the metric was measured on any unit."""
        ...

    def better(self, metric: str) -> Process:
        """Return the e-process against H0: the challenger is nowhere better."""
        ...

    def not_worse(self, metric: str, margin: float) -> Process:
        """Return the e-process against H0: the challenger is worse by the margin or more."""
        ...

    def worse(self, metric: str) -> Process:
        """Return the e-process against H0: the challenger is nowhere worse."""
        ...

    def too_small(self, metric: str, effect: float) -> Process:
        """Return the e-process against H0: the challenger is better by the effect or more."""
        ...

    def interval(self, alpha: float) -> Interval:
        """Return the confidence sequence of the difference in success."""
        ...

    def tally(self) -> Tally:
        """Return counts and rates."""
        ...

    def enough_at(self, tasks: int) -> int:
        """Return the unit (from 1) at which both arms have *tasks* judged tasks, or 0."""
        ...

    def find_flaw(self, metrics: Sequence[str]) -> Flaw | None:
        """Return what makes the contest invalid for a decision on *metrics*."""
        ...

    def head(self, rows: int) -> "Evidence":
        """Return the contest as it stood after so many units."""
        ...


class PairedEvidence:
    """A shadow contest: both arms' outcomes per unit, by metric, arrays of one length."""

    unit = "pair"

    def __init__(self, champion: Mapping[str, Array], challenger: Mapping[str, Array]) -> None:
        self.champion = champion
        self.challenger = challenger

    @cached_property
    def _success(self) -> Array:
        return self._differences("success")

    def has(self, metric: str) -> bool:
        """Say whether the metric was measured on both arms of any unit."""
        both = metric in self.champion and metric in self.challenger
        return both and not bool(np.isnan(self._differences(metric)).all())

    def better(self, metric: str) -> Process:
        """See `paired.superiority`."""
        return paired.superiority(self._differences(metric))

    def not_worse(self, metric: str, margin: float) -> Process:
        """See `paired.noninferiority`."""
        return paired.noninferiority(self._differences(metric), margin)

    def worse(self, metric: str) -> Process:
        """See `paired.harm`."""
        return paired.harm(self._differences(metric))

    def too_small(self, metric: str, effect: float) -> Process:
        """See `paired.futility`."""
        return paired.futility(self._differences(metric), effect)

    def interval(self, alpha: float) -> Interval:
        """Return the confidence sequence of the paired difference, with the bets of `better`."""
        return confidence_sequence(self.estimates("success"), alpha, BOLD_BETS)

    def tally(self) -> Tally:
        """Count judged pairs, wins (only the challenger succeeded, or by more) and losses."""
        known = ~np.isnan(self._success)
        tasks = int(known.sum())
        return Tally(
            tasks=tasks,
            champion_tasks=tasks,
            challenger_tasks=tasks,
            wins=int((self._success > 0).sum()),
            losses=int((self._success < 0).sum()),
            champion_rate=_mean(self.champion["success"][known]),
            challenger_rate=_mean(self.challenger["success"][known]),
            quality_gain=self._quality_gain(),
        )

    def enough_at(self, tasks: int) -> int:
        """Return the unit with the *tasks*-th judged pair, or 0."""
        return _nth(~np.isnan(self._success), tasks)

    def find_flaw(self, metrics: Sequence[str]) -> Flaw | None:
        """Refuse a contest of which the judge left more than 10 % of the pairs open, on any metric in use."""
        rows = self._success.size
        for metric in metrics:
            open_pairs = int(np.isnan(self._differences(metric)).sum()) if self.has(metric) else rows
            if rows and open_pairs > MOST_UNJUDGED * rows:
                reason = f"{open_pairs:,} of {rows:,} pairs have no {metric} on both arms, at most 10 % may"
                return Flaw(reason, rows)
        return None

    def head(self, rows: int) -> "PairedEvidence":
        """Return the contest as it stood after so many pairs."""
        return PairedEvidence(_heads(self.champion, rows), _heads(self.challenger, rows))

    def estimates(self, metric: str) -> Estimates:
        """Return the paired differences in *metric* with their limits."""
        return paired.paired_estimates(self.champion[metric], self.challenger[metric])

    def _differences(self, metric: str) -> Array:
        return self.challenger[metric] - self.champion[metric]

    def _quality_gain(self) -> float | None:
        return _mean(_known(self._differences("quality"))) if self.has("quality") else None


class SplitEvidence:
    """A live contest: *arms* True for the challenger, its *propensities*, and outcomes by metric, arrays of one length."""

    unit = "task"

    def __init__(self, arms: npt.NDArray[np.bool_], propensities: Array, outcomes: Mapping[str, Array]) -> None:
        self.arms = arms
        self.propensities = propensities
        self.outcomes = outcomes
        self._estimates: dict[str, Estimates] = {}

    def has(self, metric: str) -> bool:
        """Say whether the metric was measured on any unit."""
        return metric in self.outcomes and not bool(np.isnan(self.outcomes[metric]).all())

    def better(self, metric: str) -> Process:
        """See `ipw.superiority`; for a success boolean half of the money is on `assignment.superiority`."""
        return self._halved(metric, ipw.superiority(self.estimates(metric)), assignment.FEWER_FAILURES)

    def not_worse(self, metric: str, margin: float) -> Process:
        """See `ipw.noninferiority`."""
        return ipw.noninferiority(self.estimates(metric), margin)

    def worse(self, metric: str) -> Process:
        """See `ipw.harm`; for a success boolean half of the money is on `assignment.harm`."""
        more = [1.0 / ratio for ratio in assignment.FEWER_FAILURES]
        return self._halved(metric, ipw.harm(self.estimates(metric)), more)

    def too_small(self, metric: str, effect: float) -> Process:
        """See `ipw.futility`."""
        return ipw.futility(self.estimates(metric), effect)

    def interval(self, alpha: float) -> Interval:
        """Return the confidence sequence of the weighted difference."""
        return confidence_sequence(self.estimates("success"), alpha, WIDE_BETS)

    def tally(self) -> Tally:
        """Count judged tasks; rates are weighted by 1/propensity, so that a ramp does not confound them."""
        known = ~np.isnan(self.outcomes["success"])
        challengers = int((known & self.arms).sum())
        tasks = int(known.sum())
        champion, challenger = self._rates("success")
        return Tally(
            tasks=tasks,
            champion_tasks=tasks - challengers,
            challenger_tasks=challengers,
            wins=0,
            losses=0,
            champion_rate=champion,
            challenger_rate=challenger,
            quality_gain=self._quality_gain(),
        )

    def enough_at(self, tasks: int) -> int:
        """Return the unit at which the slower arm has its *tasks*-th judged task, or 0."""
        known = ~np.isnan(self.outcomes["success"])
        rows = [_nth(known & self.arms, tasks), _nth(known & ~self.arms, tasks)]
        return max(rows) if all(rows) else 0

    def find_flaw(self, metrics: Sequence[str]) -> Flaw | None:
        """Refuse a contest whose arms did not get their shares: of the units, or of those with a metric in use."""
        everything = np.ones(self.arms.shape, dtype=np.bool_)
        flaw = self._ratio_flaw(everything, "units")
        for metric in metrics:
            if flaw or metric == "success":
                continue
            if not self.has(metric):
                return Flaw(f"no unit has {metric}", self.arms.size) if self.has("success") else None
            flaw = self._ratio_flaw(~np.isnan(self.outcomes[metric]), f"units with {metric}")
        return flaw

    def head(self, rows: int) -> "SplitEvidence":
        """Return the contest as it stood after so many assigned units."""
        return SplitEvidence(self.arms[:rows], self.propensities[:rows], _heads(self.outcomes, rows))

    def estimates(self, metric: str) -> Estimates:
        """Return the weighted estimates of the difference in *metric*, worked out once."""
        if metric not in self._estimates:
            self._estimates[metric] = ipw.ipw_estimates(self.outcomes[metric], self.arms, self.propensities)
        return self._estimates[metric]

    def _halved(self, metric: str, weighted: Process, ratios: Sequence[float]) -> Process:
        outcomes = self.outcomes[metric]
        if metric != "success" or bool(((outcomes > 0.0) & (outcomes < 1.0)).any()):
            return weighted
        bet = assignment.superiority(outcomes, self.arms, self.propensities, ratios)
        return mix_processes([(0.5, bet), (0.5, weighted)])

    def _rates(self, metric: str) -> tuple[float, float]:
        champion = _weighted_mean(self.outcomes[metric], ~self.arms, 1.0 - self.propensities)
        return champion, _weighted_mean(self.outcomes[metric], self.arms, self.propensities)

    def _quality_gain(self) -> float | None:
        if not self.has("quality"):
            return None
        champion, challenger = self._rates("quality")
        return challenger - champion

    def _ratio_flaw(self, chosen: npt.NDArray[np.bool_], what: str) -> Flaw | None:
        arms, shares = self.arms[chosen], self.propensities[chosen]
        alarms = np.flatnonzero(ratio_path(arms, shares) >= ALARM)
        if not alarms.size:
            return None
        got, promised = tell_percent(_mean(arms)), tell_percent(_mean(shares))
        reason = f"the challenger got {got} of {arms.size:,} {what} instead of {promised}"
        return Flaw(reason, int(np.flatnonzero(chosen)[alarms[0]]) + 1)


def _heads(columns: Mapping[str, Array], rows: int) -> dict[str, Array]:
    return {metric: values[:rows] for metric, values in columns.items()}


def _known(values: Array) -> Array:
    return values[~np.isnan(values)]


def _mean(values: Array | npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else 0.0


def _weighted_mean(values: Array, arm: npt.NDArray[np.bool_], shares: Array) -> float:
    """Return the mean over one arm, each row counting for the 1 / share rows that it stands for."""
    weights = np.where(arm & ~np.isnan(values), 1.0 / shares, 0.0)
    total = float(weights.sum())
    return float((weights * np.nan_to_num(values)).sum()) / total if total else 0.0


def _nth(chosen: npt.NDArray[np.bool_], count: int) -> int:
    """Return the position (from 1) of the *count*-th True, or 0."""
    if count <= 0:
        return 1
    where = np.flatnonzero(chosen)
    return int(where[count - 1]) + 1 if where.size >= count else 0

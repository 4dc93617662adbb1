"""Before a contest begins: how many tasks, and how many days, each mode needs to find a gain."""

from dataclasses import dataclass
from typing import Literal

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Policy
from cortex_cli.stats.power import fixed_pairs, fixed_split_tasks, simulate_decisions
from cortex_cli.stats.simulation import Scenario

__all__ = ["Plan", "PlannedMode", "Question", "plan"]

# A simulated contest may take so many times the fixed sample; beyond, nine in ten have decided long ago.
_PATIENCE = 5
_MOST = 50_000
_SPLITS = (0.1, 0.5)


@dataclass(frozen=True, slots=True)
class Question:
    """Champion's success rate, gain to find, how alike both fail (0 to 1), judged requests a day (0: unknown)."""

    base: float
    effect: float
    alike: float = 0.0
    per_day: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedMode:
    """One mode: tasks for one look at 80 % power; simulated with a look after every task: median, 90 %, share found.

    *most_tasks* is where a simulated contest was given up; *days* are those of the median.
    """

    mode: str
    one_look: int
    median_tasks: int | None
    p90_tasks: int | None
    promoted_rate: float
    most_tasks: int
    days: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer: every mode, and the advice in words."""

    base: float
    effect: float
    policy: str
    modes: tuple[PlannedMode, ...]
    advice: str


def plan(question: Question, policy: Policy, draws: tuple[int, int]) -> Plan:
    """Work out every mode; *draws* is (simulated contests, seed). Raises `UsageError` for a rate above 1."""
    reached = question.base + question.effect
    if reached >= 1.0:
        raise UsageError(
            f"a gain of {100 * question.effect:.1f} points is impossible above a rate of {100 * question.base:.1f} %",
            hint="cortex ab power --base 0.9 --effect 0.05",
        )
    modes = tuple(
        _plan_mode(question, policy, mode, share, draws)
        for mode, share in (("shadow", 0.5), *(("split", share) for share in _SPLITS))
    )
    return Plan(question.base, question.effect, policy.name, modes, _advise(modes))


def _plan_mode(  # one simulated setting, each part by its name
    question: Question, policy: Policy, mode: str, share: float, draws: tuple[int, int]
) -> PlannedMode:
    scenario = Scenario(question.base, question.base + question.effect, share, question.alike)
    kind: Literal["shadow", "split"] = "shadow" if mode == "shadow" else "split"
    look = fixed_pairs(scenario, policy.alpha) if kind == "shadow" else fixed_split_tasks(scenario, policy.alpha)
    most = min(_MOST, max(_PATIENCE * look, 10 * policy.min_tasks))
    found = simulate_decisions(scenario, policy, kind, most, draws)
    name = "shadow pairs" if kind == "shadow" else f"split {100 * (1 - share):.0f}/{100 * share:.0f}"
    days = found.median_tasks / question.per_day if found.median_tasks and question.per_day else None
    return PlannedMode(name, look, found.median_tasks, found.p90_tasks, found.promoted_rate, most, days)


def _advise(modes: tuple[PlannedMode, ...]) -> str:
    pairs, best = modes[0], min(modes[1:], key=lambda mode: mode.median_tasks or _MOST)
    if pairs.median_tasks is None:
        return "none of the modes finds it: look for a larger gain, or allow more tasks"
    told = f"{pairs.median_tasks:,} pairs of both answers decide"
    if best.median_tasks is None:
        return f"{told}, where no split does: replay requests in shadow"
    days = f" = {best.days:.1f} days" if best.days is not None else ""
    return f"{told}, replayed at any time; live it takes {best.median_tasks:,} requests{days} at {best.mode}"

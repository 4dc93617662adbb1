"""Typed tables of what is decided about a training: search, prediction before it, and one adapter per domain."""

from typing import Literal

import msgspec

__all__ = ["PerSpec", "PredictSpec", "SearchSpec"]


class SearchSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train.search]` table: what Optuna tries, within one budget.

    Lists are choices, *learning_rate* the ends of a logarithmic range. *mixture* is shares of examples that are kept of
    sources other than demonstrations and corrections. Every trial is scored on the dataset's `valid` part; *halving*
    is the factor of successive halving (1: none). The budget ends at *trials*, *minutes* or *cost*, whichever is first.
    """

    trials: int = 12
    minutes: float = 30.0
    cost: float = 0.0
    bases: tuple[str, ...] = ()
    ranks: tuple[int, ...] = (8, 16, 32)
    learning_rate: tuple[float, float] = (1e-3, 2e-2)
    epochs: tuple[float, ...] = (1.0, 2.0, 4.0)
    mixture: tuple[float, ...] = (1.0,)
    metric: Literal["loss", "success"] = "success"
    halving: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trials < 1 or self.minutes <= 0 or self.halving < 1 or self.cost < 0:
            raise ValueError("trials, minutes and halving must be above 0")
        if not 0 < self.learning_rate[0] <= self.learning_rate[1] or not self.ranks or not self.epochs:
            raise ValueError("learning_rate is a range above 0; ranks and epochs must not be empty")


class PredictSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train.predict]` table: a learning curve on growing shares of the data, before the whole is trained.

    The training is skipped when the chance to beat the champion on the `valid` part is below *chance*.
    """

    shares: tuple[float, ...] = (0.1, 0.2, 0.4)
    chance: float = 0.1

    def __post_init__(self) -> None:
        if len(self.shares) < 3 or list(self.shares) != sorted(set(self.shares)) or not self.shares[0] > 0:
            raise ValueError("shares are at least three growing fractions above 0")
        if self.shares[-1] >= 1 or not 0 <= self.chance <= 1:
            raise ValueError("shares must be below 1, and chance a share")


class PerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train.per]` table: one specialist per value of *by*, where the opportunity rule holds.

    A value is an opportunity with more than *min_tasks* tasks of a mean quality below *max_quality* and more than
    *min_examples* examples of at least *good* quality.
    """

    by: Literal["domain"] = "domain"
    min_tasks: int = 50
    max_quality: float = 0.75
    min_examples: int = 50
    good: float = 0.85
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.max_quality <= 1 or not 0 <= self.good <= 1 or min(self.min_tasks, self.min_examples) < 0:
            raise ValueError("qualities are shares, counts not negative")

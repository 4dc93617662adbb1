"""Log-wealth arithmetic: what a fixed mixture of bets has made of one unit of money.

A bet that is fair under a null hypothesis makes no money on average while the null is true, so its
wealth E satisfies P(E ever reaches 1/alpha) <= alpha (Ville 1939, "Etude critique de la notion de
collectif"). Wealth is kept as a logarithm: a thousand good bets overflow a float.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Peak", "Process", "Wealth", "final_log_e", "find_peak", "log_path", "mix_processes"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Process:
    """A mixture of K bets over *rows* rows: start money per bet (K,), and what each row multiplies it by.

    *factors* gives rows start to stop as positive numbers, shape (K, stop - start), so that a long
    contest is weighed in slices that stay in the processor's cache.
    """

    weights: Array
    rows: int
    factors: Callable[[int, int], Array]


@dataclass(frozen=True, slots=True)
class Peak:
    """What a process reached: highest and last log-wealth, and the first row (from 1) at the threshold, or 0."""

    highest: float
    last: float
    crossed: int


class Wealth:
    """Mixture wealth kept row by row; *money* is the start money of each bet and sums to 1."""

    __slots__ = ("_logs", "highest", "last", "rows")

    def __init__(self, money: Sequence[float]) -> None:
        self._logs = [math.log(each) for each in money]
        self.highest = 0.0
        self.last = 0.0
        self.rows = 0

    def multiply(self, factors: Sequence[float]) -> float:
        """Multiply each bet's money by its factor and return the log of the whole wealth."""
        logs = [log + math.log(factor) for log, factor in zip(self._logs, factors, strict=True)]
        top = max(logs)
        self._logs = logs
        self.last = top + math.log(sum(math.exp(log - top) for log in logs))
        self.highest = max(self.highest, self.last)
        self.rows += 1
        return self.last


def log_path(process: Process) -> Array:
    """Return log E after each row, shape (n,)."""
    return np.concatenate([np.empty(0), *_paths(process)])


def mix_processes(parts: Sequence[tuple[float, Process]]) -> Process:
    """Split one unit of money over *parts*, pairs of a share and a process on the same rows.

    An average of e-processes for nulls that all hold under H0 is an e-process for H0.
    """
    total = sum(share for share, _ in parts)
    weights = np.concatenate([process.weights * (share / total) for share, process in parts])

    def _factors(start: int, stop: int) -> Array:
        return np.concatenate([process.factors(start, stop) for _, process in parts])

    return Process(weights, parts[0][1].rows, _factors)


def find_peak(process: Process, log_threshold: float) -> Peak:
    """Return what *process* reached, and when it first reached *log_threshold*; the start, log 1, counts."""
    highest, last, crossed, before = 0.0, 0.0, 0, 0
    for path in _paths(process):
        highest, last = max(highest, float(path.max())), float(path[-1])
        if not crossed and highest >= log_threshold:
            crossed = before + int((path >= log_threshold).argmax()) + 1
        before += path.size
    return Peak(highest, last, crossed)


def final_log_e(process: Process) -> float:
    """Return log E after the last row alone: half of the time of the whole path."""
    logs = np.log(process.weights)
    for factors in _slices(process):
        logs = logs + np.log(_in_blocks(factors, _SHORT).prod(axis=2)).sum(axis=1)  # (K,)
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).sum()))


def _slices(process: Process) -> Iterator[Array]:
    for start in range(0, process.rows, _SLICE):
        yield process.factors(start, min(start + _SLICE, process.rows))


def _paths(process: Process) -> Iterator[Array]:
    """Yield log E row by row, a slice at a time."""
    had = np.log(process.weights)[:, None]  # (K, 1): the share that each bet brings, in logs
    for factors in _slices(process):
        path, had = _walk(factors, had)
        yield path


def _walk(factors: Array, had: Array) -> tuple[Array, Array]:
    """Return log E after each row of *factors*, (K, m), and the bets' log money after the last.

    Within a block money is multiplied, between blocks it is a logarithm: a third of the time of one
    logarithm per factor and row, and equal to 1e-13.
    """
    products = np.cumprod(_in_blocks(factors, _LONGEST), axis=2)  # (K, B, L)
    gains = np.log(products[:, :, -1])  # (K, B)
    ends = had + np.cumsum(gains, axis=1)
    starts = ends - gains
    top = starts.max(axis=0)  # (B,)
    money = np.einsum("kb,kbl->bl", np.exp(starts - top), products)
    path: Array = (np.log(money) + top[:, None]).reshape(-1)[: factors.shape[1]]
    return path, ends[:, -1:]


def _in_blocks(factors: Array, longest: int) -> Array:
    """Fold (K, m) to (K, blocks, rows of a block), the last filled up with ones.

    A block is short enough that no product of it overflows or vanishes: a double holds 1e-308 to
    1e308, so the logarithm stays within 690.
    """
    widest = max(float(factors.max()), 1.0 / float(factors.min()), 1.0 + 1e-9)
    bets, rows = factors.shape
    length = max(1, min(longest, rows, int(690.0 / math.log(widest))))
    missing = -rows % length
    if missing:
        factors = np.concatenate([factors, np.ones((bets, missing))], axis=1)
    return factors.reshape(bets, -1, length)


# Rows per slice: 13 bets of 8,192 doubles are 0.85 MB, which a second-level cache holds.
_SLICE = 8192
_LONGEST = 128
_SHORT = 32

"""Batch plan: rows of like length together, so that almost nothing is padding."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Row", "plan_epoch", "steps_per_epoch"]

_POOL = 64  # batches sorted together: enough for 2 % padding, few enough to keep the order random


@dataclass(frozen=True, slots=True)
class Row:
    """One training sequence: token *ids*, how many of them at the start are prompt, and its *example* id.

    The loss is taken on the ids after the prompt.
    """

    ids: tuple[int, ...]
    prompt: int
    example: str


def plan_epoch(rows: Sequence[Row], batch_tokens: int, seed: int) -> list[list[int]]:
    """Return the batches of one epoch as indices into *rows*: every row once, in a seeded order.

    A batch holds at most *batch_tokens* tokens, padding included; a longer row stands alone.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible order, not secrecy
    order = list(range(len(rows)))
    rng.shuffle(order)
    mean = max(1.0, sum(len(row.ids) for row in rows) / max(1, len(rows)))
    pool = max(1, int(_POOL * batch_tokens / mean))
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        batches += _fill(
            sorted(order[start : start + pool], key=lambda index: len(rows[index].ids)), rows, batch_tokens
        )
    rng.shuffle(batches)
    return batches


def steps_per_epoch(rows: Sequence[Row], batch_tokens: int, seed: int) -> int:
    """Return how many batches the plan of one epoch has."""
    return len(plan_epoch(rows, batch_tokens, seed))


def _fill(ordered: list[int], rows: Sequence[Row], batch_tokens: int) -> list[list[int]]:
    batches: list[list[int]] = []
    batch: list[int] = []
    for index in ordered:
        longest = len(rows[index].ids)  # the pool is sorted, so the newest row is the longest
        if batch and longest * (len(batch) + 1) > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(index)
    return [*batches, batch] if batch else batches

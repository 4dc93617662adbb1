"""Batch plans: rows of like length together, or rows packed end to end, so that almost nothing is padding."""

import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Plan", "Row", "plan_epoch", "size_of", "split_batch", "steps_per_epoch"]

Plan = Literal["buckets", "packed"]

_POOL = 64  # batches planned together: enough for 2 % padding, few enough to keep the order random


@dataclass(frozen=True, slots=True)
class Row:
    """One training sequence: token *ids*, the spans [start, end) of them that are *learned*, its *example* id.

    *pair* is the answer to avoid, *wanted* whether this one is (KTO). *reference* is the log-probability under the
    model where training began: of the learned ids, then of those of the pair.
    """

    ids: tuple[int, ...]
    learned: tuple[tuple[int, int], ...]
    example: str
    pair: "Row | None" = None
    wanted: bool = True
    reference: tuple[float, ...] = ()

    @property
    def length(self) -> int:
        """Return the ids of the longer of row and pair."""
        return max(len(self.ids), self.pair.length if self.pair else 0)

    @property
    def width(self) -> int:
        """Return how many sequences the row adds to a batch."""
        return 2 if self.pair else 1

    @property
    def tokens(self) -> int:
        """Return the ids of row and pair together."""
        return len(self.ids) + (self.pair.tokens if self.pair else 0)

    @property
    def terms(self) -> int:
        """Return how many ids are learned, those of the pair left out."""
        return sum(end - start for start, end in self.learned)


def plan_epoch(rows: Sequence[Row], batch_tokens: int, seed: int, plan: Plan = "buckets") -> list[list[int]]:
    """Return the batches of one epoch as indices into *rows*: every row once and whole, in a seeded order.

    A batch holds at most *batch_tokens* tokens, padding included; a longer row stands alone.
    """
    rng = random.Random(seed)  # noqa: S311 - reproducible order, not secrecy
    order = list(range(len(rows)))
    rng.shuffle(order)
    mean = max(1.0, sum(row.tokens for row in rows) / max(1, len(rows)))
    pool = max(1, int(_POOL * batch_tokens / mean))
    fill = _pack if plan == "packed" else _fill
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        batches += fill(order[start : start + pool], rows, batch_tokens)
    rng.shuffle(batches)
    return batches


def steps_per_epoch(rows: Sequence[Row], batch_tokens: int, seed: int, plan: Plan = "buckets") -> int:
    """Return how many batches the plan of one epoch has."""
    return len(plan_epoch(rows, batch_tokens, seed, plan))


def size_of(rows: Sequence[Row], plan: Plan) -> int:
    """Return the tokens that *rows* take as one micro-batch, padding included."""
    if plan == "packed":
        return sum(row.tokens for row in rows)
    return max((row.length for row in rows), default=0) * sum(row.width for row in rows)


def split_batch(batch: Sequence[Row], limit: int, plan: Plan) -> list[list[Row]]:
    """Split *batch* into micro-batches of at most *limit* tokens (0: one); a longer row stands alone."""
    parts: list[list[Row]] = []
    for row in batch:  # the plan left rows of like length beside each other
        if parts and (not limit or size_of([*parts[-1], row], plan) <= limit):
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts


def _fill(pool: list[int], rows: Sequence[Row], batch_tokens: int) -> list[list[int]]:
    batches: list[list[int]] = []
    batch: list[int] = []
    width = 0
    for index in sorted(pool, key=lambda index: rows[index].length):
        row = rows[index]  # the newest row is the longest
        if batch and row.length * (width + row.width) > batch_tokens:
            batches.append(batch)
            batch, width = [], 0
        batch.append(index)
        width += row.width
    return [*batches, batch] if batch else batches


def _pack(pool: list[int], rows: Sequence[Row], batch_tokens: int) -> list[list[int]]:
    # Best fit decreasing: the longest row first, each where the least room is left over. Nothing is ever cropped.
    batches: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (room, batch), by room
    for index in sorted(pool, key=lambda index: -rows[index].tokens):
        size = rows[index].tokens
        place = bisect_left(rooms, (size, -1))
        if place < len(rooms):
            room, batch = rooms.pop(place)
        else:
            room, batch = batch_tokens, len(batches)
            batches.append([])
        batches[batch].append(index)
        if room > size:
            insort(rooms, (room - size, batch))
    return batches

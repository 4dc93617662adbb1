"""Label conflicts: requests that were answered in several ways, each of which is to be learned."""

from array import array
from typing import NamedTuple

__all__ = ["Found", "find_conflicts"]

# Groups that are shown, and of each as many examples.
_SHOWN = 5


class Found(NamedTuple):
    """How many requests have several answers, how many examples they are, and the positions of a few in the largest."""

    requests: int
    examples: int
    groups: tuple[tuple[int, ...], ...]


def find_conflicts(prompts: "array[int]", answers: "array[int]") -> Found:
    """Find equal *prompts* with different *answers*; both are hashes of 64 bits, one of each per example."""
    import numpy as np

    if not prompts:
        return Found(0, 0, ())
    asked, given = np.frombuffer(prompts, dtype=np.uint64), np.frombuffer(answers, dtype=np.uint64)
    order = np.lexsort((given, asked))
    asked, given = asked[order], given[order]
    begins = np.concatenate(([True], asked[1:] != asked[:-1]))
    differs = begins | np.concatenate(([True], given[1:] != given[:-1]))
    starts = np.flatnonzero(begins)
    sizes = np.diff(np.append(starts, len(order)))
    torn = np.flatnonzero(np.add.reduceat(differs.astype(np.int64), starts) > 1)
    # The largest first; ties by where they stand, as the order of examples is that of their ids.
    first = np.minimum.reduceat(order, starts)
    largest = sorted(torn.tolist(), key=lambda group: (-int(sizes[group]), int(first[group])))[:_SHOWN]
    groups = tuple(_spread(order[starts[group] : starts[group] + sizes[group]].tolist()) for group in largest)
    return Found(len(torn), int(sizes[torn].sum()), groups)


def _spread(rows: list[int]) -> tuple[int, ...]:
    # Rows are sorted by answer: taken from all over the group, so that the samples differ.
    if len(rows) <= _SHOWN:
        return tuple(rows)
    return tuple(rows[number * (len(rows) - 1) // (_SHOWN - 1)] for number in range(_SHOWN))

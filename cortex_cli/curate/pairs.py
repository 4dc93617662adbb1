"""Preference pairs: an accepted answer beside one that was judged wrong, to the same prompt."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex_cli.curate.columns import PAIR, order_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

__all__ = ["find_pairs"]


def find_pairs(
    examples: "Mapping[str, NDArray[Any]]", rows: "Rows", answers: "Mapping[str, NDArray[Any]]", per_prompt: int
) -> list[tuple[int, int]]:
    """Return pairs of a row of *examples*, one of *rows*, and a row of *answers*; ordered, so that each is stable.

    At most *per_prompt* for a prompt: best example with the first wrong answer by id, second with the second,
    and round again. An example that has a wrong answer already is left alone, and so is an answer that is right
    according to somebody else. Two answers are the same up to white space.
    """
    rows = rows[(examples["flags"][rows] & PAIR) == 0]
    wrong = np.flatnonzero(np.isin(answers["prompt"], examples["prompt"][rows]))
    right = _pair_keys(examples["prompt"], examples["answer"])
    wrong = wrong[~np.isin(_pair_keys(answers["prompt"][wrong], answers["answer"][wrong]), right)]
    wrong = wrong[order_by(answers["prompt"][wrong], answers["id"][wrong], answers["keyed"][wrong])]
    rows = rows[np.isin(examples["prompt"][rows], answers["prompt"][wrong])]
    chosen, rejected = _by_prompt(examples["prompt"], rows), _by_prompt(answers["prompt"], wrong)
    pairs: list[tuple[int, int]] = []
    for prompt, accepted in chosen.items():
        others = _distinct(rejected[prompt], answers["answer"])
        count = min(per_prompt, max(len(accepted), len(others)))
        pairs += [(accepted[at % len(accepted)], others[at % len(others)]) for at in range(count)]
    return pairs


def _pair_keys(prompts: "NDArray[np.uint64]", answers: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    # Both are hashes: their combination is one of 64 bits too.
    keys: NDArray[np.uint64] = prompts * np.uint64(0x9E3779B97F4A7C15) ^ answers
    return keys


def _by_prompt(prompts: "NDArray[np.uint64]", rows: "Rows") -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for row, prompt in zip(rows.tolist(), prompts[rows].tolist(), strict=True):
        groups.setdefault(prompt, []).append(row)
    return groups


def _distinct(rows: list[int], answers: "NDArray[np.uint64]") -> list[int]:
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(int(answers[row]), row)
    return list(first.values())

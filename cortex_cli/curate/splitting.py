"""The split: each example's part by a salted hash of its task, clusters of like examples in one part."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortex_cli.curate.spec import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

__all__ = ["PARTS", "find_clusters", "pick_parts", "split_examples"]

# From the least protected to the most.
PARTS = ("train", "valid", "test")


def split_examples(examples: "Mapping[str, NDArray[Any]]", pairs: "Rows", split: Split) -> "NDArray[np.uint8]":
    """Return the part of every row, as a position in `PARTS`.

    Rows with one prompt or one task, and both rows of every one of *pairs*, n x 2, are a cluster. Of the parts
    that its members fall into, the most protected takes all of it: a cluster that grows may leave the training
    part, and never enters it. Rows that were dropped as duplicates count too, or what is under test could come back
    in another's words.
    """
    tasked = examples["task"] != 0
    links = [_same(examples["prompt"]), pairs, np.flatnonzero(tasked)[_same(examples["task"][tasked])]]
    clusters = find_clusters(len(tasked), np.concatenate(links))
    own = pick_parts(np.where(tasked, examples["task"], examples["prompt"]), split)
    whole = np.zeros(len(own), np.uint8)
    np.maximum.at(whole, clusters, own)
    parts: NDArray[np.uint8] = whole[clusters]
    return parts


def pick_parts(places: "NDArray[np.uint64]", split: Split) -> "NDArray[np.uint8]":
    """Return the parts that 64-bit hashes fall into: always the same for one salt, on any machine."""
    # 53 bits are what a float holds: rounding up from 64 would give 1.0, which is in no part.
    fractions = (places >> np.uint64(11)).astype(np.float64) / 2**53
    # Without a test part the rounding of the shares must not open one.
    held_out = np.where((fractions < split.train + split.valid) | (split.test == 0), 1, 2)
    return np.where(fractions < split.train, 0, held_out).astype(np.uint8)


def find_clusters(size: int, links: "Rows") -> "Rows":
    """Return for each of *size* rows the least row that it is linked to, over any number of *links*, n x 2."""
    least = np.arange(size)
    one, other = (links[:, 0], links[:, 1]) if len(links) else (least[:0], least[:0])
    while True:
        low = np.minimum(least[one], least[other])
        before = least.copy()
        # Hook the heads of both sides to the lesser one, then shorten every path to its head.
        np.minimum.at(least, before[one], low)
        np.minimum.at(least, before[other], low)
        while not np.array_equal(least, least[least]):
            least = least[least]
        if np.array_equal(least, before):
            return least


def _same(keys: "NDArray[np.uint64]") -> "Rows":
    """Return links between rows of the same key, each with the one before it."""
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    return np.stack([order[same], order[same + 1]], axis=1)


def name_parts(split: Split) -> Sequence[str]:
    """Return the parts that exist, in the order of the lineage, which is that of sorted names."""
    return sorted(name for name in PARTS if getattr(split, name) > 0)

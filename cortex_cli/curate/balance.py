"""Balanced sampling: no domain with more than its share, and no more examples than were asked for."""

from typing import TYPE_CHECKING

import numpy as np

from cortex_cli.curate.spec import Balance

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["balance_rows", "find_cap", "limit_rows"]


def balance_rows(domains: "NDArray[np.uint32]", order: "NDArray[np.int64]", spec: Balance) -> "NDArray[np.bool_]":
    """Return which rows stay: of every domain the first in *order*, as many as *spec* allows.

    *order* is by id, a digest of the content: a random sample that no order of reading decides.
    """
    _, codes, counts = np.unique(domains, return_inverse=True, return_counts=True)
    cap = find_cap(counts, spec)
    by_domain = order[np.argsort(codes[order], kind="stable")]
    position = np.arange(len(domains)) - np.repeat(np.cumsum(counts) - counts, counts)
    staying = np.zeros(len(domains), np.bool_)
    staying[by_domain[position < cap]] = True
    return staying


def limit_rows(order: "NDArray[np.int64]", limit: int) -> "NDArray[np.bool_]":
    """Return which rows stay: the first *limit* in *order*, all of them when it is 0."""
    staying = np.ones(len(order), np.bool_)
    if limit:
        staying[order[limit:]] = False
    return staying


def find_cap(counts: "NDArray[np.int64]", spec: Balance) -> int:
    """Return the most examples that a domain may have where domains have *counts*.

    A share is one of what is kept. Where there are too few domains for it, all are cut to the smallest.
    """
    largest = int(counts.max(initial=0))
    cap = min(spec.max_per_domain or largest, largest)
    if not spec.max_share or not cap:
        return cap
    # share * kept - cap is concave in cap and 0 at 0, so what is feasible is one stretch from 0 on.
    low, high = 0, cap
    while low < high:
        middle = (low + high + 1) // 2
        feasible = middle <= spec.max_share * np.minimum(counts, middle).sum()
        low, high = (middle, high) if feasible else (low, middle - 1)
    return low or min(cap, int(counts.min()))

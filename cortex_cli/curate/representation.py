"""Is a group larger or smaller than it should be: exact intervals for shares and rates, all groups at once."""

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from cortex_cli.stats.shares import binomial_tail, chi_square_tail, exact_interval

__all__ = ["ALPHA", "FOUR_FIFTHS", "Balance", "Group", "Rate", "Standing", "compare_rates", "weigh_groups"]

Standing = Literal["over", "under", "alike", "unclear", ""]

# The intervals of all groups of one table hold together with 95 %: each is made at 1 - 0.05 / groups (Bonferroni).
ALPHA = 0.05
# Below four fifths of what is expected, or above its inverse, a difference matters; the rule of thumb of the US
# guidelines on employee selection, 29 CFR 1607.4 D.
FOUR_FIFTHS = 0.8


class Group(msgspec.Struct, frozen=True):
    """A group's *examples* and their *share* with its interval, beside its share of the journal.

    *against_journal* and *against_even*, an even division, are `over` or `under` when the whole interval lies beyond
    four fifths of the other share, `alike` when it lies within, `unclear` when there are too few examples to say, ''
    when there is nothing to compare with.
    """

    label: str
    examples: int
    share: float
    low: float
    high: float
    journal: float | None = None
    against_journal: Standing = ""
    against_even: Standing = ""


class Balance(msgspec.Struct, frozen=True):
    """The groups of one dimension, the largest first; *even_chance* is the chi-square tail for equal shares.

    *effective* is how many groups of equal size would be as diverse: the exponential of the entropy.
    """

    dimension: str
    examples: int
    groups: tuple[Group, ...]
    even_chance: float
    effective: float


class Rate(msgspec.Struct, frozen=True):
    """How many of a group's judged interactions were accepted, with the interval, against those of all others.

    *chance* is how likely a rate at least this far off is if the group is like the others: the exact binomial
    tail, doubled, times the number of groups.
    """

    label: str
    judged: int
    accepted: int
    rate: float
    low: float
    high: float
    others: float
    chance: float
    standing: Standing


def weigh_groups(dimension: str, counts: Mapping[str, int], journal: Mapping[str, int] | None = None) -> Balance:
    """Compare the shares of *counts* with those of *journal*, if there is one, and with an even division."""
    rows, total = sum(counts.values()), sum((journal or {}).values())
    groups: list[Group] = []
    for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        low, high = exact_interval(count, rows, 1 - ALPHA / len(counts))
        there = (journal or {}).get(label, 0) / total if total else None
        even = _stand(low, high, 1 / len(counts)) if len(counts) > 1 else ""
        groups.append(Group(label, count, count / rows, low, high, there, _stand(low, high, there or 0.0), even))
    entropy = -sum(group.share * math.log(group.share) for group in groups if group.examples)
    return Balance(dimension, rows, tuple(groups), _even_chance(counts), math.exp(entropy) if groups else 0.0)


def compare_rates(judged: Mapping[str, int], accepted: Mapping[str, int]) -> tuple[Rate, ...]:
    """Compare the rate of acceptance of every group of *judged* with that of all others, the most judged first."""
    rows, hits = sum(judged.values()), sum(accepted.get(label, 0) for label in judged)
    rates: list[Rate] = []
    for label, count in sorted(judged.items(), key=lambda item: (-item[1], item[0])):
        won = accepted.get(label, 0)
        low, high = exact_interval(won, count, 1 - ALPHA / len(judged))
        others = (hits - won) / (rows - count) if rows > count else 0.0
        chance = min(1.0, _two_sided(won, count, others) * len(judged)) if rows > count else 1.0
        standing = _stand(low, high, others)
        rates.append(Rate(label, count, won, won / count if count else 0.0, low, high, others, chance, standing))
    return tuple(rates)


def _stand(low: float, high: float, expected: float) -> Standing:
    if not expected:
        return ""
    if low > expected / FOUR_FIFTHS:
        return "over"
    if high < expected * FOUR_FIFTHS:
        return "under"
    return "alike" if expected * FOUR_FIFTHS <= low and high <= expected / FOUR_FIFTHS else "unclear"


def _two_sided(successes: int, rows: int, rate: float) -> float:
    above = binomial_tail(successes, rows, rate)
    below = 1 - binomial_tail(successes + 1, rows, rate)
    return min(1.0, 2 * min(above, below))


def _even_chance(counts: Mapping[str, int]) -> float:
    rows, labels = sum(counts.values()), len(counts)
    if labels < 2 or not rows:
        return 1.0
    expected = rows / labels
    return chi_square_tail(sum((count - expected) ** 2 / expected for count in counts.values()), labels - 1)

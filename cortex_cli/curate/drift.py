"""How far a dataset version lies from another one: per dimension a distance, and whether chance explains it.

PSI = sum (q - p) ln(q / p) over the labels, with p and q the shares before and after. Without drift it is about
    (1/n + 1/m - 2s / (n m)) chi-square with k - 1 degrees of freedom
for n and m examples of which s are in both, and k labels: the variance of the difference of two shares, which
versions that grow out of each other have less of. For s = 0 this is Yurdakul and Naranjo, "Statistical
properties of the population stability index", Journal of Risk Model Validation 14(4), 2020.
"""

import math
from typing import Literal

import msgspec

from cortex_cli.curate.profiles import OTHER, Profile
from cortex_cli.stats.shares import chi_square_quantile

__all__ = ["ALPHA", "LARGE", "MODERATE", "Drift", "Movement", "Statement", "describe_drift", "measure_drift"]

Statement = Literal["drift", "slight drift", "no drift", "too few"]

# The error rate of all dimensions together, shared out evenly (Bonferroni).
ALPHA = 0.05
# Usual readings of a PSI: below 0.1 nothing to act on, from 0.25 on another population (Siddiqi 2006).
MODERATE = 0.1
LARGE = 0.25
# Labels rarer than this in the smaller version are counted together: below, chi-square is no approximation.
_LEAST_EXPECTED = 5.0


class Movement(msgspec.Struct, frozen=True):
    """One dimension: the *psi*, what it stays below without drift (*critical*), and the Jensen-Shannon distance.

    *labels* are those compared, rare ones counted together. *up* and *down* name the labels whose share moved most,
    with the difference.
    """

    dimension: str
    statement: Statement
    psi: float
    critical: float
    distance: float
    labels: int
    up: tuple[str, float] = ("", 0.0)
    down: tuple[str, float] = ("", 0.0)


class Drift(msgspec.Struct, frozen=True):
    """How a version differs from another one, by the size of both and by dimension.

    *error_rate* is the chance that any dimension is said to drift when nothing does.
    """

    before: int
    after: int
    shared: int
    error_rate: float
    movements: tuple[Movement, ...]

    @property
    def statement(self) -> Statement:
        """Return the gravest statement on any dimension."""
        order: tuple[Statement, ...] = ("drift", "slight drift", "too few", "no drift")
        found = {movement.statement for movement in self.movements}
        return next((each for each in order if each in found), "too few")


def measure_drift(old: Profile, new: Profile, *, shared: int = 0, alpha: float = ALPHA) -> Drift:
    """Compare two profiles dimension by dimension; *shared* examples stand in both of them.

    A dimension is `drift` when its PSI is above what chance explains and at least 0.1, `slight drift` when it is
    below 0.1, and `too few` when chance alone may reach 0.1, so that nothing can be said.
    """
    names = sorted(old.counts.keys() & new.counts.keys())
    each = alpha / max(1, len(names))
    spread = _spread(old.examples, new.examples, shared)
    movements = tuple(_move(name, old.counts[name], new.counts[name], (spread, each)) for name in names)
    return Drift(old.examples, new.examples, shared, alpha, movements)


def describe_drift(movement: Movement) -> str:
    """Say in a line what moved in one dimension, with the figures behind it."""
    figures = f"PSI {movement.psi:.3f}, up to {movement.critical:.3f} by chance, JS distance {movement.distance:.3f}"
    moved = [f"{label} {change:+.1%}" for label, change in (movement.up, movement.down) if label]
    told = f"; {', '.join(moved)}" if moved and movement.statement in {"drift", "slight drift"} else ""
    return f"{movement.statement} ({figures}{told})"


def _spread(before: int, after: int, shared: int) -> float:
    if not before or not after:
        return math.inf
    return max(0.0, 1 / before + 1 / after - 2 * shared / (before * after))


def _move(name: str, old: dict[str, int], new: dict[str, int], limits: tuple[float, float]) -> Movement:
    spread, alpha = limits
    pairs = _pool_rare(old, new)
    before, after = sum(old.values()), sum(new.values())
    if not before or not after:
        return Movement(name, "too few", 0.0, math.inf, 0.0, len(pairs))
    shares = {label: (_share(p, before, len(pairs)), _share(q, after, len(pairs))) for label, (p, q) in pairs.items()}
    psi = sum((q - p) * math.log(q / p) for p, q in shares.values())
    critical = spread * chi_square_quantile(1 - alpha, len(pairs) - 1) if len(pairs) > 1 else 0.0
    changes = {label: q / after - p / before for label, (p, q) in pairs.items()}
    up = max(changes, key=lambda label: changes[label])
    down = min(changes, key=lambda label: changes[label])
    return Movement(
        name,
        _state(psi, critical),
        psi,
        critical,
        _jensen_shannon(list(shares.values())),
        len(pairs),
        (up, changes[up]) if changes[up] > 0 else ("", 0.0),
        (down, changes[down]) if changes[down] < 0 else ("", 0.0),
    )


def _state(psi: float, critical: float) -> Statement:
    # Two versions that are one have no spread at all, and no PSI but for rounding.
    if psi > critical + 1e-9:
        return "drift" if psi >= MODERATE else "slight drift"
    return "too few" if critical > MODERATE else "no drift"


def _pool_rare(old: dict[str, int], new: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Pair the counts by label; labels expected fewer than five times in either version are one, `other`."""
    before, after = sum(old.values()), sum(new.values())
    smaller = min(before, after) / max(1, before + after)
    pairs: dict[str, tuple[int, int]] = {}
    for label in sorted(old.keys() | new.keys()):
        counts = old.get(label, 0), new.get(label, 0)
        name = label if sum(counts) * smaller >= _LEAST_EXPECTED else OTHER
        known = pairs.get(name, (0, 0))
        pairs[name] = known[0] + counts[0], known[1] + counts[1]
    return pairs


def _share(count: int, total: int, labels: int) -> float:
    # Half an example more for every label: a label that is new has a finite logarithm.
    return (count + 0.5) / (total + 0.5 * labels)


def _jensen_shannon(shares: list[tuple[float, float]]) -> float:
    """Return the Jensen-Shannon distance to base 2, between 0 and 1 (Endres and Schindelin 2003)."""
    total = 0.0
    for p, q in shares:
        middle = (p + q) / 2
        total += (p * math.log2(p / middle) + q * math.log2(q / middle)) / 2
    return math.sqrt(max(0.0, total))

"""Which variant answers a unit: sticky, without state, and the same in every process and language."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from cortex_cli.domain.errors import UsageError

__all__ = ["Assigned", "assign", "assignment_point"]

_SCALE = 2.0**64


class Assigned(NamedTuple):
    """The variant of a unit, and with which probability each variant could have been it."""

    variant: str
    propensity: dict[str, float]


def assignment_point(salt: str, unit: str) -> float:
    """Return u in [0, 1]: the first 8 bytes of SHA-256(salt || unit), big-endian, over 2^64.

    Salt and unit are UTF-8. The salt is the experiment's own, so that the challenger's units of one
    experiment are not those of the next. Test vectors are in docs/statistics.md.
    """
    return _points(salt, unit)[0]


def assign(salt: str, unit: str, champion: str, split: Mapping[str, float]) -> Assigned:
    """Return who answers *unit* when each challenger of *split* has its share and the champion the rest.

    A challenger answers exactly when u is below the sum of the shares, so units that a challenger has
    stay with it while the shares grow. With several, bytes 8 to 16 of the digest choose between them
    in proportion. Raises `UsageError` for shares that are not in (0, 1) or do not leave the champion any.
    """
    total = sum(split.values())
    if not all(0 < share < 1 for share in split.values()) or total >= 1 or champion in split:
        raise UsageError(
            f"split {dict(split)} is not one: shares lie between 0 and 1, sum to less than 1, without the champion",
            state="nothing was changed",
        )
    propensity = {champion: 1 - total, **split}
    first, second = _points(salt, unit)
    return Assigned(_pick(second * total, split) if first < total else champion, propensity)


def _pick(point: float, split: Mapping[str, float]) -> str:
    edge = 0.0
    for challenger in sorted(split):
        edge += split[challenger]
        if point < edge:
            return challenger
    return max(split)  # the sum of the shares may round below the point by one bit


def _points(salt: str, unit: str) -> tuple[float, float]:
    digest = hashlib.sha256(salt.encode() + unit.encode()).digest()
    return int.from_bytes(digest[:8], "big") / _SCALE, int.from_bytes(digest[8:16], "big") / _SCALE

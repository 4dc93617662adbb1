"""Prediction before the whole is trained: a learning curve from a few trainings on growing shares of the data.

The share of wrong answers falls as a power of the number of examples, e(n) = a + b n^-c, above a floor *a* that more
data does not lower (Hestness et al. 2017, arXiv:1712.00409; Viering and Loog 2021, arXiv:2103.10948). That a training
is not worth finishing when its curve will hardly pass the best known one is Domhan et al., IJCAI 2015.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["Curve", "Forecast", "Point", "Reached", "fit_curve", "forecast"]

# Exponents as they are seen: 0.05 where data hardly helps any more, 2 where a few hundred examples do everything.
# Even steps of the logarithm are the prior: nothing is known of the exponent but its order of magnitude.
_EXPONENTS = np.geomspace(0.05, 2.0, 40)
# Two trainings on as many other examples differ by about this much (standard deviation of the share right).
_NOISE = 0.015
_DRAWS = 2000


class Point(NamedTuple):
    """A training on *examples* examples, and which cases of the `valid` part it answered right, in their order."""

    examples: int
    right: tuple[bool, ...]


class Curve(NamedTuple):
    """Draws of the floor, the drop and the exponent of a curve, each of shape (draws,), and the weights of the cases.

    *weights* is (draws, cases): one draw of what the cases may stand for, the same for whatever is compared.
    """

    floor: "Array"
    drop: "Array"
    exponent: "Array"
    weights: "Array"

    def success_at(self, examples: float) -> "Array":
        """Return the share right that is expected of a training on *examples* examples, one value per draw."""
        return np.asarray(1.0 - np.clip(self.floor + self.drop * examples**-self.exponent, 0.0, 1.0))


class Reached(msgspec.Struct, frozen=True):
    """What a training on a share of the data reached: its *examples* and the share of *success*."""

    examples: int
    success: float


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole data would bring: *expected* share right of *examples*, in [*low*, *high*] with probability 0.9.

    *doubled* is what twice the data would add to it, *best* the share that no amount of data would exceed. *chance* is
    the probability to beat the *champion*, None without one; *skip* says that it is too small, *sentence* why.
    """

    points: tuple[Reached, ...]
    examples: int
    expected: float
    low: float
    high: float
    doubled: float
    best: float
    champion: float | None
    chance: float | None
    skip: bool
    sentence: str


def fit_curve(points: Sequence[Point], *, seed: int) -> Curve:
    """Fit e(n) = a + b n^-c to *points*, at least three on the same cases; the draws carry what is not known.

    Each draw weighs the cases anew (Bayesian bootstrap, Rubin 1981), adds the noise of a training, and takes an
    exponent with the probability that the fit gives it; floor and drop follow by least squares, neither negative.
    With few examples a model may still guess, and no power law holds (the small-data region of Hestness et al.):
    so a curve through the last two points alone competes, the others being worth nothing to it.
    """
    generator = np.random.default_rng(seed)
    wrong = np.array([[not right for right in point.right] for point in points], np.float64)  # (points, cases)
    sizes = np.array([point.examples for point in points], np.float64)
    weights = generator.dirichlet(np.ones(wrong.shape[1]), _DRAWS)  # (draws, cases)
    noise = generator.normal(0.0, _NOISE, (_DRAWS, len(points)))
    errors = np.clip(weights @ wrong.T + noise, 0.0, 1.0)  # (draws, points)
    mean = wrong.mean(axis=1)
    variance = _NOISE**2 + float((mean * (1 - mean)).mean()) / wrong.shape[1]
    whole, last = _solve(sizes, errors), _solve(sizes[-2:], errors[:, -2:])
    # What the last two leave out had any error between 0 and 1: density 1, where a fit has that of a Gaussian.
    unread = (len(points) - 2) * np.log(2 * np.pi * variance) / 2
    misfits = np.concatenate([whole.misfit / (2 * variance), last.misfit / (2 * variance) - unread], axis=1)
    rows, picked = np.arange(_DRAWS), _pick(misfits, generator)
    floors, drops = np.hstack([whole.floor, last.floor]), np.hstack([whole.drop, last.drop])
    return Curve(floors[rows, picked], drops[rows, picked], np.tile(_EXPONENTS, 2)[picked], weights)


def forecast(
    points: Sequence[Point], examples: int, champion: Sequence[bool] | None, *, least: float, seed: int
) -> Forecast:
    """Forecast a training on *examples* examples from *points*; skip it when its chance is below *least*.

    *champion* says which of the same cases the champion answers right; without one nothing is skipped.
    """
    curve = fit_curve(points, seed=seed)
    reached = curve.success_at(examples)
    chance = None
    if champion is not None:
        rival = curve.weights @ np.array(champion, np.float64)
        chance = float(np.mean(reached > rival))
    low, high = np.quantile(reached, [0.05, 0.95])
    plain = Forecast(
        points=tuple(Reached(point.examples, _mean(point.right)) for point in points),
        examples=examples,
        expected=_digits(np.median(reached)),
        low=_digits(low),
        high=_digits(high),
        doubled=_digits(np.median(curve.success_at(2 * examples) - reached)),
        best=_digits(np.median(1.0 - curve.floor)),
        champion=None if champion is None else _mean(champion),
        chance=None if chance is None else _digits(chance),
        skip=chance is not None and chance < least,
        sentence="",
    )
    return msgspec.structs.replace(plain, sentence=_sentence(plain, least))


class _Fit(NamedTuple):
    """Floor, drop and squared misfit of the best curve, each (draws, exponents)."""

    floor: "Array"
    drop: "Array"
    misfit: "Array"


def _solve(sizes: "Array", errors: "Array") -> _Fit:
    powers = sizes[None, :] ** -_EXPONENTS[:, None]  # (exponents, points)
    centre = powers.mean(axis=1)
    spread = powers - centre[:, None]
    mean = errors.mean(axis=1)[:, None]  # (draws, 1)
    drop = np.maximum(0.0, errors @ spread.T / (spread**2).sum(axis=1))  # (draws, exponents)
    floor = mean - drop * centre
    # Where the floor would be negative it is 0, and the drop is fitted through the origin.
    through = errors @ powers.T / (powers**2).sum(axis=1)
    drop, floor = np.where(floor < 0, through, drop), np.maximum(floor, 0.0)
    fitted = floor[:, :, None] + drop[:, :, None] * powers[None]  # (draws, exponents, points)
    return _Fit(floor, drop, np.asarray(((fitted - errors[:, None, :]) ** 2).sum(axis=2)))


def _pick(misfits: "Array", generator: np.random.Generator) -> "NDArray[np.intp]":
    # The least misfit is taken off first, so that exp() does not underflow.
    likely = np.exp(misfits.min(axis=1, keepdims=True) - misfits)
    edges = np.cumsum(likely, axis=1) / likely.sum(axis=1, keepdims=True)
    passed = (edges < generator.random((len(misfits), 1))).sum(axis=1)
    return np.asarray(np.minimum(passed, misfits.shape[1] - 1), np.intp)


def _sentence(found: Forecast, least: float) -> str:
    told = (
        f"{found.examples:,} examples would bring about {found.expected:.1%} right "
        f"({found.low:.1%} to {found.high:.1%} with probability 0.9), twice as many {found.doubled:+.1%} more"
    )
    if found.champion is None or found.chance is None:
        return told
    rival = f"the chance to beat the champion's {found.champion:.1%} is {found.chance:.0%}"
    return f"{told}; {rival}, below the {least:.0%} asked for: skipped" if found.skip else f"{told}; {rival}"


def _mean(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 6)


def _digits(value: Any) -> float:
    return round(float(value), 4)

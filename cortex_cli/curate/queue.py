"""What to ask a person next: the interactions whose verdict teaches most, and no two of the same kind.

In: a way to iterate interactions, used twice, and what was said about them. Out: a short list, best first, each with its
score and the reasons in words. The same journal gives the same list.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from cortex_cli.curate.normal import hash64, normalise
from cortex_cli.curate.profiles import NONE, OTHER
from cortex_cli.curate.verdicts import Spoken, Verdicts, is_accepted
from cortex_cli.domain.interactions import Interaction
from cortex_cli.stats.shares import exact_interval

__all__ = ["Pick", "QueueLimits", "build_queue", "score_interaction"]

# Points of each reason. People who disagree cannot be settled by anybody else; what lies at the threshold decides
# about one example more or less; a model's doubt is a hint; a weak domain is where examples are missing.
_DISAGREE = 4.0
_NEAR = 3.0
_DOUBT = 2.0
_WEAK = 2.0
_UNJUDGED = 1.0
_UNKNOWN = 0.5
# A domain is told as weak when less than this of its answers are accepted for sure.
_WEAK_BOUND = 0.5
_DOUBTFUL = 0.6
# Every pick of a domain makes the next one of it worth a fifth less, so that others get their turn.
_AGAIN = 0.8
# Texts that share so much of their shingles ask the same; the threshold of the duplicates of a dataset.
_ALIKE = 0.8
# Candidates kept per domain while reading, in lengths of the list; and domains kept apart.
_KEPT = 8
_MOST_DOMAINS = 200
_DIGITS = re.compile(r"\d+")


class QueueLimits(NamedTuple):
    """How many to ask for, how many of one request, and the thresholds on [0, 1] that curation decides by.

    The defaults are those of the presets: a score above 0.9, a quality of at least 4 on the scale from 1 to 5.
    *near* is how far from a threshold still counts as near.
    """

    limit: int = 20
    per_request: int = 1
    score: float = 0.9
    quality: float = 0.75
    near: float = 0.1
    reviewer: str = ""


class Pick(msgspec.Struct, frozen=True):
    """An interaction to ask about: its id, agent and domain, what it scores, and why in words, the best reason first."""

    id: str
    agent: str
    domain: str
    score: float
    reasons: tuple[str, ...]


class _Candidate(NamedTuple):
    """A pick with its request in normal form; the order is the best score first, then the id."""

    order: tuple[float, str]
    pick: Pick
    request: str


def build_queue(
    interactions: Callable[[], Iterable[Interaction]],
    verdicts: Verdicts,
    limits: QueueLimits = QueueLimits(),  # noqa: B008 - a tuple, which nobody can change
) -> list[Pick]:
    """Return what to ask about, best first, spread over domains and without near-identical requests.

    Left out is what a person has judged without contradiction, what the reviewer has judged, and what has no request
    or broke off with an error. In memory: a few hundred candidates per domain.
    """
    bounds = _domain_bounds(interactions(), verdicts)
    pools: dict[str, _Pool] = {}
    for interaction in interactions():
        spoken = verdicts.on(interaction)
        if _is_settled(interaction, spoken, limits.reviewer):
            continue
        domain = interaction.domain or NONE
        pick = score_interaction(interaction, spoken, bounds.get(domain, 0.0), limits)
        name = domain if domain in pools or len(pools) < _MOST_DOMAINS else OTHER
        pools.setdefault(name, _Pool(limits)).offer(pick, _request(interaction))
    return _choose([pool.best() for pool in pools.values()], limits)


def score_interaction(interaction: Interaction, spoken: Spoken, bound: float, limits: QueueLimits) -> Pick:
    """Score one interaction; *bound* is the share of its domain's answers that are accepted for sure."""
    points = [
        _disagreement(spoken),
        _nearness(interaction, spoken, limits),
        _doubt(interaction),
        (_WEAK * (1 - bound), f"weak domain: at least {bound:.0%} accepted" if bound < _WEAK_BOUND else ""),
        _silence(interaction, spoken),
    ]
    told = sorted((point for point in points if point[1]), key=lambda point: -point[0])
    score = round(sum(worth for worth, _ in points), 6)
    domain = interaction.domain or NONE
    return Pick(interaction.id, interaction.agent, domain, score, tuple(words for _, words in told))


class _Pool:
    """The best candidates of one domain, at most so many of one request."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._requests: dict[int, list[_Candidate]] = {}
        self._count = 0

    def offer(self, pick: Pick, request: str) -> None:
        """Keep *pick* if it is among the best so far."""
        alike = self._requests.setdefault(hash64(request), [])
        alike.append(_Candidate((-pick.score, pick.id), pick, request))
        alike.sort(key=lambda candidate: candidate.order)
        self._count += 1 - len(alike[self._limits.per_request :])
        del alike[self._limits.per_request :]
        if self._count > 2 * _KEPT * self._limits.limit:
            self._prune()

    def best(self) -> list[_Candidate]:
        """Return the best candidates, best first."""
        found = sorted((each for alike in self._requests.values() for each in alike), key=lambda each: each.order)
        return found[: _KEPT * self._limits.limit]

    def _prune(self) -> None:
        kept = self.best()
        self._requests = {}
        for candidate in kept:
            self._requests.setdefault(hash64(candidate.request), []).append(candidate)
        self._count = len(kept)


def _domain_bounds(interactions: Iterable[Interaction], verdicts: Verdicts) -> dict[str, float]:
    judged: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for interaction in interactions:
        verdict = is_accepted(interaction, verdicts.on(interaction))
        if verdict is not None:
            judged[interaction.domain or NONE] += 1
            accepted[interaction.domain or NONE] += verdict
    return {domain: exact_interval(accepted[domain], count).low for domain, count in judged.items()}


def _is_settled(interaction: Interaction, spoken: Spoken, reviewer: str) -> bool:
    if interaction.error or interaction.outcome == "error" or not _request(interaction):
        return True
    if reviewer and hash64(reviewer) in spoken.people:
        return True
    return bool(spoken.people) and not (spoken.yes and spoken.no)


def _disagreement(spoken: Spoken) -> tuple[float, str]:
    if spoken.yes and spoken.no:
        return _DISAGREE, f"judges disagree: {spoken.yes} yes, {spoken.no} no"
    if spoken.scores and spoken.scores[-1] - spoken.scores[0] > 0.5:
        return _DISAGREE, f"scores disagree: {spoken.scores[0]:.2f} to {spoken.scores[-1]:.2f} of 1"
    return 0.0, ""


def _nearness(interaction: Interaction, spoken: Spoken, limits: QueueLimits) -> tuple[float, str]:
    found: list[tuple[float, str]] = []
    if spoken.scores:
        mean = sum(spoken.scores) / len(spoken.scores)
        found.append((abs(mean - limits.score), f"near the threshold: score {mean:.2f}, {limits.score:g} decides"))
    scale = interaction.quality_scale
    if interaction.quality is not None and scale is not None and scale.low < scale.high:
        quality = (interaction.quality - scale.low) / (scale.high - scale.low)
        words = f"near the threshold: quality {quality:.2f}, {limits.quality:g} decides"
        found.append((abs(quality - limits.quality), words))
    distance, words = min(found, default=(1.0, ""))
    return (_NEAR * (1 - distance / limits.near), words) if distance < limits.near else (0.0, "")


def _doubt(interaction: Interaction) -> tuple[float, str]:
    confidence = _number(interaction.meta.get("confidence", ""))
    if confidence is None:
        logprob = _number(interaction.meta.get("logprob", ""))
        confidence = None if logprob is None else math.exp(min(0.0, logprob))
    if confidence is None or not 0 <= confidence <= 1:
        return 0.0, ""
    return _DOUBT * (1 - confidence), f"low confidence: {confidence:.2f}" if confidence < _DOUBTFUL else ""


def _silence(interaction: Interaction, spoken: Spoken) -> tuple[float, str]:
    if spoken.yes or spoken.no or spoken.scores or spoken.corrected:
        return 0.0, ""
    if interaction.outcome == "unknown" and interaction.quality is None:
        return _UNJUDGED + _UNKNOWN, "never judged, outcome unknown"
    return _UNJUDGED, "never judged by anybody"


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _request(interaction: Interaction) -> str:
    last = next((each.content for each in reversed(interaction.messages) if each.role == "user"), "")
    return _DIGITS.sub("0", normalise(last))


def _choose(pools: list[list[_Candidate]], limits: QueueLimits) -> list[Pick]:
    from cortex_cli.curate.sketches import jaccard, shingle

    # Every pool is sorted, so only its next candidate can be the best; the worst one stands last.
    waiting = {number: pool[::-1] for number, pool in enumerate(pools) if pool}
    chosen: list[Pick] = []
    asked: list[frozenset[object]] = []
    turns: Counter[int] = Counter()
    while waiting and len(chosen) < limits.limit:
        number = min(waiting, key=lambda each: _worth(waiting[each][-1], turns[each]))
        best = waiting[number].pop()
        if not waiting[number]:
            del waiting[number]
        shingles: frozenset[object] = frozenset(shingle(best.request))
        if sum(jaccard(shingles, other) >= _ALIKE for other in asked) < limits.per_request:
            chosen.append(best.pick)
            asked.append(shingles)
            turns[number] += 1
    return chosen


def _worth(candidate: _Candidate, turns: int) -> tuple[float, str]:
    return -candidate.pick.score * _AGAIN**turns, candidate.pick.id

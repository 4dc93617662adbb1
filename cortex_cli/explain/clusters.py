"""Failures in groups: first by what was taken for what, the rest by how alike the requests are."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cortex_cli.explain.answers import label_answer
from cortex_cli.explain.cases import Case, read_request
from cortex_cli.explain.tokens import read_content_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Cluster", "Confusion", "find_clusters", "read_confusion"]

# Cosine of hashed n-grams of the content words from which a request joins a group. On 1,049 failures of
# a nearest-neighbour model on CLINC150: 906 grouped, 63 % of them with the commonest intent of their group;
# on whole requests, where "can you tell me" binds, 47 %; at 0.3 58 %, at 0.5 81 % of 664.
_ALIKE = 0.35
_SHOWN = 3
_NAME_WORDS = 3
_LONGEST_TREND = 400  # days; a longer history is told by the days that have failures


class Confusion(NamedTuple):
    """What should have been answered and what was, each as it is counted; *expected* is empty if unknown."""

    expected: str
    answered: str


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Failures that belong together.

    *by* says what joined them; *confusions* are the three commonest among them. *share* is of all failures. *days* has every day from the first failure of
    all to the last, also those without one. *cases* are ids, oldest first; *shown* the ids nearest to the centre.
    """

    name: str
    by: str
    size: int
    share: float
    expected: str = ""
    answered: str = ""
    confusions: dict[str, int] = {}
    words: tuple[str, ...] = ()
    days: dict[str, int] = {}
    cases: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


def find_clusters(cases: Sequence[Case]) -> list[Cluster]:
    """Group *cases*, the largest cluster first; every case is in exactly one cluster.

    Two or more failures with the same expected and the same given answer are a confusion. The rest is
    gathered around the first request that is alike (cosine of hashed n-grams of the content words), in the order of *cases*.
    """
    if not cases:
        return []
    from cortex_cli.models.embedding import embed_hashed

    vectors = embed_hashed([_read_content(case) for case in cases])  # (cases, dimensions)
    groups, left = _group_confusions(cases)
    found = [("confusion", members) for members in groups]
    found += [("requests", members) for members in _gather_alike(vectors, left)]
    background = Counter(word for case in cases for word in read_content_words(read_request(case.messages)))
    days = _list_days(cases)
    clusters = [_make_cluster(by, members, cases, background, days) for by, members in found]
    shown = [_nearest_to_centre(vectors, members) for _, members in found]
    named = [
        msgspec.structs.replace(cluster, shown=tuple(cases[number].id for number in numbers))
        for cluster, numbers in zip(clusters, shown, strict=True)
    ]
    return sorted(named, key=lambda cluster: (-cluster.size, cluster.name))


def read_confusion(case: Case) -> Confusion:
    """Return what *case* took for what."""
    expected = label_answer(case.expected, case.judge) if case.expected else ""
    answered = "(error)" if case.error else label_answer(case.output, case.judge) or "(nothing)"
    return Confusion(expected, answered)


def _read_content(case: Case) -> str:
    request = read_request(case.messages)
    return " ".join(read_content_words(request)) or request


def _group_confusions(cases: Sequence[Case]) -> tuple[list[list[int]], list[int]]:
    groups: dict[Confusion, list[int]] = defaultdict(list)
    for number, case in enumerate(cases):
        groups[read_confusion(case)].append(number)
    together = [members for confusion, members in groups.items() if _is_confusion(confusion) and len(members) > 1]
    grouped = {number for members in together for number in members}
    return together, [number for number in range(len(cases)) if number not in grouped]


def _is_confusion(confusion: Confusion) -> bool:
    return bool(confusion.expected) and confusion.expected != confusion.answered


def _gather_alike(vectors: "NDArray[np.float32]", left: Sequence[int]) -> list[list[int]]:
    """Return groups of the numbers *left*: each joins the nearest centre that is alike, or begins a group."""
    centres: list[NDArray[np.float32]] = []
    groups: list[list[int]] = []
    for number in left:
        scores = [float(centre @ vectors[number]) / _length(centre) for centre in centres]
        best = max(range(len(scores)), key=scores.__getitem__, default=-1)
        if best >= 0 and scores[best] >= _ALIKE:
            groups[best].append(number)
            centres[best] = centres[best] + vectors[number]
        else:
            groups.append([number])
            centres.append(vectors[number])
    return groups


def _length(vector: "NDArray[np.float32]") -> float:
    return math.sqrt(float(vector @ vector)) or 1.0


def _nearest_to_centre(vectors: "NDArray[np.float32]", members: Sequence[int]) -> list[int]:
    centre = vectors[list(members)].mean(axis=0)
    return sorted(members, key=lambda number: -float(vectors[number] @ centre))[:_SHOWN]


def _make_cluster(
    by: str, members: Sequence[int], cases: Sequence[Case], background: Mapping[str, int], days: Sequence[str]
) -> Cluster:
    own = [cases[number] for number in members]
    confusions = Counter(read_confusion(case) for case in own)
    confusion = next(iter(confusions)) if len(confusions) == 1 else Confusion("", "")
    words = _name_words(own, background)
    counts = Counter(case.time[:10] for case in own)
    return Cluster(
        name=_name(confusion, words),
        by=by if len(own) > 1 else "alone",
        size=len(own),
        share=round(len(own) / len(cases), 4),
        expected=confusion.expected,
        answered=confusion.answered,
        confusions={_name(kind, ()): count for kind, count in confusions.most_common(3) if _is_confusion(kind)},
        words=words,
        days={day: counts[day] for day in days},
        cases=tuple(case.id for case in own),
    )


def _name(confusion: Confusion, words: Sequence[str]) -> str:
    spoken = ", ".join(words)
    if _is_confusion(confusion):
        return f"{confusion.expected} taken for {confusion.answered}" + (f": {spoken}" if spoken else "")
    return spoken or "(no words)"


def _name_words(own: Sequence[Case], background: Mapping[str, int]) -> tuple[str, ...]:
    # The commonest words, held back by how much of a word lies in other clusters.
    counts = Counter(word for case in own for word in read_content_words(read_request(case.messages)))
    ranked = sorted(counts, key=lambda word: (-counts[word] * math.sqrt(counts[word] / background[word]), word))
    return tuple(ranked[:_NAME_WORDS])


def _list_days(cases: Iterable[Case]) -> list[str]:
    days = sorted({case.time[:10] for case in cases if case.time})
    if not days:
        return []
    try:
        first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
    except ValueError:
        return days
    length = (last - first).days + 1
    return days if length > _LONGEST_TREND else [str(first + timedelta(days=day)) for day in range(length)]

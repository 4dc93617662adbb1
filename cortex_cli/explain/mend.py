"""What would mend it, as far as counts can say: suggestions, each with the facts that it follows from.

No effect is predicted here: only a new training run can prove one.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

import msgspec

from cortex_cli.domain.examples import Example
from cortex_cli.explain.answers import Known, label_answer
from cortex_cli.explain.cases import Case, Judge, read_request
from cortex_cli.explain.clusters import Confusion, read_confusion
from cortex_cli.explain.neighbours import Neighbour
from cortex_cli.explain.tokens import read_words

__all__ = [
    "AddDemonstrations",
    "CollectHere",
    "Conflict",
    "Relabel",
    "Suggestion",
    "describe_suggestion",
    "find_conflicts",
    "suggest_for_case",
    "suggest_for_confusion",
]

# Share of common words (Jaccard) from which two requests ask the same: one word of five may differ.
_SAME = 0.8
# Cosine of hashed n-grams with the nearest of 15,000 training requests of CLINC150: 95 % of covered
# requests are above 0.46, half of those out of scope are below.
_FAR = 0.45
# What may come or go without changing what is asked; `not` or `who` may not.
_MANNERS = frozenset({"a", "an", "the", "please", "hey", "hi", "hello", "ok", "okay", "thanks"})
_MOST_CONFLICTS = 20


class AddDemonstrations(msgspec.Struct, frozen=True, tag="add-demonstrations"):
    """Correct more requests whose answer is *expected*: training holds few of it, or failures repeat.

    *trained* examples give this answer, *rival* give *answered*; *failures* took the one for the other.
    *median* is how many examples an answer has.
    """

    expected: str
    answered: str
    trained: int
    rival: int
    median: int
    failures: int


class CollectHere(msgspec.Struct, frozen=True, tag="collect-here"):
    """Collect and judge requests like *request*: the nearest training request has only this *cosine*."""

    request: str
    nearest: str
    cosine: float


class Relabel(msgspec.Struct, frozen=True, tag="relabel"):
    """Look again at two training examples: they ask nearly the same and are answered differently."""

    first: str
    second: str
    request: str
    other_request: str
    answer: str
    other_answer: str


Suggestion = AddDemonstrations | CollectHere | Relabel
Conflict = Relabel


def suggest_for_case(case: Case, known: Known, similar: Sequence[Neighbour], *, failures: int = 1) -> list[Suggestion]:
    """Return what would mend *case*, given what is *known* of the training answers and *similar* examples.

    *failures* is how many failures made the same confusion, this one included.
    """
    found: list[Suggestion] = [*_conflicts_near(case, similar)]
    found += suggest_for_confusion(read_confusion(case), known, failures)
    cosines = [(neighbour.cosine, neighbour.request) for neighbour in similar if neighbour.cosine is not None]
    cosine, nearest = max(cosines, default=(0.0, ""))
    if cosine < _FAR:
        found.append(CollectHere(read_request(case.messages), nearest, round(cosine, 4)))
    return found


def suggest_for_confusion(confusion: Confusion, known: Known, failures: int) -> list[Suggestion]:
    """Return what would mend *failures* of one *confusion*; empty when they are not a matter of numbers."""
    if not confusion.expected or confusion.expected == confusion.answered:
        return []
    trained, median = known.labels.get(confusion.expected, 0), _median(known.labels.values())
    if trained >= median and failures < 2:
        return []
    rival = known.labels.get(confusion.answered, 0)
    return [AddDemonstrations(confusion.expected, confusion.answered, trained, rival, median, failures)]


def find_conflicts(examples: Collection[Example], judge: Judge, most: int = _MOST_CONFLICTS) -> list[Conflict]:
    """Return pairs of *examples* that ask the same, but for order and manners, and are answered differently.

    At most *most*, in the order of the examples; one pass, which holds one entry per different request.
    """
    seen: dict[frozenset[str], Example] = {}
    found: list[Conflict] = []
    for example in examples:
        words = _key(read_request(example.messages))
        first = seen.setdefault(words, example)
        if words and label_answer(first.answer, judge) != label_answer(example.answer, judge):
            found.append(_conflict(first.id, first, example))
            if len(found) == most:
                break
    return found


def describe_suggestion(suggestion: Suggestion) -> str:
    """Say *suggestion* and its facts in one sentence."""
    if isinstance(suggestion, AddDemonstrations):
        few = f", the median answer {suggestion.median:,}" if suggestion.trained < suggestion.median else ""
        times = "1 failure took" if suggestion.failures == 1 else f"{suggestion.failures:,} failures took"
        return (
            f"add demonstrations of '{suggestion.expected}': training holds {suggestion.trained:,} of it and "
            f"{suggestion.rival:,} of '{suggestion.answered}'{few}; {times} it for that"
        )
    if isinstance(suggestion, CollectHere):
        nearest = f'; the nearest is "{suggestion.nearest}"' if suggestion.nearest else ""
        return f"collect here: no training request is like this one (cosine {suggestion.cosine:.2f}){nearest}"
    return (
        f'relabel one of {suggestion.first} and {suggestion.second}: "{suggestion.request}" is answered '
        f'{suggestion.answer}, "{suggestion.other_request}" is answered {suggestion.other_answer}'
    )


def _conflicts_near(case: Case, similar: Sequence[Neighbour]) -> list[Conflict]:
    request = set(read_words(read_request(case.messages)))
    same = [item for item in similar if _jaccard(request, set(read_words(item.request))) >= _SAME]
    if case.expected:
        # The demonstration itself is one side: whatever says otherwise for the same request is the other.
        wrong = [item for item in same if not _agree(item.answer, case.expected, case.judge)]
        return [
            Relabel(item.id, case.id, item.request, read_request(case.messages), item.answer, case.expected)
            for item in wrong
        ]
    pairs = combinations(same, 2)
    return [_conflict(one.id, one, two) for one, two in pairs if not _agree(one.answer, two.answer, case.judge)]


def _conflict(first: str, one: Example | Neighbour, two: Example | Neighbour) -> Conflict:
    return Relabel(first, two.id, _request(one), _request(two), one.answer, two.answer)


def _request(item: Example | Neighbour) -> str:
    return item.request if isinstance(item, Neighbour) else read_request(item.messages)


def _agree(one: str, two: str, judge: Judge) -> bool:
    return label_answer(one, judge) == label_answer(two, judge)


def _key(request: str) -> frozenset[str]:
    return frozenset(word for word in read_words(request) if word not in _MANNERS)


def _jaccard(one: set[str], two: set[str]) -> float:
    return len(one & two) / len(one | two) if one | two else 0.0


def _median(counts: Iterable[int]) -> int:
    ranked = sorted(counts)
    return ranked[len(ranked) // 2] if ranked else 0

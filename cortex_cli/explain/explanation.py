"""One explanation from all findings, so that each of them rests on the same case and examples."""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from cortex_cli.domain.examples import Example
from cortex_cli.explain.answers import Known, count_answers
from cortex_cli.explain.attribution import Attribution, Score, attribute_words
from cortex_cli.explain.cases import Case, read_request
from cortex_cli.explain.mend import Suggestion, suggest_for_case
from cortex_cli.explain.neighbours import Neighbour, find_neighbours
from cortex_cli.explain.spans import Span, find_spans
from cortex_cli.explain.symptoms import Symptom, find_symptoms

__all__ = ["Basis", "Explanation", "Ground", "explain_case"]


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """The examples that a case is held against: a dataset version and its training rows.

    *trained* tells whether the model that answered learned from them; if not, they only show what is known.
    """

    dataset: str = ""
    rows: int = 0
    trained: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """What an explanation rests on: *basis* and its *examples*, and what is usual.

    *examples* are passed over several times. *usual* is the mean log-probability per token that right
    answers reach; *failures* how many failures made the same confusion, this one included.
    """

    basis: Basis
    examples: Collection[Example]
    usual: float | None = None
    failures: int = 1


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What can be said about one case; *notes* say what could not be looked at and why.

    *similar* examples are alike, and nothing more is claimed of them.
    """

    case: Case
    basis: Basis
    symptoms: tuple[Symptom, ...]
    attribution: Attribution | None
    answer_spans: tuple[Span, ...]
    request_spans: tuple[Span, ...]
    similar: tuple[Neighbour, ...]
    suggestions: tuple[Suggestion, ...]
    notes: tuple[str, ...] = ()


def explain_case(case: Case, ground: Ground, *, score: Score | None = None) -> Explanation:
    """Find symptoms, words, spans, similar examples and suggestions for *case*; without *score*, no words."""
    examples, judge = ground.examples, case.judge
    known: Known = count_answers(examples, judge)
    similar = find_neighbours(case, examples)
    request = read_request(case.messages)
    attribution = attribute_words(case.messages, case.output, score, against=case.expected) if score else None
    return Explanation(
        case=case,
        basis=ground.basis,
        symptoms=tuple(find_symptoms(case, known if known.total else None, ground.usual)),
        attribution=attribution,
        answer_spans=tuple(find_spans(case.output, examples, "answers", judge=judge)),
        request_spans=tuple(find_spans(request, examples, "requests", judge=judge, most=5)),
        similar=tuple(similar),
        suggestions=tuple(suggest_for_case(case, known, similar, failures=ground.failures)) if known.total else (),
    )

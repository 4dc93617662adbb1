"""Training examples that are like a request: by its words (BM25) and by its letters (hashed n-grams).

They are called similar and never a cause: that an example is alike does not say that it taught anything.
"""

import heapq
import math
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Literal, NamedTuple

import msgspec

from cortex_cli.domain.examples import Example
from cortex_cli.explain.answers import same_answer
from cortex_cli.explain.cases import Case, read_request
from cortex_cli.explain.tokens import read_words

__all__ = ["Neighbour", "Ranked", "find_neighbours", "rank_by_embedding", "rank_by_words"]

# Usual values, Robertson & Zaragoza 2009, section 3.3: k1 how soon repetition stops to count, b how
# much long documents are held back.
_K1, _B = 1.2, 0.75
_CHUNK = 2048  # examples embedded at once: 8 MB of vectors


class Ranked(NamedTuple):
    """An example and how it ranked; scores of different methods cannot be compared."""

    score: float
    example: Example


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """A similar training example: how similar by words (*bm25*) and by letters (*cosine*), None if not by that.

    *answers_as* tells whether it is answered as the case was, as it should have been, or otherwise.
    """

    id: str
    request: str
    answer: str
    answers_as: Literal["answered", "expected", "otherwise"]
    bm25: float | None = None
    cosine: float | None = None
    source: str = ""
    domain: str = ""
    time: str = ""
    interaction: str = ""
    replayed: bool = False


def find_neighbours(case: Case, examples: Collection[Example], k: int = 5) -> list[Neighbour]:
    """Return the union of the *k* examples nearest by words and the *k* nearest by embedding, best by words first."""
    request = read_request(case.messages)
    by_words = {ranked.example.id: ranked for ranked in rank_by_words(request, examples, k)}
    by_letters = {ranked.example.id: ranked for ranked in rank_by_embedding(request, examples, k)}
    merged = by_words | {id_: ranked for id_, ranked in by_letters.items() if id_ not in by_words}
    return [
        _make_neighbour(case, ranked.example, _score(by_words.get(id_)), _score(by_letters.get(id_)))
        for id_, ranked in merged.items()
    ]


def rank_by_words(query: str, examples: Collection[Example], k: int) -> list[Ranked]:
    """Return the *k* examples whose requests rank highest by BM25, best first; none that shares no word.

    score = sum over words t of the query of idf(t) * tf (k1 + 1) / (tf + k1 (1 - b + b dl / avdl)), with
    idf(t) = ln(1 + (N - df + 0.5) / (df + 0.5)): Robertson & Zaragoza 2009, "The Probabilistic Relevance
    Framework: BM25 and Beyond", equation 3.15; the 1 in idf, as in Lucene, keeps common words from
    counting against. Two passes; nothing is held but the best.
    """
    wanted = Counter(read_words(query))
    frequency: Counter[str] = Counter()
    length = 0
    for example in examples:
        words = read_words(read_request(example.messages))
        length += len(words)
        frequency.update(wanted.keys() & set(words))
    total = len(examples)
    idf = {word: math.log(1 + (total - df + 0.5) / (df + 0.5)) for word, df in frequency.items()}
    weights = {word: wanted[word] * value for word, value in idf.items()}
    return _best(_score_words(weights, examples, length / max(1, total)), k)


def rank_by_embedding(query: str, examples: Collection[Example], k: int) -> list[Ranked]:
    """Return the *k* examples whose requests have the highest cosine with *query*, best first; none at or below 0."""
    return _best(_score_letters(query, examples), k)


def _score_words(weights: dict[str, float], examples: Collection[Example], average: float) -> Iterator[Ranked]:
    for example in examples:
        words = read_words(read_request(example.messages))
        counts = Counter(word for word in words if word in weights)
        if counts:
            held = _K1 * (1 - _B + _B * len(words) / average)
            yield Ranked(sum(weights[word] * tf * (_K1 + 1) / (tf + held) for word, tf in counts.items()), example)


def _score_letters(query: str, examples: Collection[Example]) -> Iterator[Ranked]:
    from cortex_cli.models.embedding import embed_hashed

    target = embed_hashed([query])[0]
    stream = iter(examples)
    while chunk := list(islice(stream, _CHUNK)):
        vectors = embed_hashed([read_request(example.messages) for example in chunk])  # (chunk, dimensions)
        for score, example in zip((vectors @ target).tolist(), chunk, strict=True):
            if score > 0:
                yield Ranked(score, example)


def _best(ranked: Iterator[Ranked], k: int) -> list[Ranked]:
    # Equal scores keep the order of the examples, so that an explanation is the same twice.
    return heapq.nlargest(k, ranked, key=lambda item: item.score)


def _score(ranked: Ranked | None) -> float | None:
    return None if ranked is None else round(ranked.score, 4)


def _make_neighbour(case: Case, example: Example, bm25: float | None, cosine: float | None) -> Neighbour:
    return Neighbour(
        id=example.id,
        request=read_request(example.messages),
        answer=example.answer,
        answers_as=_compare(case, example.answer),
        bm25=bm25,
        cosine=cosine,
        source=example.source,
        domain=example.domain,
        time=example.time,
        interaction=example.interaction,
        replayed=example.replayed,
    )


def _compare(case: Case, answer: str) -> Literal["answered", "expected", "otherwise"]:
    if case.expected and same_answer(answer, case.expected, case.judge):
        return "expected"
    return "answered" if same_answer(answer, case.output, case.judge) else "otherwise"

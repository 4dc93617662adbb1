"""Exact spans of an answer or a request in the training examples, counted by domain, source and month.

An n-gram that stands in training stands there; no model is asked, and nothing is said of its effect.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from cortex_cli.domain.examples import Example
from cortex_cli.explain.answers import label_answer
from cortex_cli.explain.cases import Judge, read_request
from cortex_cli.explain.tokens import STOP_WORDS, iter_pieces, read_pieces

__all__ = ["Span", "describe_span", "find_spans"]

Gram = tuple[str, ...]
Where = Literal["answers", "requests"]

_LONGEST = 8  # pieces; a longer copy is found as its first and last eight
_TEXT = 400  # pieces of the text that are looked up: 400 x 8 n-grams bound time and memory
# A piece in more of the examples than this is their frame, such as `{"tool": "`, and tells nothing.
_FRAME = 0.9
_READ: dict[Where, Callable[[Example], str]] = {
    "answers": lambda example: example.answer,
    "requests": lambda example: read_request(example.messages),
}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of text and where it stands in training: *count* of *total* examples hold it.

    *domains*, *sources*, *months* and *answers* (by what they amount to) split the count; the last
    holds the five commonest. *month_totals* has all examples of these months, whether they hold it or not.
    """

    text: str
    where: Where
    count: int
    total: int
    domains: dict[str, int] = {}
    sources: dict[str, int] = {}
    months: dict[str, int] = {}
    month_totals: dict[str, int] = {}
    answers: dict[str, int] = {}


def find_spans(
    text: str, examples: Collection[Example], where: Where, *, judge: Judge = "exact", most: int = 8
) -> list[Span]:
    """Find the telling spans of *text* in *where* of the *examples*, at most *most*, the most telling first.

    A name or flag that stands nowhere comes before all; then what is long and rare. The examples are
    passed over three times and never held.
    """
    total = len(examples)
    grams = _read_grams(text)
    if not grams or not total:
        return []
    counts = _count_grams(grams, examples, _READ[where])
    chosen = _choose(grams, counts, total, most)
    tallies = _tally(chosen, examples, where, judge)
    return [Span(text=grams[gram], where=where, count=counts[gram], total=total, **tallies[gram]) for gram in chosen]


def describe_span(span: Span) -> str:
    """Say in one sentence where *span* stands."""
    noun = "training answers" if span.where == "answers" else "training requests"
    if not span.count:
        return f"`{span.text}` stands in none of {span.total:,} {noun}"
    share = span.count / span.total
    head = f"`{span.text}` stands in {span.count:,} of {span.total:,} {noun}" + (f" ({share:.0%})" * (share >= 0.01))
    parts = [_describe_share("domain", span.domains, span.count), _describe_month(span)]
    if span.where == "requests":
        parts.append(_describe_share("answer", span.answers, span.count))
    return ", ".join([head, *filter(None, parts)])


def _describe_share(word: str, split: Mapping[str, int], count: int) -> str:
    named = {name: share for name, share in split.items() if name}
    if not named:
        return ""
    name, most = max(named.items(), key=lambda item: item[1])
    if most < count:
        return f"{most:,} of {word} {name}"
    return f"of {word} {name}" if count == 1 else f"all of {word} {name}"


def _describe_month(span: Span) -> str:
    """Say in which month the span is densest; nothing where one month is all there is."""
    dated = {month: count for month, count in span.months.items() if month}
    if not dated or span.month_totals.get(next(iter(dated))) == span.total:
        return ""
    month = max(dated, key=lambda name: dated[name] / span.month_totals[name])
    count, total = dated[month], span.month_totals[month]
    return f"{count / total:.0%} of {month}" if count > 0.01 * total else f"{count:,} of {total:,} in {month}"


def _read_grams(text: str) -> dict[Gram, str]:
    """Return every n-gram of *text* with the text it was read from."""
    places = list(iter_pieces(text))[:_TEXT]
    grams: dict[Gram, str] = {}
    for first in range(len(places)):
        for last in range(first, min(first + _LONGEST, len(places))):
            gram = tuple(piece for piece, _, _ in places[first : last + 1])
            grams.setdefault(gram, text[places[first][1] : places[last][2]])
    return grams


def _count_grams(
    grams: Mapping[Gram, str], examples: Collection[Example], read: Callable[[Example], str]
) -> Counter[Gram]:
    @lru_cache(maxsize=1 << 12)  # answers repeat: 150 different ones among 15,000 of an intent task
    def found(text: str) -> frozenset[Gram]:
        return frozenset(gram for gram in _iter_grams(text) if gram in grams)

    counts: Counter[Gram] = Counter()
    for example in examples:
        counts.update(found(read(example)))
    return counts


def _iter_grams(text: str) -> Iterator[Gram]:
    pieces = read_pieces(text)
    for first in range(len(pieces)):
        for last in range(first + 1, min(first + _LONGEST, len(pieces)) + 1):
            yield pieces[first:last]


def _choose(grams: Mapping[Gram, str], counts: Counter[Gram], total: int, most: int) -> list[Gram]:
    frame = {gram[0] for gram in grams if len(gram) == 1 and counts[gram] > _FRAME * total}
    unknown: list[Gram] = [gram for gram in grams if len(gram) == 1 and not counts[gram] and _tells(gram, frame)]
    present = [gram for gram in grams if counts[gram] and _tells(gram, frame)]
    present.sort(key=lambda gram: -_weigh(gram, counts[gram], total))
    chosen: list[Gram] = unknown[:most]
    for gram in present:
        if len(chosen) >= most:
            break
        # A span beside one that holds it, or is held by it, would say the same twice.
        if not any(_is_in(gram, other) or _is_in(other, gram) for other in chosen):
            chosen.append(gram)
    return chosen


def _weigh(gram: Gram, count: int, total: int) -> float:
    """Return what a span tells: its length, the surprise of finding it, and how often that is borne out."""
    return len(gram) * math.log((total + 1) / count) * math.log(1 + count)


def _tells(gram: Gram, frame: set[str]) -> bool:
    """Tell whether *gram* begins and ends with a name or flag that is neither frame nor function word."""
    edges = (gram[0], gram[-1])
    if any(edge in frame or not any(map(str.isalnum, edge)) for edge in edges):
        return False
    return any(piece.lower() not in STOP_WORDS for piece in gram)


def _is_in(gram: Gram, other: Gram) -> bool:
    return any(other[first : first + len(gram)] == gram for first in range(len(other) - len(gram) + 1))


def _tally(
    chosen: list[Gram], examples: Collection[Example], where: Where, judge: Judge
) -> dict[Gram, dict[str, dict[str, int]]]:
    read, wanted = _READ[where], set(chosen)
    splits: dict[Gram, dict[str, Counter[str]]] = {
        gram: {name: Counter() for name in ("domains", "sources", "months", "answers")} for gram in chosen
    }
    months: Counter[str] = Counter()
    for example in examples:
        months[example.time[:7]] += 1
        for gram in wanted.intersection(_iter_grams(read(example))):
            split = splits[gram]
            split["domains"][example.domain] += 1
            split["sources"][example.source] += 1
            split["months"][example.time[:7]] += 1
            split["answers"][label_answer(example.answer, judge)] += 1
    return {gram: _settle(split, months) for gram, split in splits.items()}


def _settle(split: dict[str, Counter[str]], months: Counter[str]) -> dict[str, dict[str, int]]:
    kept = {name: dict(sorted(split[name].items())) for name in ("domains", "sources", "months")}
    totals = {month: months[month] for month in kept["months"]}
    return {**kept, "month_totals": totals, "answers": dict(split["answers"].most_common(5))}

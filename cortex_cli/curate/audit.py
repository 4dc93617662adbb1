"""What a dataset version is like: balance, lengths, conflicts, suspected poisoning, odd characters, masked data.

In: a way to iterate the examples, which is used once or twice, and counts of the journal behind them. In memory: counts,
and about 100 bytes per example for the search of conflicts and bursts.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from cortex_cli.curate.conflicts import find_conflicts
from cortex_cli.curate.languages import detect_language
from cortex_cli.curate.normal import fold_answer, fold_prompt, hash64
from cortex_cli.curate.poisoning import Burst, BurstLimits, Bursts, Whose
from cortex_cli.curate.profiles import (
    OTHER,
    Profile,
    Profiler,
    count_tokens,
    label_length,
    label_text,
)
from cortex_cli.curate.representation import Balance, Rate, compare_rates, weigh_groups
from cortex_cli.curate.symptoms import count_placeholders, find_hidden, find_orders
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Interaction

__all__ = ["Arranged", "Audit", "Conflicts", "Lengths", "Reference", "Suspect", "Symptom", "audit_examples"]

# Samples that are shown of each finding; the counts are complete.
_SAMPLES = 5
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
# Labels that are told of one dimension; rarer ones are `other`.
_MOST_GROUPS = 40


class Lengths(msgspec.Struct, frozen=True):
    """Quantiles at 5, 25, 50, 75, 95 and 100 % of one text, in whitespace-separated words and in characters."""

    text: str
    words: tuple[int, ...]
    characters: tuple[int, ...]


class Conflicts(msgspec.Struct, frozen=True):
    """Requests that are the same when folded and have different answers, the examples among them, and samples by id."""

    requests: int
    examples: int
    samples: tuple[tuple[str, ...], ...]


class Suspect(msgspec.Struct, frozen=True):
    """A suspected burst of near-identical answers; see `poisoning.Burst`. *examples* are ids of a few of them.

    *source* is the hash of the origin's or user's name; *name* is filled in by who knows it.
    """

    kind: str
    source: int
    requests: int
    made: int
    elsewhere: float
    chance: float
    start: int
    examples: tuple[str, ...]
    name: str = ""


class Arranged(msgspec.Struct, frozen=True):
    """A source that is sorted by answer, or flooded; see `poisoning.Ordered`. *source* and *name* as in `Suspect`."""

    kind: str
    source: int
    answers: int
    examples: int
    name: str = ""


class Symptom(msgspec.Struct, frozen=True):
    """Something that does not belong into a text: what and where, in how many examples, and ids of a few."""

    what: str
    examples: int
    samples: tuple[str, ...]


class Audit(msgspec.Struct, frozen=True):
    """All findings on one dataset version. *masked* counts placeholders by kind, *rates* by dimension."""

    examples: int
    balances: tuple[Balance, ...]
    rates: dict[str, tuple[Rate, ...]]
    lengths: tuple[Lengths, ...]
    conflicts: Conflicts
    suspects: tuple[Suspect, ...]
    ordered: tuple[Arranged, ...]
    symptoms: tuple[Symptom, ...]
    masked: dict[str, int]
    profile: Profile

    @property
    def suspicious(self) -> bool:
        """Tell whether anything points at poisoning: a burst, hidden characters, orders to a model."""
        return bool(self.suspects or self.symptoms)


class Reference:
    """The journal that a version was made from, in counts: interactions by group, and how many of them were accepted."""

    def __init__(self) -> None:
        self.interactions: dict[str, Counter[str]] = {
            name: Counter() for name in ("domain", "language", "month", "prompt_length")
        }
        self.judged: dict[str, Counter[str]] = {"domain": Counter(), "language": Counter()}
        self.accepted: dict[str, Counter[str]] = {"domain": Counter(), "language": Counter()}

    def add(self, interaction: Interaction, *, accepted: bool | None) -> None:
        """Count one interaction, and its verdict where there is one."""
        request = next((each.content for each in reversed(interaction.messages) if each.role == "user"), "")
        labels = {
            "domain": label_text(interaction.domain),
            "language": detect_language(request),
            "month": label_text(interaction.time[:7]),
            "prompt_length": label_length(sum(count_tokens(each.content) for each in interaction.messages)),
        }
        for name, label in labels.items():
            self.interactions[name][label] += 1
        if accepted is None:
            return
        for name, counts in self.judged.items():
            counts[labels[name]] += 1
            self.accepted[name][labels[name]] += accepted


def audit_examples(
    examples: Callable[[], Iterable[Example]],
    *,
    reference: Reference | None = None,
    whose: Callable[[str], Whose] = lambda _: Whose(),
    limits: BurstLimits = BurstLimits(),  # noqa: B008 - a tuple, which nobody can change
) -> Audit:
    """Audit what *examples* yields, in the light of the journal; *whose* gives the source of an interaction.

    *examples* is called a second time, for the ids of samples, when there are conflicts or bursts.
    """
    audit = _Auditor(whose, Bursts(limits))
    for example in examples():
        audit.add(example)
    return audit.finish(examples, reference or Reference())


class _Auditor:
    """Counts of one pass over the examples."""

    def __init__(self, whose: Callable[[str], Whose], bursts: Bursts) -> None:
        self._whose = whose
        self._bursts = bursts
        self._profiler = Profiler()
        self._prompts = array("Q")
        self._answers = array("Q")
        self._labels: dict[str, Counter[str]] = {name: Counter() for name in ("agent", "month")}
        self._lengths: dict[tuple[str, str], Counter[int]] = {}
        self._symptoms: dict[str, list[str]] = {}
        self._symptom_counts: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()

    def add(self, example: Example) -> None:
        """Count one example."""
        prompt = hash64(fold_prompt(example.messages))
        self._prompts.append(prompt)
        self._answers.append(hash64(fold_answer(example.answer)))
        self._bursts.add(prompt, example.answer, self._whose(example.interaction), _seconds(example.time))
        self._profiler.add(example)
        self._labels["agent"][label_text(example.agent)] += 1
        self._labels["month"][label_text(example.time[:7])] += 1
        texts = {"prompt": "\n".join(message.content for message in example.messages), "answer": example.answer}
        for name, text in texts.items():
            self._lengths.setdefault((name, "words"), Counter())[count_tokens(text)] += 1
            self._lengths.setdefault((name, "characters"), Counter())[len(text)] += 1
            self._masked += count_placeholders(text)
        for what in _find_symptoms(texts):
            self._symptom_counts[what] += 1
            samples = self._symptoms.setdefault(what, [])
            if len(samples) < _SAMPLES:
                samples.append(example.id)

    def finish(self, examples: Callable[[], Iterable[Example]], reference: Reference) -> Audit:
        """Judge what was counted; *examples* are read again where samples need their ids."""
        profile = self._profiler.profile()
        conflicts = find_conflicts(self._prompts, self._answers)
        search = self._bursts.find()
        names = _name(examples, [*conflicts.groups, *(burst.examples[:_SAMPLES] for burst in search.bursts)])
        return Audit(
            examples=profile.examples,
            balances=_weigh({**profile.counts, **self._labels}, reference),
            rates={
                name: _rate(judged, reference.accepted[name]) for name, judged in reference.judged.items() if judged
            },
            lengths=tuple(self._quantiles(name) for name in ("prompt", "answer")),
            conflicts=Conflicts(
                conflicts.requests,
                conflicts.examples,
                tuple(tuple(names[row] for row in group) for group in conflicts.groups),
            ),
            suspects=tuple(_suspect(burst, names) for burst in search.bursts),
            ordered=tuple(Arranged(*each) for each in search.ordered),
            symptoms=tuple(
                Symptom(what, count, tuple(self._symptoms[what]))
                for what, count in sorted(self._symptom_counts.items())
            ),
            masked=dict(sorted(self._masked.items())),
            profile=profile,
        )

    def _quantiles(self, text: str) -> Lengths:
        return Lengths(
            text, *(_find_quantiles(self._lengths.get((text, unit), Counter())) for unit in ("words", "characters"))
        )


def _weigh(counts: dict[str, dict[str, int]], reference: Reference) -> tuple[Balance, ...]:
    found: list[Balance] = []
    for name in sorted(counts):
        groups = _largest(counts[name])
        there = reference.interactions.get(name, Counter())
        found.append(weigh_groups(name, groups, _as_in(groups, there) if there else None))
    return tuple(found)


def _rate(judged: Counter[str], accepted: Counter[str]) -> tuple[Rate, ...]:
    groups = _largest(judged)
    return compare_rates(groups, _as_in(groups, accepted))


def _largest(counts: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = Counter(dict(ordered[:_MOST_GROUPS]))
    return dict(kept + Counter({OTHER: sum(count for _, count in ordered[_MOST_GROUPS:])}))


def _as_in(groups: Mapping[str, int], counts: Counter[str]) -> dict[str, int]:
    """Return *counts* under the labels of *groups*; what has none of them is `other`."""
    found: Counter[str] = Counter()
    for label, count in counts.items():
        found[label if label in groups else OTHER] += count
    return dict(found)


def _find_symptoms(texts: dict[str, str]) -> Iterator[str]:
    for name, text in texts.items():
        for kind in find_hidden(text):
            yield f"{kind} characters in the {name}"
    for kind in find_orders(texts["answer"]):
        yield f"{kind} in the answer"


def _suspect(burst: Burst, names: dict[int, str]) -> Suspect:
    return Suspect(*burst[:-1], tuple(names[row] for row in burst.examples[:_SAMPLES]))


def _name(examples: Callable[[], Iterable[Example]], groups: Iterable[tuple[int, ...]]) -> dict[int, str]:
    """Return the ids of the examples at the positions in *groups*."""
    wanted = {row for group in groups for row in group}
    if not wanted:
        return {}
    return {row: example.id for row, example in enumerate(examples()) if row in wanted}


def _find_quantiles(counts: Counter[int]) -> tuple[int, ...]:
    """Return the least lengths that at least the shares in `_QUANTILES` of all do not exceed."""
    ordered = sorted(counts.items())
    total = sum(counts.values())
    found: list[int] = []
    seen = 0
    for length, count in ordered:
        seen += count
        while len(found) < len(_QUANTILES) and seen >= _QUANTILES[len(found)] * total:
            found.append(length)
    return tuple(found)


def _seconds(time: str) -> int:
    try:
        return int(datetime.fromisoformat(time).timestamp()) if time else -1
    except ValueError:
        return -1

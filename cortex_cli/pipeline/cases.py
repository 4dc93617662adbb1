"""Cases from the journal: which answers failed by what people said, and the examples to hold them against."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import msgspec

from cortex_cli.curate.versions import read_examples
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.domain.manifests import Agent, DatasetVersion, Variant
from cortex_cli.explain.answers import same_answer
from cortex_cli.explain.cases import Case
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.journal import Journal
from cortex_cli.store.objects import ObjectStore

__all__ = ["Judged", "Traffic", "TrainingExamples", "find_variant", "is_failure", "judge", "make_case", "read_traffic"]

# Events of the journal that are looked at, newest first to be kept: a million would take seconds.
_RECENT = 200_000
_LOW = 0.5  # share of its scale below which a score is a rejection


class Judged(NamedTuple):
    """What people said of one answer: how many said no of how many, and what should have been answered."""

    rejected: int = 0
    judges: int = 0
    expected: str = ""
    replayed: bool = False


class Traffic(NamedTuple):
    """The answers of one agent: all that were *seen*, how many were *judged*, the failed ones as cases.

    *right* are the newest 4,096 of those that were judged and did not fail.
    """

    seen: int
    judged: int
    failures: list[Case]
    right: deque[Case]


class TrainingExamples(Collection[Example]):
    """The training part of a dataset version, streamed from its object on each pass; never held."""

    def __init__(self, store: ObjectStore, version: DatasetVersion) -> None:
        self._store = store
        self._version = version

    def __len__(self) -> int:
        return self._version.parts["train"].rows if "train" in self._version.parts else 0

    def __iter__(self) -> Iterator[Example]:
        return read_examples(self._store, self._version, "train") if len(self) else iter(())

    def __contains__(self, example: object) -> bool:
        return any(each == example for each in self)


def judge(feedback: Iterable[Feedback]) -> Judged:
    """Add up *feedback* on one answer: of each judge the last verdict counts; a score below half of its scale is a no."""
    verdicts: dict[tuple[str, str], bool] = {}
    expected, replayed = "", False
    for record in feedback:
        replayed = replayed or record.annotator == "replayed"
        if record.kind == "demonstration":
            expected = record.demonstration
        elif (verdict := _verdict(record)) is not None:
            verdicts[record.kind, record.name] = verdict
    return Judged(sum(not verdict for verdict in verdicts.values()), len(verdicts), expected, replayed)


def is_failure(case: Case, interaction: Interaction) -> bool:
    """Tell whether an answer failed: an error, a demonstration that says otherwise, or at least half who said no.

    Without anybody's word the recorded outcome decides.
    """
    if case.error or interaction.outcome == "error":
        return True
    if case.expected:
        return not same_answer(case.output, case.expected, case.judge)
    if case.judges:
        return 2 * case.rejected >= case.judges
    return interaction.outcome == "failure"


def make_case(interaction: Interaction, judged: Judged, agent: Agent, variant: Variant | None = None) -> Case:
    """Return *interaction* as a case; `finish` and `logprob` are taken from its meta where they were recorded."""
    limit = variant.parameters.get("max_tokens") if variant else None
    return Case(
        id=interaction.id,
        agent=interaction.agent,
        messages=interaction.messages,
        judge=agent.judge,
        output=interaction.output,
        expected=judged.expected,
        error=interaction.error,
        finish=interaction.meta.get("finish", ""),
        time=interaction.time,
        domain=interaction.domain,
        variant=interaction.variant,
        tokens_out=interaction.tokens_out,
        limit=int(limit) if isinstance(limit, int | float) else None,
        logprob=_number(interaction.meta.get("logprob", "")),
        rejected=judged.rejected,
        judges=judged.judges,
        replayed=judged.replayed or interaction.replayed,
    )


def read_traffic(journal: Journal, agent: Agent, variants: Collection[str] | None = None, since: str = "") -> Traffic:
    """Read the answers of *agent*, of these *variants* alone unless it is None, from the day *since* on, oldest first.

    At most the newest 200,000 events of the journal are looked at.
    """
    after = max(0, journal.last() - _RECENT)
    feedback: dict[str, list[Feedback]] = defaultdict(list)
    for _, record in journal.feedback(after=after):
        feedback[record.target].append(record)
    traffic = Traffic(0, 0, [], deque(maxlen=4096))
    for _, interaction in journal.interactions(agent=agent.agent, after=after):
        if interaction.time[:10] < since or (variants is not None and interaction.variant not in variants):
            continue
        said = feedback.get(interaction.id, [])
        traffic = _count(traffic, interaction, make_case(interaction, judge(said), agent))
    return traffic


def find_variant(snapshot: Snapshot, name: str) -> Variant | None:
    """Return the variant called *name*; None when the registry does not have it."""
    return snapshot.variant(name) if name and f"{name}.toml" in snapshot.entries("registry/variants") else None


def _count(traffic: Traffic, interaction: Interaction, case: Case) -> Traffic:
    failed = is_failure(case, interaction)
    known = failed or bool(case.judges or case.expected) or interaction.outcome == "success"
    if known:
        (traffic.failures if failed else traffic.right).append(case)
    return traffic._replace(seen=traffic.seen + 1, judged=traffic.judged + known)


def _verdict(record: Feedback) -> bool | None:
    if record.kind == "boolean":
        return record.thumbs
    scale = record.scale
    if record.kind != "score" or record.score is None or scale is None or scale.high <= scale.low:
        return None
    return (record.score - scale.low) / (scale.high - scale.low) >= _LOW


def _number(text: str) -> float | None:
    try:
        return msgspec.convert(text, float, strict=False) if text else None
    except msgspec.ValidationError:
        return None

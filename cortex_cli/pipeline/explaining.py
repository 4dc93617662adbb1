"""The explaining stage: from an id, an agent or an adapter to what the engine needs, and its findings.

It reads the journal, the objects and one snapshot of the registry, and changes nothing. A model is
loaded only when the caller hands an `OpenScore` that loads one.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cortex_cli.domain.errors import IntegrityError, MissingExtraError, NotBuiltError, UsageError
from cortex_cli.domain.examples import Example, Prompt
from cortex_cli.domain.manifests import Adapter, Agent, DatasetVersion, Variant
from cortex_cli.explain.answers import Known, count_answers
from cortex_cli.explain.cases import Case
from cortex_cli.explain.clusters import Cluster, find_clusters, read_confusion
from cortex_cli.explain.explanation import Basis, Explanation, Ground, explain_case
from cortex_cli.explain.mend import Conflict, Suggestion, find_conflicts, suggest_for_confusion
from cortex_cli.explain.symptoms import find_symptoms
from cortex_cli.pipeline.cases import (
    Traffic,
    TrainingExamples,
    find_variant,
    is_failure,
    judge,
    make_case,
    read_traffic,
)
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.journal import Journal

if TYPE_CHECKING:
    from cortex_cli.models.generation import LocalModel
    from cortex_cli.optimize.prompts import PromptFile

__all__ = [
    "AdapterReport",
    "ExplainedCluster",
    "FailureReport",
    "OpenScore",
    "VariantScore",
    "check_day",
    "explain_adapter",
    "explain_failures",
    "explain_interaction",
    "open_no_score",
    "open_score",
]

# Right answers that are scored to know what is usual; below the lower number nothing is called unusual.
_MOST_RIGHT, _FEWEST_RIGHT = 64, 10
_SHOWN_CLUSTERS = 20
# Tokens of a request that is weighed: 65 passes over more would take minutes on a CPU.
_LONGEST = 2048


class VariantScore:
    """How likely a local variant finds an answer, under its own prompt; an instance is a `Score`."""

    def __init__(self, prompt: "PromptFile", model: "LocalModel") -> None:
        self._prompt = prompt
        self._model = model

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Return the total log-probability of each answer to its request."""
        from cortex_cli.models.scoring import score_answers

        return score_answers(self._model, self._render(prompts), answers)

    def score_means(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Return the mean log-probability per token of each answer to its request."""
        from cortex_cli.models.scoring import mean_scores

        return mean_scores(self._model, self._render(prompts), answers)

    def check_length(self, messages: Prompt) -> None:
        """Raise `UsageError` for a request that is too long to be weighed word by word."""
        length = len(self._model.tokenizer.encode_prompt(self._render([messages])[0]))
        most = min(_LONGEST, int(self._model.network.config.max_position_embeddings))
        if length > most:
            raise UsageError(f"the request has {length:,} tokens, at most {most:,} are weighed")

    def _render(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        from cortex_cli.pipeline.variants import render_request

        return [render_request(self._prompt, messages) for messages in prompts]


OpenScore = Callable[[Place, Snapshot, Variant], VariantScore | None]


class ExplainedCluster(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster with its share of the training data, the cases to look at first, and what may mend it.

    *trained* is how many training examples give the expected answer, *rival* the answered one.
    """

    cluster: Cluster
    trained: int
    rival: int
    cases: tuple[Case, ...]
    suggestions: tuple[Suggestion, ...]


class FailureReport(msgspec.Struct, frozen=True, kw_only=True):
    """The failures of an agent or of an adapter's variants: of all that was *seen*, what was *judged*, what failed.

    *symptoms* counts failures by symptom; *clusters* are the largest, *more* how many are not shown.
    """

    agent: str
    since: str
    seen: int
    judged: int
    failures: int
    replayed: int
    symptoms: dict[str, int]
    clusters: tuple[ExplainedCluster, ...]
    more: int
    basis: Basis
    notes: tuple[str, ...] = ()


class AdapterReport(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter: what it learned from, where that contradicts itself, and how its variants fail."""

    adapter: str
    variants: tuple[str, ...]
    domains: dict[str, int]
    sources: dict[str, int]
    months: dict[str, int]
    answers: dict[str, int]
    conflicts: tuple[Conflict, ...]
    failures: FailureReport


class _Data(NamedTuple):
    """The examples to hold cases against, where they come from, and what could not be had."""

    basis: Basis
    examples: Collection[Example]
    notes: tuple[str, ...] = ()


def explain_interaction(
    place: Place, journal: Journal, name: str, *, open_model: "OpenScore | None" = None
) -> Explanation:
    """Explain the answer of one interaction; raise `UsageError` when the journal does not have it.

    *open_model* loads what weighs the words of the request, `open_score` by default; where that is not
    possible, a note says why and the rest is explained.
    """
    interaction = journal.find(name)
    if interaction is None:
        raise _no_interaction(journal, name)
    snapshot = place.registry.snapshot()
    with snapshot:
        agent, variant = _find_agent(snapshot, interaction.agent), find_variant(snapshot, interaction.variant)
        data = _find_data(place, snapshot, agent, variant)
        case = make_case(interaction, judge(journal.feedback_on(name)), agent, variant)
        traffic = read_traffic(journal, agent)
        score, note = _try_open(lambda asked: (open_model or open_score)(place, snapshot, asked), variant, case)
    case, usual = _compare_confidence(case, list(traffic.right), score)
    failures = sum(read_confusion(other) == read_confusion(case) for other in traffic.failures)
    found = explain_case(case, Ground(data.basis, data.examples, usual, max(1, failures)), score=score)
    notes = (*data.notes, *filter(None, [note, _unfailed_note(is_failure(case, interaction))]))
    return msgspec.structs.replace(found, notes=notes)


def explain_failures(place: Place, journal: Journal, agent: str, *, since: str = "") -> FailureReport:
    """Group the failures of *agent* from the day *since* on; raise `UsageError` for an unknown agent."""
    snapshot = place.registry.snapshot()
    with snapshot:
        state = snapshot.agent(agent)
        data = _find_data(place, snapshot, state, find_variant(snapshot, state.champion))
    return _report(state, check_day(since), read_traffic(journal, state, since=since), data)


def explain_adapter(place: Place, journal: Journal, name: str, *, since: str = "") -> AdapterReport:
    """Say what the adapter *name* learned from and how the variants that carry it fail; raise `UsageError` if unknown."""
    snapshot = place.registry.snapshot()
    with snapshot:
        adapter = snapshot.adapter(name)
        state = snapshot.agent(adapter.agent)
        carried = [each for each in snapshot.variants(adapter.agent) if each.adapter == name]
        data = _adapter_data(place, snapshot, adapter)
    variants = tuple(each.id for each in carried)
    traffic = read_traffic(journal, state, variants, check_day(since))
    return AdapterReport(
        adapter=name,
        variants=variants,
        **_compose(data.examples, state),
        conflicts=tuple(find_conflicts(data.examples, state.judge)),
        failures=_report(state, since, traffic, data),
    )


def open_score(place: Place, snapshot: Snapshot, variant: Variant) -> VariantScore:
    """Load *variant* so that it can be asked how likely an answer is.

    Raises `MissingExtraError`, `NotBuiltError` for models that are not local, `IntegrityError` for lost parts.
    """
    from cortex_cli.models.bases import require_train_extra

    require_train_extra("weighing the words of a request")
    from cortex_cli.models.generation import LocalModel
    from cortex_cli.pipeline.variants import open_variant

    opened = open_variant(place, snapshot, variant)
    if not isinstance(opened.model, LocalModel):
        raise NotBuiltError(f"weighing words with model '{variant.model}'")
    return VariantScore(opened.prompt, opened.model)


def open_no_score(_place: Place, _snapshot: Snapshot, _variant: Variant) -> None:
    """Load nothing: the words of the request are not weighed."""


def check_day(text: str) -> str:
    """Return *text* if it is empty or a day such as 2026-01-31; raise `UsageError` otherwise."""
    try:
        return text and date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UsageError(
            f"'{text}' is not a day: use the form 2026-01-31", hint="cortex explain --help", state="nothing was read"
        ) from error


def _no_interaction(journal: Journal, name: str) -> UsageError:
    counts = journal.counts()
    total = sum(count for agent, count in counts.items() if agent != "feedback")
    return UsageError(
        f"there is no interaction '{name}' among the {total:,} in the journal",
        hint="cortex explain --failures AGENT",
        state="nothing was changed",
    )


def _unfailed_note(failed: bool) -> str:
    return "" if failed else "nobody said that this answer was wrong: what follows describes it all the same"


def _find_agent(snapshot: Snapshot, name: str) -> Agent:
    """Return the agent called *name*; one that was only ever collected for is judged by exact answers."""
    return snapshot.agent(name) if f"{name}.toml" in snapshot.entries("registry/agents") else Agent(agent=name)


def _find_data(place: Place, snapshot: Snapshot, agent: Agent, variant: Variant | None) -> _Data:
    """Return what the answering variant learned from, or else the agent's newest live dataset, and say which."""
    if variant is not None and variant.adapter and f"{variant.adapter}.toml" in snapshot.entries("registry/adapters"):
        return _adapter_data(place, snapshot, snapshot.adapter(variant.adapter))
    live = [each for each in snapshot.datasets() if each.agent == agent.agent and each.state == "live"]
    if not live:
        return _Data(Basis(), (), (f"agent '{agent.agent}' has no dataset, so no training example was looked at",))
    newest = max(live, key=lambda each: (each.journal[1], each.version))
    note = f"the model that answered was not trained on {_name(newest)}: its examples only show what is known"
    return _open_data(place, newest, Basis(dataset=_name(newest)), (note,))


def _adapter_data(place: Place, snapshot: Snapshot, adapter: Adapter) -> _Data:
    stem, _, version = adapter.dataset.partition("/")
    if f"{version}.toml" not in snapshot.entries(f"datasets/{stem}"):
        note = f"dataset '{adapter.dataset}' is not in the registry, so no training example was looked at"
        return _Data(Basis(dataset=adapter.dataset, trained=True), (), (note,))
    dataset = snapshot.dataset(stem, version)
    notes = () if dataset.state == "live" else (f"dataset '{adapter.dataset}' is {dataset.state}",)
    return _open_data(place, dataset, Basis(dataset=adapter.dataset, trained=True), notes)


def _open_data(place: Place, dataset: DatasetVersion, basis: Basis, notes: tuple[str, ...]) -> _Data:
    part = dataset.parts.get("train")
    if part is None or not place.objects.has(part.digest, part.size):
        lost = f"the examples of {_name(dataset)} are not in this workspace, so none was looked at"
        return _Data(basis, (), (*notes, lost))
    return _Data(msgspec.structs.replace(basis, rows=part.rows), TrainingExamples(place.objects, dataset), notes)


def _try_open(
    open_model: Callable[[Variant], VariantScore | None], variant: Variant | None, case: Case
) -> tuple[VariantScore | None, str]:
    """Return the score of *variant* for *case*; where it cannot be had, None and the reason."""
    if variant is None:
        return None, "the words were not weighed: the registry does not have the variant that answered"
    try:
        score = open_model(variant)
        if score is not None:
            score.check_length(case.messages)
    except (MissingExtraError, NotBuiltError, IntegrityError, UsageError) as error:
        return None, f"the words were not weighed: {error.message}"
    return score, ""


def _compare_confidence(case: Case, right: Sequence[Case], score: VariantScore | None) -> tuple[Case, float | None]:
    """Return *case* with its mean log-probability, and what nine of ten right answers of its variant reach."""
    own = [other for other in right if other.variant == case.variant and other.id != case.id][-_MOST_RIGHT:]
    if score is not None and case.output:
        asked = [case, *own]
        means = score.score_means([other.messages for other in asked], [other.output for other in asked])
        case = msgspec.structs.replace(case, logprob=round(means[0], 4))
        reached = sorted(means[1:])
    else:
        reached = sorted(other.logprob for other in own if other.logprob is not None)
    return case, round(reached[len(reached) // 10], 4) if len(reached) >= _FEWEST_RIGHT else None


def _report(agent: Agent, since: str, traffic: Traffic, data: _Data) -> FailureReport:
    known = count_answers(data.examples, agent.judge)
    clusters = find_clusters(traffic.failures)
    by_id = {case.id: case for case in traffic.failures}
    names = [symptom.name for case in traffic.failures for symptom in find_symptoms(case, known)]
    return FailureReport(
        agent=agent.agent,
        since=since,
        seen=traffic.seen,
        judged=traffic.judged,
        failures=len(traffic.failures),
        replayed=sum(case.replayed for case in traffic.failures),
        symptoms=dict(Counter(names).most_common()),
        clusters=tuple(_explain_cluster(cluster, by_id, known) for cluster in clusters[:_SHOWN_CLUSTERS]),
        more=max(0, len(clusters) - _SHOWN_CLUSTERS),
        basis=data.basis,
        notes=data.notes,
    )


def _explain_cluster(cluster: Cluster, by_id: dict[str, Case], known: Known) -> ExplainedCluster:
    confusion = read_confusion(by_id[cluster.cases[0]])
    common = cluster.expected and cluster.expected == confusion.expected
    return ExplainedCluster(
        cluster=cluster,
        trained=known.labels.get(cluster.expected, 0),
        rival=known.labels.get(cluster.answered, 0),
        cases=tuple(by_id[name] for name in cluster.shown),
        suggestions=tuple(suggest_for_confusion(confusion, known, cluster.size)) if common and known.total else (),
    )


def _compose(examples: Collection[Example], agent: Agent) -> dict[str, dict[str, int]]:
    domains, sources, months = Counter[str](), Counter[str](), Counter[str]()
    for example in examples:
        domains[example.domain] += 1
        sources[example.source] += 1
        months[example.time[:7]] += 1
    labels = count_answers(examples, agent.judge).labels
    return {
        "domains": dict(domains.most_common()),
        "sources": dict(sources.most_common()),
        "months": dict(sorted(months.items())),
        "answers": dict(Counter(labels).most_common(20)),
    }


def _name(dataset: DatasetVersion) -> str:
    return f"{dataset.name}/{dataset.version}"

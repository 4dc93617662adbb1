"""Lineage: what a thing was made of and what came of it, as trees of typed nodes with their commits.

Request -> variant -> prompt, model, adapter -> dataset version -> the interactions and feedback behind it,
and the same way back. What is not there any more stays in the tree as a node that says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import msgspec

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.domain.manifests import Adapter, Agent, DatasetVersion, Variant
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.history import read_log
from cortex_cli.registry.snapshot import ADAPTERS, DATASETS, MODELS, VARIANTS, Shelf, Snapshot
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import keyed_id, open_key

__all__ = [
    "Fact",
    "Kind",
    "Lineage",
    "Node",
    "Trail",
    "open_trail",
    "trace",
    "trace_adapter",
    "trace_dataset",
    "trace_interaction",
    "trace_variant",
]

Kind = Literal["interaction", "feedback", "variant", "prompt", "model", "adapter", "dataset", "journal", "agent"]
Fact = str | int | float | bool

# Judgements of one interaction that are shown one by one; nl2bash has at most three.
_MOST_JUDGEMENTS = 10


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing in a lineage: what it is, what is known of it, and the commit that brought it in.

    *missing* says that it is not there any more, and where that was noticed. *children* lead further
    in the direction of the tree.
    """

    kind: Kind
    id: str
    facts: dict[str, Fact] = {}
    commit: str = ""
    time: str = ""
    actor: str = ""
    missing: str = ""
    children: tuple["Node", ...] = ()


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Both directions from one thing: *made_of* has it as its root, *went_into* what came of it."""

    kind: Kind
    id: str
    made_of: Node
    went_into: tuple[Node, ...]


class _Introduced(msgspec.Struct, frozen=True):
    """The commit that brought something in: its id, when and by whom."""

    commit: str = ""
    time: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """What is read to trace: a workspace at one commit, its journal, and the commits that introduced things."""

    place: Place
    journal: Journal
    snapshot: Snapshot
    introduced: dict[tuple[str, str], _Introduced] = field(default_factory=dict)


def open_trail(place: Place, journal: Journal) -> Trail:
    """Read the history of *place* once and return what tracing needs."""
    trail = Trail(place, journal, place.registry.snapshot())
    for event in read_log(place.registry):
        # Newest first: what remains is the oldest commit that names it, the one that brought it in.
        name = event.target if event.action == "model" else event.to
        if event.action in {"train", "variant", "curate", "model"}:
            trail.introduced[event.action, name] = _Introduced(event.commit, event.time, event.actor or event.author)
    return trail


def trace(trail: Trail, name: str) -> Lineage:
    """Trace the interaction, variant, adapter or dataset called *name*; raise `UsageError` when there is none.

    A dataset is named `name/v0001`, or `name` for its newest version.
    """
    with trail.snapshot:
        for holds, tracer in _TRACERS:
            if holds(trail, name):
                return tracer(trail, name)
        raise _unknown(trail.snapshot, name)


def trace_interaction(trail: Trail, name: str) -> Lineage:
    """Trace one interaction back to what its answer was made with, and on to the datasets that learned from it."""
    found = trail.journal.find(name)
    if found is None:
        raise _unknown(trail.snapshot, name)
    judgements = trail.journal.feedback_on(name)
    made = _interaction_node(found, judgements, _asked_variant(trail, found))
    keyed = _keyed(trail)(found.id)
    datasets = [each for each in trail.snapshot.datasets() if each.agent == found.agent]
    went = [_dataset_forward(trail, each) for each in datasets if keyed and keyed in _read_lineage(trail, each)]
    return Lineage(kind="interaction", id=name, made_of=made, went_into=tuple(went))


def trace_variant(trail: Trail, name: str) -> Lineage:
    """Trace a variant back to its prompt, model, adapter and data, and on to the agents it answers for."""
    variant = trail.snapshot.variant(name)
    agents = tuple(_agent_nodes(trail.snapshot, variant))
    return Lineage(kind="variant", id=name, made_of=_variant_back(trail, variant), went_into=agents)


def trace_adapter(trail: Trail, name: str) -> Lineage:
    """Trace an adapter back to its base and data, and on to the variants that carry it."""
    adapter = trail.snapshot.adapter(name)
    went = tuple(_variant_forward(trail, each) for each in trail.snapshot.variants() if each.adapter == name)
    return Lineage(kind="adapter", id=name, made_of=_adapter_back(trail, adapter), went_into=went)


def trace_dataset(trail: Trail, name: str) -> Lineage:
    """Trace a dataset version back to the records behind it, and on to the adapters that learned from it."""
    stem, _, version = name.partition("/")
    dataset = trail.snapshot.dataset(stem, version)
    went = _dataset_forward(trail, dataset).children
    return Lineage(kind="dataset", id=_dataset_id(dataset), made_of=_dataset_back(trail, dataset), went_into=went)


def _is_interaction(trail: Trail, name: str) -> bool:
    return trail.journal.find(name) is not None


def _is_on(shelf: Shelf[Variant] | Shelf[Adapter]) -> Callable[[Trail, str], bool]:
    return lambda trail, name: f"{name}.toml" in trail.snapshot.entries(shelf.folder)


def _is_dataset(trail: Trail, name: str) -> bool:
    stem, slash, version = name.partition("/")
    files = trail.snapshot.entries(f"{DATASETS}/{stem}") if stem else {}
    return f"{version}.toml" in files if slash else any(file.endswith(".toml") for file in files)


_TRACERS: tuple[tuple[Callable[[Trail, str], bool], Callable[[Trail, str], Lineage]], ...] = (
    (_is_interaction, trace_interaction),
    (_is_on(VARIANTS), trace_variant),
    (_is_on(ADAPTERS), trace_adapter),
    (_is_dataset, trace_dataset),
)


def _unknown(snapshot: Snapshot, name: str) -> UsageError:
    import difflib

    known = [*(each.id for each in snapshot.variants()), *(each.id for each in snapshot.adapters())]
    known += [_dataset_id(each) for each in snapshot.datasets()]
    near = difflib.get_close_matches(name, known, n=1)
    guess = f", did you mean '{near[0]}'?" if near else ""
    return UsageError(
        f"there is no interaction, variant, adapter or dataset '{name}'{guess}",
        hint="cortex status, or: cortex log",
        state="nothing was changed",
    )


def _interaction_node(found: Interaction, judgements: list[Feedback], variant: Node) -> Node:
    facts: dict[str, Fact] = {
        "agent": found.agent,
        "outcome": found.outcome,
        "domain": found.domain,
        "source": found.origin.source,
        "judgements": len(judgements),
        "replayed": found.replayed,
    }
    shown = [_feedback_node(record) for record in judgements[:_MOST_JUDGEMENTS]]
    return Node(kind="interaction", id=found.id, facts=_known(facts), time=found.time, children=(*shown, variant))


def _feedback_node(record: Feedback) -> Node:
    verdict = {True: "accepted", False: "rejected", None: ""}[record.thumbs]
    facts: dict[str, Fact] = {"kind": record.kind, "verdict": verdict, "by": record.name, "annotator": record.annotator}
    return Node(kind="feedback", id=record.id, facts=_known(facts), time=record.time)


def _asked_variant(trail: Trail, found: Interaction) -> Node:
    if not found.variant:
        return Node(kind="variant", id="", missing="recorded without a variant: it was not answered through Cortex")
    if not _is_on(VARIANTS)(trail, found.variant):
        return Node(kind="variant", id=found.variant, missing="not in the registry")
    return _variant_back(trail, trail.snapshot.variant(found.variant))


def _variant_back(trail: Trail, variant: Variant) -> Node:
    children = [_prompt_back(trail, variant), _model_back(trail, variant.model)]
    if variant.adapter and not _is_on(ADAPTERS)(trail, variant.adapter):
        children.append(Node(kind="adapter", id=variant.adapter, missing="not in the registry"))
    elif variant.adapter:
        children.append(_adapter_back(trail, trail.snapshot.adapter(variant.adapter)))
    facts: dict[str, Fact] = {"agent": variant.agent, **variant.parameters}
    return _introduced(
        trail, ("variant", variant.id), Node(kind="variant", id=variant.id, facts=facts, children=tuple(children))
    )


def _prompt_back(trail: Trail, variant: Variant) -> Node:
    """Return the prompt that *variant* was registered with, and the commit in which its text came in."""
    node = Node(kind="prompt", id=variant.prompt, facts={"blob": variant.prompt_blob})
    git = trail.place.registry.git
    if trail.snapshot.read_blob(variant.prompt_blob) is None:
        return msgspec.structs.replace(node, missing="its text is not in git")
    if trail.snapshot.blob(variant.prompt) != variant.prompt_blob:
        node = msgspec.structs.replace(node, facts={**node.facts, "changed_since": True})
    command = ["log", "--no-color", "--format=%H %ct %an", f"--find-object={variant.prompt_blob}"]
    lines = git.run(*command, trail.snapshot.commit, "--", variant.prompt).decode("utf-8", "replace").splitlines()
    if not lines:
        return node
    commit, stamp, author = lines[-1].split(" ", 2)
    time = datetime.fromtimestamp(int(stamp), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return msgspec.structs.replace(node, commit=commit, time=time, actor=author)


def _model_back(trail: Trail, name: str) -> Node:
    if f"{name}.toml" not in trail.snapshot.entries(MODELS.folder):
        return Node(kind="model", id=name, missing="not in the registry")
    model = trail.snapshot.model(name)
    facts: dict[str, Fact] = {"kind": model.kind, "source": model.source, "digest": model.digest}
    return _introduced(trail, ("model", name), Node(kind="model", id=name, facts=_known(facts)))


def _adapter_back(trail: Trail, adapter: Adapter) -> Node:
    stem, _, version = adapter.dataset.partition("/")
    if _is_dataset(trail, adapter.dataset):
        data = _dataset_back(trail, trail.snapshot.dataset(stem, version))
    else:
        data = Node(kind="dataset", id=adapter.dataset, missing="not in the registry")
    if not data.missing and data.facts["digest"] != adapter.dataset_digest:
        data = msgspec.structs.replace(data, missing="has another digest than the one that was trained on")
    return _introduced(trail, ("train", adapter.id), _adapter_node(adapter, (_model_back(trail, adapter.base), data)))


def _adapter_node(adapter: Adapter, children: tuple[Node, ...]) -> Node:
    facts: dict[str, Fact] = {
        "recipe": adapter.recipe,
        "objective": adapter.objective,
        "examples": adapter.examples,
        "seconds": adapter.seconds,
        "state": adapter.state,
    }
    return Node(kind="adapter", id=adapter.id, facts=_known(facts), children=children)


def _dataset_back(trail: Trail, dataset: DatasetVersion) -> Node:
    facts = {**_dataset_facts(dataset), "digest": dataset.digest}
    node = Node(kind="dataset", id=_dataset_id(dataset), facts=facts, children=(_journal_back(trail, dataset),))
    return _introduced(trail, ("curate", node.id), node)


def _dataset_facts(dataset: DatasetVersion) -> dict[str, Fact]:
    parts = {name: part.rows for name, part in dataset.parts.items()}
    facts: dict[str, Fact] = {"agent": dataset.agent, **parts, **dataset.origins, "parent": dataset.parent}
    return _known({**facts, "recipe": dataset.recipe, "state": dataset.state})


def _journal_back(trail: Trail, dataset: DatasetVersion) -> Node:
    """Count what of the journal lies behind *dataset*: read, judged, and how much of what was kept is still there."""
    first, last = dataset.journal
    after, keyed, lines = max(0, first - 1), _keyed(trail), _read_lineage(trail, dataset)
    read = 0
    held: set[str] = set()
    for _, interaction in trail.journal.interactions(agent=dataset.agent, after=after, until=last):
        read += 1
        if keyed(interaction.id) in lines:
            held.add(interaction.id)
    judged = sum(record.target in held for _, record in trail.journal.feedback(after=after, until=last))
    facts: dict[str, Fact] = {"interactions": read, "kept": len(held), "feedback_on_kept": judged}
    gone = len(lines) - len(held)
    missing = f"{gone:,} of {len(lines):,} kept interactions are not in this journal" if gone else ""
    return Node(kind="journal", id=f"{first}..{last}", facts=facts, missing=missing)


def _dataset_forward(trail: Trail, dataset: DatasetVersion) -> Node:
    name = _dataset_id(dataset)
    learned = [each for each in trail.snapshot.adapters() if each.dataset == name]
    children = tuple(_adapter_forward(trail, each) for each in learned)
    node = Node(kind="dataset", id=name, facts=_dataset_facts(dataset), children=children)
    return _introduced(trail, ("curate", name), node)


def _adapter_forward(trail: Trail, adapter: Adapter) -> Node:
    carried = [each for each in trail.snapshot.variants(adapter.agent) if each.adapter == adapter.id]
    children = tuple(_variant_forward(trail, each) for each in carried)
    return _introduced(trail, ("train", adapter.id), _adapter_node(adapter, children))


def _variant_forward(trail: Trail, variant: Variant) -> Node:
    facts: dict[str, Fact] = {"agent": variant.agent, "prompt": variant.prompt}
    node = Node(kind="variant", id=variant.id, facts=facts, children=tuple(_agent_nodes(trail.snapshot, variant)))
    return _introduced(trail, ("variant", variant.id), node)


def _agent_nodes(snapshot: Snapshot, variant: Variant) -> Iterator[Node]:
    for agent in snapshot.agents():
        if role := _role(agent, variant.id):
            yield Node(kind="agent", id=agent.agent, facts={"role": role, "generation": agent.generation})


def _role(agent: Agent, variant: str) -> str:
    challengers = dict.fromkeys(agent.challengers, "challenger")
    return {**challengers, agent.previous: "previous", agent.champion: "champion"}.get(variant, "")


def _introduced(trail: Trail, key: tuple[str, str], node: Node) -> Node:
    found = trail.introduced.get(key, _Introduced())
    return msgspec.structs.replace(node, commit=found.commit, time=found.time, actor=found.actor)


def _read_lineage(trail: Trail, dataset: DatasetVersion) -> frozenset[str]:
    """Return the keyed ids of *dataset*; empty when the object that lists them is gone."""
    if not trail.place.objects.has(dataset.lineage.digest, dataset.lineage.size):
        return frozenset()
    return frozenset(line.decode() for line in trail.place.objects.open_lines(dataset.lineage.digest))


def _keyed(trail: Trail) -> Callable[[str], str]:
    # A workspace without a key has keyed nothing yet, and a question must not make one.
    if not trail.place.workspace.key_path.exists():
        return lambda _name: ""
    key = open_key(trail.place.workspace)
    return lambda name: keyed_id(key, name)


def _dataset_id(dataset: DatasetVersion) -> str:
    return f"{dataset.name}/{dataset.version}"


def _known(facts: dict[str, Fact]) -> dict[str, Fact]:
    # What is live or unknown goes without saying, as every thing is until it is said otherwise.
    return {name: value for name, value in facts.items() if value not in ("", False, "live", "unknown")}

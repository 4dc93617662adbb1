"""Lineage: what a thing was made of and what came of it, as trees of typed nodes with their commits.

Request -> variant -> prompt, model, adapter -> dataset version -> the interactions and feedback behind it,
and the same way back. What is not there any more stays in the tree as a node that says so.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.domain.manifests import Adapter, Agent, DatasetVersion, Variant
from cortex_cli.pipeline.trails import (
    Fact,
    Kind,
    Node,
    Trail,
    describe_journal,
    describe_source,
    keep_known,
    name_dataset,
    open_keyed,
    open_trail,
    read_keyed_ids,
    with_commit,
)
from cortex_cli.registry.snapshot import ADAPTERS, DATASETS, MODELS, VARIANTS, Shelf, Snapshot
from cortex_cli.store.journal import Tombstone
from cortex_cli.store.workspace import open_key

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
    "trace_forgotten",
    "trace_interaction",
    "trace_variant",
]

# Judgements of one interaction that are shown one by one; nl2bash has at most three.
_MOST_JUDGEMENTS = 10


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Both directions from one thing: *made_of* has it as its root, *went_into* what came of it."""

    kind: Kind
    id: str
    made_of: Node
    went_into: tuple[Node, ...]


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
    """Trace one interaction, by id or alias, back to what answered and where it was read, and on to what learned."""
    found = trail.journal.find(trail.journal.resolve(name))
    if found is None:
        raise _unknown(trail.snapshot, name)
    judgements = trail.journal.feedback_on(found.id)
    made = _interaction_node(found, judgements, _asked_variant(trail, found))
    keyed = open_keyed(trail)(found.id)
    datasets = [each for each in trail.snapshot.datasets() if each.agent == found.agent]
    went = [_dataset_forward(trail, each) for each in datasets if keyed and keyed in read_keyed_ids(trail, each)]
    return Lineage(kind="interaction", id=found.id, made_of=made, went_into=tuple(went))


def trace_forgotten(trail: Trail, name: str) -> Lineage:
    """Say of an interaction that was forgotten when and why; what had learned from it is revoked in the registry."""
    stone = _find_tombstone(trail, name)
    if stone is None:
        raise _unknown(trail.snapshot, name)
    why = f": {stone.reason}" if stone.reason else ""
    node = Node(kind="interaction", id=name, time=stone.time, missing=f"forgotten{why}")
    return Lineage(kind="interaction", id=name, made_of=node, went_into=())


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
    return Lineage(kind="dataset", id=name_dataset(dataset), made_of=_dataset_back(trail, dataset), went_into=went)


def _is_interaction(trail: Trail, name: str) -> bool:
    return bool(trail.journal.resolve(name))


def _is_forgotten(trail: Trail, name: str) -> bool:
    return _find_tombstone(trail, name) is not None


def _find_tombstone(trail: Trail, name: str) -> Tombstone | None:
    # A workspace without a key has forgotten nothing yet, and a question must not make one.
    place = trail.place.workspace
    return trail.journal.tombstone(open_key(place), name) if place.key_path.exists() else None


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
    (_is_forgotten, trace_forgotten),
)


def _unknown(snapshot: Snapshot, name: str) -> UsageError:
    import difflib

    known = [*(each.id for each in snapshot.variants()), *(each.id for each in snapshot.adapters())]
    known += [name_dataset(each) for each in snapshot.datasets()]
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
        "judgements": len(judgements),
        "replayed": found.replayed,
    }
    shown = [_feedback_node(record) for record in judgements[:_MOST_JUDGEMENTS]]
    origin = describe_source(found.origin, {"line": found.origin.line})
    children = (*shown, origin, variant)
    return Node(kind="interaction", id=found.id, facts=keep_known(facts), time=found.time, children=children)


def _feedback_node(record: Feedback) -> Node:
    verdict = {True: "accepted", False: "rejected", None: ""}[record.thumbs]
    facts: dict[str, Fact] = {"kind": record.kind, "verdict": verdict, "by": record.name, "annotator": record.annotator}
    return Node(kind="feedback", id=record.id, facts=keep_known(facts), time=record.time)


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
    return with_commit(
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
    return with_commit(trail, ("model", name), Node(kind="model", id=name, facts=keep_known(facts)))


def _adapter_back(trail: Trail, adapter: Adapter) -> Node:
    stem, _, version = adapter.dataset.partition("/")
    if _is_dataset(trail, adapter.dataset):
        data = _dataset_back(trail, trail.snapshot.dataset(stem, version))
    else:
        data = Node(kind="dataset", id=adapter.dataset, missing="not in the registry")
    if not data.missing and data.facts["digest"] != adapter.dataset_digest:
        data = msgspec.structs.replace(data, missing="has another digest than the one that was trained on")
    return with_commit(trail, ("train", adapter.id), _adapter_node(adapter, (_model_back(trail, adapter.base), data)))


def _adapter_node(adapter: Adapter, children: tuple[Node, ...]) -> Node:
    facts: dict[str, Fact] = {
        "recipe": adapter.recipe,
        "objective": adapter.objective,
        "examples": adapter.examples,
        "seconds": adapter.seconds,
        "state": adapter.state,
    }
    return Node(kind="adapter", id=adapter.id, facts=keep_known(facts), children=children)


def _dataset_back(trail: Trail, dataset: DatasetVersion) -> Node:
    facts = {**_dataset_facts(dataset), "digest": dataset.digest}
    node = Node(kind="dataset", id=name_dataset(dataset), facts=facts, children=(describe_journal(trail, dataset),))
    return with_commit(trail, ("curate", node.id), node)


def _dataset_facts(dataset: DatasetVersion) -> dict[str, Fact]:
    parts = {name: part.rows for name, part in dataset.parts.items()}
    facts: dict[str, Fact] = {"agent": dataset.agent, **parts, **dataset.origins, "parent": dataset.parent}
    return keep_known({**facts, "recipe": dataset.recipe, "state": dataset.state})


def _dataset_forward(trail: Trail, dataset: DatasetVersion) -> Node:
    name = name_dataset(dataset)
    learned = [each for each in trail.snapshot.adapters() if each.dataset == name]
    children = tuple(_adapter_forward(trail, each) for each in learned)
    node = Node(kind="dataset", id=name, facts=_dataset_facts(dataset), children=children)
    return with_commit(trail, ("curate", name), node)


def _adapter_forward(trail: Trail, adapter: Adapter) -> Node:
    carried = [each for each in trail.snapshot.variants(adapter.agent) if each.adapter == adapter.id]
    children = tuple(_variant_forward(trail, each) for each in carried)
    return with_commit(trail, ("train", adapter.id), _adapter_node(adapter, children))


def _variant_forward(trail: Trail, variant: Variant) -> Node:
    facts: dict[str, Fact] = {"agent": variant.agent, "prompt": variant.prompt}
    node = Node(kind="variant", id=variant.id, facts=facts, children=tuple(_agent_nodes(trail.snapshot, variant)))
    return with_commit(trail, ("variant", variant.id), node)


def _agent_nodes(snapshot: Snapshot, variant: Variant) -> Iterator[Node]:
    for agent in snapshot.agents():
        if role := _role(agent, variant.id):
            yield Node(kind="agent", id=agent.agent, facts={"role": role, "generation": agent.generation})


def _role(agent: Agent, variant: str) -> str:
    challengers = dict.fromkeys(agent.challengers, "challenger")
    return {**challengers, agent.previous: "previous", agent.champion: "champion"}.get(variant, "")

"""What may be done to the registry: one function, one commit, its preconditions checked under the lock."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
import tomli_w

from cortex_cli.domain.errors import ConflictError, IntegrityError, UsageError
from cortex_cli.domain.manifests import (
    Adapter,
    Agent,
    Blob,
    DatasetVersion,
    Experiment,
    Model,
    Parameter,
    Variant,
    adapter_id,
    dataset_digest,
    variant_id,
)
from cortex_cli.domain.tables import to_plain
from cortex_cli.registry.preconditions import (
    check_blobs,
    check_contestants,
    check_derived,
    check_expected,
    check_same_definition,
    cited_evidence,
    own_variant,
    usable_variant,
)
from cortex_cli.registry.repository import Change, Done, Registry
from cortex_cli.registry.snapshot import ADAPTERS, AGENTS, EXPERIMENTS, MODELS, VARIANTS, Snapshot, dataset_path
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.objects import ObjectStore

__all__ = [
    "Moved",
    "add_adapter",
    "add_agent",
    "add_dataset",
    "add_experiment",
    "add_model",
    "add_variant",
    "change_dataset_state",
    "finish_experiment",
    "make_variant",
    "promote",
    "record_evaluation",
    "render_manifest",
    "rollback",
]

T = TypeVar("T", bound=msgspec.Struct)
_UNCHANGED = "nothing was changed"


class Moved(NamedTuple):
    """A champion that changed: who it was, who it is, the agent's generation now, and the commit."""

    agent: str
    before: str
    after: str
    generation: int
    commit: str


def render_manifest(manifest: msgspec.Struct) -> bytes:
    """Render *manifest* as TOML: fields in the order of their type, tables sorted, defaults left out."""
    plain = {key: _sorted(value) for key, value in to_plain(manifest).items()}
    if hasattr(manifest, "schema"):
        plain = {"schema": manifest.schema, **plain}
    return tomli_w.dumps(plain).encode()


def make_variant(
    snapshot: Snapshot,
    *,
    agent: str,
    model: str,
    adapter: str = "",
    prompt: str = "",
    parameters: Mapping[str, Parameter] | None = None,
) -> Variant:
    """Build a variant whose prompt text and id are those of *snapshot*; nothing is written.

    Without *prompt* it is the agent's only prompt, or the one called default. Raises `UsageError`
    when a part is not there.
    """
    with snapshot:
        _check_parts(snapshot, agent, model, adapter)
        prompt = prompt or _default_prompt(snapshot, agent)
        blob = snapshot.blob(prompt)
    if not blob:
        raise UsageError(f"there is no committed prompt '{prompt}'", hint="cortex prompt ls", state=_UNCHANGED)
    values = dict(parameters or {})
    draft = Variant(
        id="", agent=agent, model=model, adapter=adapter, prompt=prompt, prompt_blob=blob, parameters=values
    )
    return msgspec.structs.replace(draft, id=variant_id(draft))


def add_agent(registry: Registry, agent: Agent) -> str:
    """Commit a new *agent*; raise `UsageError` when one of that name has another state."""
    path, data = AGENTS.path(agent.agent), render_manifest(agent)

    def plan(snapshot: Snapshot) -> Change:
        if snapshot.read(path) not in (None, data):
            raise UsageError(f"agent '{agent.agent}' exists already", hint="cortex status", state=_UNCHANGED)
        for variant in filter(None, (agent.champion, agent.previous, *agent.challengers)):
            own_variant(snapshot, agent.agent, variant)
        if not set(agent.split) <= set(agent.challengers) or sum(agent.split.values()) >= 1:
            raise UsageError(f"the split {agent.split} is not one of challengers below 1", state=_UNCHANGED)
        return Change(Trailers("agent", agent.agent, to=agent.champion), {path: data})

    return registry.update(plan).commit


def add_model(registry: Registry, model: Model) -> str:
    """Commit the base model *model*, new or changed."""
    return registry.commit(Trailers("model", model.name), {MODELS.path(model.name): render_manifest(model)})


def add_variant(registry: Registry, variant: Variant) -> Variant:
    """Commit *variant*; raise when its id is not that of its content or a part of it is not there."""
    check_derived("variant", variant.id, variant_id(variant))

    def plan(snapshot: Snapshot) -> Change:
        _check_parts(snapshot, variant.agent, variant.model, variant.adapter)
        if snapshot.read_blob(variant.prompt_blob) is None:
            raise IntegrityError(f"variant '{variant.id}' has a prompt that git does not hold", state=_UNCHANGED)
        return Change(
            Trailers("variant", variant.agent, to=variant.id), {VARIANTS.path(variant.id): render_manifest(variant)}
        )

    registry.update(plan)
    return variant


def add_adapter(registry: Registry, adapter: Adapter) -> str:
    """Commit *adapter*, new, revoked or with new scores; its files must be durable objects before.

    What learned from a version that was revoked meanwhile is revoked from the start.
    """
    check_derived("adapter", adapter.id, adapter_id(adapter.name, adapter.files))

    def plan(snapshot: Snapshot) -> Change:
        snapshot.agent(adapter.agent)
        revoked = {f"{each.name}/{each.version}" for each in snapshot.datasets() if each.state == "revoked"}
        spoilt = not revoked.isdisjoint((adapter.dataset, *adapter.ancestors))
        kept = msgspec.structs.replace(adapter, state="revoked") if spoilt else adapter
        record = Trailers("train", adapter.agent, to=adapter.id, run_id=adapter.run)
        return Change(record, {ADAPTERS.path(adapter.id): render_manifest(kept)})

    return registry.update(plan).commit


def record_evaluation(registry: Registry, adapter: str, scores: Mapping[str, float], evaluation: Blob) -> str:
    """Commit what was found of *adapter*: *scores*, and the object with the gates; without a change there is no commit."""

    def plan(snapshot: Snapshot) -> Change:
        found = snapshot.adapter(adapter)
        told = msgspec.structs.replace(found, scores=dict(scores), evaluation=evaluation)
        record = Trailers("evaluate", found.agent, to=adapter, evidence=evaluation.digest)
        return Change(record, {ADAPTERS.path(adapter): render_manifest(told)})

    return registry.update(plan).commit


def add_dataset(registry: Registry, version: DatasetVersion) -> str:
    """Commit a dataset *version*; raise `ConflictError` when that version exists with other content."""
    check_derived("dataset", version.digest, dataset_digest(version.parts, version.lineage))
    name = f"{version.name}/{version.version}"
    path, data = dataset_path(version.name, version.version), render_manifest(version)

    def plan(snapshot: Snapshot) -> Change:
        snapshot.agent(version.agent)
        if snapshot.blob(path) and snapshot.dataset(version.name, version.version).digest != version.digest:
            raise ConflictError(
                f"dataset '{name}' exists with other content", hint="cortex dataset ls", state=_UNCHANGED
            )
        return Change(Trailers("curate", version.agent, from_=version.parent, to=name), {path: data})

    return registry.update(plan).commit


def change_dataset_state(registry: Registry, dataset: str, state: Literal["live", "quarantined"], reason: str) -> str:
    """Commit that the version *dataset*, `name/v0001`, is `quarantined`, or `live` again, for *reason*.

    A quarantined version is never trained on. Without a change there is no commit; raises `ConflictError` for a
    revoked version, whose content is gone.
    """
    name, _, number = dataset.partition("/")
    action = "quarantine" if state == "quarantined" else "release"

    def plan(snapshot: Snapshot) -> Change:
        found = snapshot.dataset(name, number)
        if found.state == "revoked":
            raise ConflictError(f"dataset '{dataset}' is revoked for ever", hint="cortex curate", state=_UNCHANGED)
        told = reason if state == "quarantined" else ""
        changed = found if found.state == state else msgspec.structs.replace(found, state=state, reason=told)
        record = Trailers(action, found.agent, to=f"{name}/{found.version}", reason=reason)
        return Change(record, {dataset_path(name, found.version): render_manifest(changed)})

    return registry.update(plan).commit


def add_experiment(registry: Registry, experiment: Experiment) -> str:
    """Commit a new *experiment*; while it runs it and its challengers stand in the agent's state.

    Raises `ConflictError` when the champion is another one by now or another experiment is running.
    """
    path = EXPERIMENTS.path(experiment.id)

    def plan(snapshot: Snapshot) -> Change:
        agent = snapshot.agent(experiment.agent)
        if snapshot.read(path) not in (None, render_manifest(experiment)):
            raise UsageError(f"experiment '{experiment.id}' exists already", hint="cortex ab status", state=_UNCHANGED)
        check_contestants(registry, snapshot, agent, experiment)
        files: dict[str, bytes | None] = {path: render_manifest(experiment)}
        if experiment.state == "running":
            files[AGENTS.path(agent.agent)] = render_manifest(_with_experiment(agent, experiment))
        return Change(Trailers("ab", agent.agent, to=experiment.id), files)

    return registry.update(plan).commit


def finish_experiment(registry: Registry, experiment: Experiment) -> str:
    """Commit the verdict and evidence of a running experiment, whose challengers leave the agent's state.

    Raises `ConflictError` when it is not running, or is another experiment than the one that began.
    """
    path = EXPERIMENTS.path(experiment.id)
    outcome = experiment.verdict.outcome if experiment.verdict else experiment.state

    def plan(snapshot: Snapshot) -> Change:
        begun = snapshot.experiment(experiment.id)
        if snapshot.read(path) != render_manifest(experiment):
            check_same_definition(begun, experiment)
        agent = snapshot.agent(experiment.agent)
        files: dict[str, bytes | None] = {path: render_manifest(experiment)}
        if agent.experiment == experiment.id:
            files[AGENTS.path(agent.agent)] = render_manifest(_without(agent, experiment.challengers, experiment=""))
        evidence = experiment.evidence.digest if experiment.evidence else ""
        return Change(Trailers("decide", agent.agent, from_=experiment.id, to=outcome, evidence=evidence), files)

    return registry.update(plan).commit


def promote(  # what a promotion is answerable for, each by its name
    registry: Registry, agent: str, variant: str, *, expect: str = "", evidence: str = "", experiment: str = ""
) -> Moved:
    """Make *variant* the champion of *agent* in one commit; the champion before becomes its previous.

    *expect* is the champion that the caller saw: when it is another one by now, `ConflictError` says who
    moved it, when and by which commit. Raises `UsageError` for the present champion and for a variant of
    another agent, `ConflictError` for a revoked adapter. On any error nothing is changed.
    """

    def plan(snapshot: Snapshot) -> Change:
        state = snapshot.agent(agent)
        check_expected(registry, state, expect)
        usable_variant(snapshot, state, variant)
        cited = evidence
        if experiment:
            cited = cited_evidence(snapshot, state, variant, experiment) or evidence
        left = "" if experiment and state.experiment == experiment else state.experiment
        return _move(
            Trailers("promote", agent, state.champion, variant, evidence=cited, run_id=experiment),
            msgspec.structs.replace(state, experiment=left),
        )

    return _moved(registry.update(plan))


def rollback(registry: Registry, agent: str, *, to: str = "", objects: ObjectStore) -> Moved:
    """Make *to*, or the previous champion, the champion of *agent* again, by a commit forward.

    Before anything moves every file of its adapter is read and checked: `IntegrityError` names the one
    that is missing or corrupt. Raises `UsageError` when there is nothing to go back to.
    """

    def plan(snapshot: Snapshot) -> Change:
        state = snapshot.agent(agent)
        target = to or state.previous
        if not target:
            raise UsageError(f"agent '{agent}' has no previous champion", hint=f"cortex log {agent}", state=_UNCHANGED)
        variant = usable_variant(snapshot, state, target)
        if variant.adapter:
            check_blobs(snapshot.adapter(variant.adapter), objects)
        return _move(Trailers("rollback", agent, state.champion, target), state)

    return _moved(registry.update(plan))


def _move(record: Trailers, state: Agent) -> Change:
    left = _without(state, (record.to,), experiment=state.experiment)
    generation = state.generation + 1
    moved = msgspec.structs.replace(left, champion=record.to, previous=state.champion, generation=generation)
    return Change(
        msgspec.structs.replace(record, generation=generation), {AGENTS.path(state.agent): render_manifest(moved)}
    )


def _moved(done: Done) -> Moved:
    record = done.record
    return Moved(record.target, record.from_, record.to, record.generation or 0, done.commit)


def _without(state: Agent, gone: Iterable[str], *, experiment: str) -> Agent:
    left = tuple(challenger for challenger in state.challengers if challenger not in set(gone))
    split = {challenger: share for challenger, share in state.split.items() if challenger in left}
    return msgspec.structs.replace(state, challengers=left, split=split, experiment=experiment)


def _with_experiment(state: Agent, experiment: Experiment) -> Agent:
    challengers = tuple(dict.fromkeys((*state.challengers, *experiment.challengers)))
    split = dict(state.split)
    if experiment.mode == "split":
        # Equal shares, the champion's included: the fewest tasks to a decision.
        split |= dict.fromkeys(experiment.challengers, round(1 / (len(challengers) + 1), 6))
    return msgspec.structs.replace(state, challengers=challengers, split=split, experiment=experiment.id)


def _check_parts(snapshot: Snapshot, agent: str, model: str, adapter: str) -> None:
    snapshot.agent(agent)
    snapshot.model(model)
    if adapter:
        snapshot.adapter(adapter)


def _default_prompt(snapshot: Snapshot, agent: str) -> str:
    folder = f"prompts/{agent}"
    found = [path for path in snapshot.list(folder) if path.endswith(".md")]
    if len(found) == 1:
        return found[0]
    if f"{folder}/default.md" in found:
        return f"{folder}/default.md"
    raise UsageError(
        f"agent '{agent}' has {len(found)} committed prompts and none called default: name one",
        hint="cortex prompt ls",
        state=_UNCHANGED,
    )


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value

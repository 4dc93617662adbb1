"""What `cortex status` says: the live state of every agent, read at one commit."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cortex_cli.domain.manifests import Agent, DatasetVersion, Experiment, Variant

if TYPE_CHECKING:
    from cortex_cli.registry.history import Event
    from cortex_cli.registry.repository import Registry
    from cortex_cli.registry.snapshot import Snapshot

__all__ = ["AgentView", "DataView", "ExperimentView", "LastCommit", "Overview", "VariantView", "read_overview"]

# An agent whose last event lies further back is shown without one: status must not read a whole history.
_LOOK_BACK = 500


class VariantView(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as it answers: its model, adapter and prompt, and its share of traffic."""

    id: str
    model: str
    adapter: str
    prompt: str
    share: float


class ExperimentView(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment in short; *outcome* is empty until there is a verdict."""

    id: str
    state: str
    mode: str
    tasks: int
    outcome: str


class DataView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest dataset version, and how many training examples a recipe asks for (0: none does)."""

    name: str
    version: str
    examples: int
    needed: int


class LastCommit(msgspec.Struct, frozen=True, kw_only=True):
    """The newest commit that concerns an agent, or the workspace."""

    commit: str
    time: str
    subject: str
    author: str


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """One agent as it is served now."""

    agent: str
    summary: str
    generation: int
    champion: VariantView | None
    previous: str
    challengers: tuple[VariantView, ...]
    experiment: ExperimentView | None
    datasets: tuple[DataView, ...]
    last: LastCommit | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that status shows, all of it at *commit*."""

    workspace: str
    commit: str
    agents: tuple[AgentView, ...]
    last: LastCommit | None


def read_overview(registry: "Registry") -> Overview:
    """Read the state of *registry* at its head; raise what reading a broken manifest raises."""
    from cortex_cli.registry.history import read_log

    root = registry.workspace.root
    with registry.snapshot() as snapshot:
        agents = snapshot.agents()
        last = _last_events((agent.agent for agent in agents), read_log(registry, limit=_LOOK_BACK))
        newest = [snapshot.dataset(*version) for version in dict(snapshot.versions()).items()]
        needed = _needed_examples(root / "recipes") if newest else {}
        data = {agent.agent: tuple(_data_views(newest, agent.agent, needed)) for agent in agents}
        views = tuple(_agent_view(snapshot, agent, data[agent.agent], last.get(agent.agent)) for agent in agents)
    return Overview(workspace=str(root), commit=snapshot.commit, agents=views, last=last.get(""))


def _agent_view(
    snapshot: "Snapshot", agent: Agent, datasets: tuple[DataView, ...], last: LastCommit | None
) -> AgentView:
    left = 1.0 - sum(agent.split.values())
    return AgentView(
        agent=agent.agent,
        summary=agent.summary,
        generation=agent.generation,
        champion=_variant_view(snapshot.variant(agent.champion), left) if agent.champion else None,
        previous=agent.previous,
        challengers=tuple(
            _variant_view(snapshot.variant(each), agent.split.get(each, 0.0)) for each in agent.challengers
        ),
        experiment=_experiment_view(snapshot.experiment(agent.experiment)) if agent.experiment else None,
        datasets=datasets,
        last=last,
    )


def _variant_view(variant: Variant, share: float) -> VariantView:
    return VariantView(
        id=variant.id, model=variant.model, adapter=variant.adapter, prompt=variant.prompt, share=round(share, 6)
    )


def _experiment_view(experiment: Experiment) -> ExperimentView:
    verdict = experiment.verdict
    return ExperimentView(
        id=experiment.id,
        state=experiment.state,
        mode=experiment.mode,
        tasks=verdict.tasks if verdict else 0,
        outcome=verdict.outcome if verdict else "",
    )


def _data_views(newest: Iterable[DatasetVersion], agent: str, needed: Mapping[str, int]) -> Iterable[DataView]:
    for version in newest:
        if version.agent != agent:
            continue
        part = version.parts.get("train")
        yield DataView(
            name=version.name,
            version=version.version,
            examples=part.rows if part else 0,
            needed=needed.get(version.name, 0),
        )


def _needed_examples(folder: Path) -> dict[str, int]:
    """Return how many training examples the recipes ask of each dataset; a broken recipe asks for nothing."""
    from cortex_cli.train.spec import TrainSpec

    needed: dict[str, int] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            spec = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")).get("train"), TrainSpec)
        except (msgspec.ValidationError, ValueError, OSError):
            continue
        name = spec.dataset.partition("/")[0]
        needed[name] = max(spec.min_examples, needed.get(name, 0))
    return needed


def _last_events(agents: Iterable[str], events: Iterable["Event"]) -> dict[str, LastCommit]:
    wanted = {"", *agents}
    found: dict[str, LastCommit] = {}
    for event in events:
        entry = LastCommit(commit=event.commit, time=event.time, subject=event.subject, author=event.author)
        found.setdefault("", entry)
        if event.target in wanted:
            found.setdefault(event.target, entry)
        if len(found) == len(wanted):
            break
    return found

"""What `cortex status` says: the live state of every agent, read at one commit."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cortex_cli.domain.manifests import Agent, DatasetVersion, Experiment
from cortex_cli.pipeline.readiness import Ground, Readiness, read_readiness

if TYPE_CHECKING:
    from cortex_cli.pipeline.place import Place
    from cortex_cli.registry.history import Event
    from cortex_cli.registry.snapshot import Snapshot
    from cortex_cli.store.journal import Journal
    from cortex_cli.store.workspace import Workspace

__all__ = [
    "AgentView",
    "DataView",
    "ExperimentView",
    "JournalView",
    "LastCommit",
    "Overview",
    "VariantView",
    "VolumeView",
    "read_overview",
]

# An agent whose last event lies further back is shown without one: status must not read a whole history.
_LOOK_BACK = 500


class VariantView(msgspec.Struct, frozen=True, kw_only=True):
    """A variant as it answers: its model, adapter and prompt, and its share of traffic.

    *revoked* says that its adapter learned from what was forgotten since.
    """

    id: str
    model: str
    adapter: str
    prompt: str
    share: float
    revoked: bool = False


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
    state: str = "live"


class LastCommit(msgspec.Struct, frozen=True, kw_only=True):
    """The newest commit that concerns an agent, or the workspace."""

    commit: str
    time: str
    subject: str
    author: str


class VolumeView(msgspec.Struct, frozen=True, kw_only=True):
    """How much the journal holds of one agent: *interactions*, and what a thousand of them take."""

    interactions: int
    bytes_per_1000: int


class JournalView(msgspec.Struct, frozen=True, kw_only=True):
    """How large the journal is on disk, in bytes, and what of each agent is in it."""

    bytes: int = 0
    agents: dict[str, VolumeView] = {}


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
    readiness: tuple[Readiness, ...]
    last: LastCommit | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that status shows, all of it at *commit*; the journal as it is now."""

    workspace: str
    commit: str
    agents: tuple[AgentView, ...]
    last: LastCommit | None
    journal: JournalView


def read_overview(place: "Place", *, today: date) -> Overview:
    """Read the state of *place* at its head; raise what reading a broken manifest raises."""
    from cortex_cli.registry.history import read_log
    from cortex_cli.store.journal import Journal

    registry, root = place.registry, place.workspace.root
    with registry.snapshot() as snapshot, Journal(place.workspace.journal_path) as journal:
        agents = snapshot.agents()
        recent = _read_recent({agent.agent for agent in agents}, snapshot, read_log(registry, limit=_LOOK_BACK))
        newest = [snapshot.dataset(*version) for version in dict(snapshot.versions()).items()]
        ready = read_readiness(Ground(snapshot, journal, place.objects, recent.trained, today), root / "recipes")
        views = tuple(_agent_view(snapshot, agent, newest, ready, recent) for agent in agents)
        volume = _journal_view(place.workspace, journal)
    last = recent.last.get("")
    return Overview(workspace=str(root), commit=snapshot.commit, agents=views, last=last, journal=volume)


def _journal_view(workspace: "Workspace", journal: "Journal") -> JournalView:
    files = [path for path in workspace.private.glob("journal.db*") if path.is_file()]
    agents = {
        agent: VolumeView(interactions=volume.rows, bytes_per_1000=round(1000 * volume.bytes / max(1, volume.rows)))
        for agent, volume in journal.volumes().items()
    }
    return JournalView(bytes=sum(path.stat().st_size for path in files), agents=agents)


def _agent_view(
    snapshot: "Snapshot", agent: Agent, newest: list[DatasetVersion], ready: list[Readiness], recent: "_Recent"
) -> AgentView:
    needed: dict[str, int] = {}
    for each in ready:
        name = each.dataset.partition("/")[0]
        needed[name] = max(each.data_collection.min_required, needed.get(name, 0))
    left = 1.0 - sum(agent.split.values())
    return AgentView(
        agent=agent.agent,
        summary=agent.summary,
        generation=agent.generation,
        champion=_variant_view(snapshot, agent.champion, left) if agent.champion else None,
        previous=agent.previous,
        challengers=tuple(_variant_view(snapshot, each, agent.split.get(each, 0.0)) for each in agent.challengers),
        experiment=_experiment_view(snapshot.experiment(agent.experiment)) if agent.experiment else None,
        datasets=tuple(_data_views(newest, agent.agent, needed)),
        readiness=tuple(each for each in ready if each.agent == agent.agent),
        last=recent.last.get(agent.agent),
    )


def _variant_view(snapshot: "Snapshot", name: str, share: float) -> VariantView:
    variant = snapshot.variant(name)
    return VariantView(
        id=variant.id,
        model=variant.model,
        adapter=variant.adapter,
        prompt=variant.prompt,
        share=round(share, 6),
        revoked=bool(variant.adapter) and snapshot.adapter(variant.adapter).state == "revoked",
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
            state=version.state,
        )


class _Recent(NamedTuple):
    """Of each agent the *last* commit that concerns it ("" for the workspace), and the newest adapter *trained*."""

    last: dict[str, LastCommit]
    trained: dict[str, str]


def _read_recent(agents: set[str], snapshot: "Snapshot", events: Iterable["Event"]) -> _Recent:
    from cortex_cli.registry.snapshot import ADAPTERS

    recent = _Recent({}, {})
    # A history is read no further than to the last training of those who had one.
    learned = agents & {name.rpartition("-")[0] for name in snapshot.names(ADAPTERS)}
    for event in events:
        entry = LastCommit(commit=event.commit, time=event.time, subject=event.subject, author=event.author)
        recent.last.setdefault("", entry)
        if event.target in agents:
            recent.last.setdefault(event.target, entry)
        if event.action == "train" and event.target in agents:
            recent.trained.setdefault(event.target, event.to)
        if len(recent.last) > len(agents) and learned <= recent.trained.keys():
            break
    recent.trained.update(_find_older(snapshot, learned - recent.trained.keys()))
    return recent


def _find_older(snapshot: "Snapshot", agents: set[str]) -> dict[str, str]:
    """Return the newest adapter of each of *agents*, whose last training lies further back than was looked."""
    adapters = [each for each in snapshot.adapters() if each.agent in agents] if agents else []
    return {each.agent: each.id for each in sorted(adapters, key=lambda each: each.created)}

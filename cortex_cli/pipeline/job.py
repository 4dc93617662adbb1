"""A planned training: what a recipe, a dataset version and a base come to, before anything is done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from cortex_cli.collect.masking import Policy
from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.domain.manifests import Adapter, Agent, DatasetVersion, Model, Variant
from cortex_cli.pipeline.plan import Step, plan_training
from cortex_cli.pipeline.recipes import Recipe
from cortex_cli.pipeline.teachers import find_teacher
from cortex_cli.registry.actions import make_variant
from cortex_cli.registry.history import read_log
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.train.spec import TrainSpec

if TYPE_CHECKING:
    from cortex_cli.train.loop import Progress

__all__ = ["Job", "Means", "draft_challenger", "find_earlier", "narrow_job", "plan_job", "prompt_of"]

_UNTRAINED = "nothing was trained"


def _silent(_progress: "Progress") -> None:
    pass


@dataclass(frozen=True, slots=True)
class Means:
    """How a training is watched and paid: each step's progress, a line per stage, dollars per hour of this machine.

    A teacher's answers are masked by *policy*.
    """

    watch: "Callable[[Progress], None]" = _silent
    tell: Callable[[str, str], None] = lambda _stage, _text: None
    hourly: float = 0.0
    policy: Policy = "standard"


@dataclass(frozen=True, slots=True)
class Job:
    """A planned training: the recipe and its name, the dataset version, base, step, champion, adapter to go on from."""

    name: str
    recipe: Recipe
    spec: TrainSpec
    dataset: DatasetVersion
    base: Model
    champion: Variant
    step: Step
    start: Adapter | None = None


def plan_job(snapshot: Snapshot, recipe: Recipe, *, name: str, earlier: Adapter | None = None) -> Job:
    """Plan the `[train]` table of *recipe*, called *name*, against *snapshot*, changing nothing.

    *earlier* is the adapter that `start = "latest"` means.
    """
    spec = _table(recipe)
    source, _, version = spec.dataset.partition("/")
    dataset = snapshot.dataset(source, version)
    _check_dataset(dataset)
    champion = prompt_of(snapshot, spec.agent)
    base = snapshot.model(spec.base)
    start = _find_start(snapshot, spec, earlier)
    step = plan_training(spec, dataset, base, champion.prompt_blob, **_other_inputs(snapshot, spec, start))
    done = next((each.id for each in snapshot.adapters() if step.digest in (each.run, each.plan)), "")
    if done and snapshot.adapter(done).state == "revoked":
        done = ""
    return Job(name, recipe, spec, dataset, base, champion, msgspec.structs.replace(step, done=done), start)


def narrow_job(snapshot: Snapshot, job: Job, spec: TrainSpec, *, part: str = "") -> Job:
    """Return *job* with another table: a choice of a search, or a domain of it. The step is that of the table alone."""
    base = snapshot.model(spec.base)
    start = job.start if job.start and job.start.base == spec.base else None
    others = {**_other_inputs(snapshot, spec, start), "part": part}
    step = plan_training(spec, job.dataset, base, job.champion.prompt_blob, **others)
    done = next((each.id for each in snapshot.adapters() if each.run == step.digest and each.state == "live"), "")
    step = msgspec.structs.replace(step, done=done)
    return Job(job.name, job.recipe, spec, job.dataset, base, job.champion, step, start)


def prompt_of(snapshot: Snapshot, agent: str) -> Variant:
    """Return the champion of *agent*, under whose prompt is trained; raise `UsageError` when there is none."""
    state: Agent = snapshot.agent(agent)
    if not state.champion:
        raise UsageError(
            f"agent '{agent}' has no champion, so there is no prompt to train under",
            hint=f"cortex promote {agent} VARIANT",
            state=_UNTRAINED,
        )
    return snapshot.variant(state.champion)


def draft_challenger(snapshot: Snapshot, agent: str, adapter: Adapter) -> Variant:
    """Return the variant that *adapter* would challenge as: under the champion's prompt, with its parameters."""
    champion = prompt_of(snapshot, agent)
    return make_variant(
        snapshot,
        agent=agent,
        model=adapter.base,
        adapter=adapter.id,
        prompt=champion.prompt,
        parameters=champion.parameters,
    )


def find_earlier(registry: Registry, snapshot: Snapshot, spec: TrainSpec, base: str = "") -> Adapter | None:
    """Return the newest live adapter before that of *spec*, over *base* if it is given, by the order of commits.

    Specialists are left out: they were trained on a part. An encoder comes after encoders only, and what answers after
    what answers.
    """
    encodes = spec.objective == "mntp"
    for event in read_log(registry, spec.agent):
        if event.action == "train" and f"{event.to}.toml" in snapshot.entries("registry/adapters"):
            adapter = snapshot.adapter(event.to)
            alike = not adapter.domain and (adapter.objective == "mntp") == encodes and base in ("", adapter.base)
            if alike and adapter.state == "live":
                return adapter
    return None


def _find_start(snapshot: Snapshot, spec: TrainSpec, earlier: Adapter | None) -> Adapter | None:
    if spec.start in ("", "latest"):
        return earlier if spec.start else None
    adapter = snapshot.adapter(spec.start)
    if adapter.state == "revoked" or adapter.base != spec.base:
        why = "is revoked" if adapter.state == "revoked" else f"was trained over '{adapter.base}', not '{spec.base}'"
        raise ConflictError(
            f"adapter '{adapter.id}' {why}, so nothing goes on from it",
            hint='set start = "latest" or leave it out in [train]',
            state=_UNTRAINED,
        )
    return adapter


def _other_inputs(snapshot: Snapshot, spec: TrainSpec, start: Adapter | None) -> dict[str, str]:
    """Return what else decides the result: the adapter gone on from, and who the teacher is behind its name."""
    teacher = find_teacher(snapshot, spec.distil.teacher, spec.agent).identity if spec.objective == "distil" else ""
    return {"start": start.id if start else "", "teacher": teacher}


def _table(recipe: Recipe) -> TrainSpec:
    if recipe.train is None:
        raise UsageError("this recipe has no [train] table", hint="cortex recipe ls", state=_UNTRAINED)
    return recipe.train


def _check_dataset(dataset: DatasetVersion) -> None:
    if dataset.state != "live":
        raise ConflictError(
            f"dataset '{dataset.name}/{dataset.version}' is {dataset.state} and must not be trained on",
            hint=f"cortex dataset show {dataset.name}",
            state=_UNTRAINED,
        )
    if "train" not in dataset.parts:
        raise UsageError(
            f"dataset '{dataset.name}/{dataset.version}' has no train part",
            hint=f"cortex dataset show {dataset.name}",
            state=_UNTRAINED,
        )

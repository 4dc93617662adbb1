"""The training stage: a recipe and a dataset version in; an adapter, its manifest and one commit out."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from cortex_cli.curate.versions import read_examples
from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import Adapter, Agent, DatasetVersion, Model, Variant, adapter_id
from cortex_cli.models.bases import prepare_torch, require_train_extra
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.plan import Step, plan_training
from cortex_cli.pipeline.recipes import Recipe, stage_digest
from cortex_cli.pipeline.variants import find_base, read_prompt, render_request
from cortex_cli.registry.actions import add_adapter, add_variant, make_variant
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.locks import hold
from cortex_cli.train.spec import TrainSpec

if TYPE_CHECKING:
    from cortex_cli.train.loop import Watch
    from cortex_cli.train.sft import Fitted

__all__ = ["Job", "Trained", "plan_recipe", "register_challenger", "train_recipe"]


@dataclass(frozen=True, slots=True)
class Job:
    """A planned training: the recipe's name and table, the dataset version, the base, the step."""

    name: str
    spec: TrainSpec
    dataset: DatasetVersion
    base: Model
    step: Step


@dataclass(frozen=True, slots=True)
class Trained:
    """What the stage left: the adapter, and whether this call trained it or found it done."""

    adapter: Adapter
    step: Step
    commit: str
    skipped: bool
    too_long: int = 0


def plan_recipe(snapshot: Snapshot, recipe: Recipe, *, name: str) -> Job:
    """Plan the `[train]` table of *recipe*, called *name*, against *snapshot*, changing nothing."""
    spec = _table(recipe)
    source, _, version = spec.dataset.partition("/")
    dataset = snapshot.dataset(source, version)
    _check_dataset(dataset)
    base = snapshot.model(spec.base)
    step = plan_training(spec, dataset, base, _prompt_of(snapshot, spec.agent).prompt_blob, done="")
    done = next((adapter.id for adapter in snapshot.adapters() if adapter.run == step.digest), "")
    return Job(name, spec, dataset, base, msgspec.structs.replace(step, done=done))


def train_recipe(
    place: Place, recipe: Recipe, *, name: str, fresh: bool = False, watch: "Watch" = lambda _progress: None
) -> Trained:
    """Train what *recipe*, called *name*, describes, unless that is done; register it in one commit.

    A run that was killed goes on from its checkpoint; *fresh* starts it anew. Blobs are written
    before the manifest, the manifest before the commit, so no half adapter is ever registered.
    """
    require_train_extra("training")
    prepare_torch()
    from cortex_cli.train.sft import fit_adapter

    snapshot = place.registry.snapshot()
    job = plan_recipe(snapshot, recipe, name=name)
    if job.step.done:
        return Trained(snapshot.adapter(job.step.done), job.step, snapshot.commit, skipped=True)
    base = find_base(place, snapshot, job.spec.base)
    run = place.workspace.runs_root / job.step.run()
    with hold(place.workspace.locks_root / "train.lock", purpose=f"train {name}", wait=0.0):
        if fresh:
            shutil.rmtree(run, ignore_errors=True)
        examples = list(_rendered(place, snapshot, job))
        fitted = fit_adapter(examples, base, job.spec, run, watch=watch)
        adapter = _manifest(place, job, fitted)
        commit = add_adapter(place.registry, adapter)
    return Trained(adapter, job.step, commit, skipped=False, too_long=fitted.too_long)


def register_challenger(place: Place, agent: str, adapter: Adapter) -> Variant:
    """Register *adapter* under the champion's prompt as a variant of *agent*, in one commit if it is new."""
    snapshot = place.registry.snapshot()
    prompt = _prompt_of(snapshot, agent)
    variant = make_variant(snapshot, agent=agent, model=adapter.base, adapter=adapter.id, prompt=prompt.prompt)
    return add_variant(place.registry, variant)


def _table(recipe: Recipe) -> TrainSpec:
    if recipe.train is None:
        raise UsageError("this recipe has no [train] table", hint="cortex recipe ls", state="nothing was trained")
    return recipe.train


def _check_dataset(dataset: DatasetVersion) -> None:
    if dataset.state != "live":
        raise ConflictError(
            f"dataset '{dataset.name}/{dataset.version}' is {dataset.state} and must not be trained on",
            hint=f"cortex dataset show {dataset.name}",
            state="nothing was trained",
        )


def _prompt_of(snapshot: Snapshot, agent: str) -> Variant:
    state: Agent = snapshot.agent(agent)
    if not state.champion:
        raise UsageError(
            f"agent '{agent}' has no champion, so there is no prompt to train under",
            hint=f"cortex promote {agent} VARIANT",
            state="nothing was trained",
        )
    return snapshot.variant(state.champion)


def _rendered(place: Place, snapshot: Snapshot, job: Job) -> Iterator[Example]:
    # Training sees what serving will show: the request inside the prompt.
    prompt = read_prompt(snapshot, _prompt_of(snapshot, job.spec.agent))
    examples = read_examples(place.objects, job.dataset, "train")
    if job.spec.objective == "sft":
        # A pair repeats an example beside another wrong answer: learning the right one twice would weigh it double.
        examples = (example for example in examples if example.source != "pair")
    for example in examples:
        yield msgspec.structs.replace(example, messages=render_request(prompt, example.messages))


def _manifest(place: Place, job: Job, fitted: "Fitted") -> Adapter:
    files = tuple(place.objects.put_file(path) for path in sorted(fitted.folder.iterdir()))
    result = fitted.result
    return Adapter(
        id=adapter_id(job.spec.agent, files),
        name=job.spec.agent,
        agent=job.spec.agent,
        base=job.base.name,
        base_digest=job.base.digest,
        files=files,
        dataset=f"{job.dataset.name}/{job.dataset.version}",
        dataset_digest=job.dataset.digest,
        recipe=job.name,
        recipe_digest=stage_digest(job.spec),
        objective=job.spec.objective,
        run=job.step.digest,
        examples=fitted.examples,
        tokens=result.tokens,
        steps=result.steps,
        seconds=round(result.seconds, 1),
        final_loss=round(result.loss, 6),
        created=place.time(),
    )

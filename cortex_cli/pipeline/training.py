"""The training stage: a recipe and a dataset version in; an adapter, its manifest and one commit out.

Check, prepare, configure, start, monitor, register: each is told as it begins. Blobs are written before the manifest, the
manifest before the commit, so no half adapter is ever registered; a killed command goes on where it was.
"""

import shutil
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from cortex_cli.domain.errors import GateRefusedError, UsageError
from cortex_cli.domain.manifests import Adapter, Variant, adapter_id
from cortex_cli.models.bases import prepare_torch, require_train_extra
from cortex_cli.pipeline.fitting import Kept, fit_job, folder_of, look_ahead
from cortex_cli.pipeline.job import Job, Means, draft_challenger, find_earlier, plan_job
from cortex_cli.pipeline.material import Material, count_new, gather
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.plan import Step
from cortex_cli.pipeline.predicting import figures_of, predict_job
from cortex_cli.pipeline.recipes import Recipe, stage_digest
from cortex_cli.pipeline.searching import Searched, search_job
from cortex_cli.pipeline.variants import find_base
from cortex_cli.registry.actions import add_adapter, add_variant
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.locks import hold

if TYPE_CHECKING:
    from cortex_cli.train.loop import Watch
    from cortex_cli.train.planning import Outlook
    from cortex_cli.train.prediction import Forecast

__all__ = [
    "Trained",
    "Withheld",
    "find_challenger",
    "forecast_needs",
    "open_job",
    "plan_recipe",
    "register_challenger",
    "run_training",
    "train_job",
    "train_recipe",
]


@dataclass(frozen=True, slots=True)
class Trained:
    """What the stage left: the adapter, and whether this call trained it or found it done."""

    adapter: Adapter
    step: Step
    commit: str
    skipped: bool
    too_long: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    forecast: "Forecast | None" = None
    searched: Searched | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why nothing was trained although nothing is wrong: too little that is new, or too small a chance."""

    step: Step
    reason: str
    forecast: "Forecast | None" = None


def plan_recipe(snapshot: Snapshot, recipe: Recipe, *, name: str, earlier: Adapter | None = None) -> Job:
    """Plan the `[train]` table of *recipe*, called *name*, against *snapshot*, changing nothing.

    *earlier* is the adapter that `start = "latest"` means.
    """
    return plan_job(snapshot, recipe, name=name, earlier=earlier)


def open_job(place: Place, snapshot: Snapshot, recipe: Recipe, *, name: str) -> Job:
    """Plan as `plan_recipe`; the adapter that `start = "latest"` means is found by the order of commits."""
    spec = recipe.train
    latest = spec is not None and spec.start == "latest"
    earlier = find_earlier(place.registry, snapshot, spec, spec.base) if spec and latest else None
    job = plan_recipe(snapshot, recipe, name=name, earlier=earlier)
    # What this very data and recipe made is not where it goes on from: the same command twice trains once.
    made = earlier is not None and earlier.dataset_digest == job.dataset.digest and earlier.recipe == name
    if earlier is not None and made and (earlier.plan or earlier.recipe_digest == stage_digest(job.spec)):
        return replace(job, step=msgspec.structs.replace(job.step, done=earlier.id))
    return job


def forecast_needs(place: Place, job: Job, means: Means = Means()) -> "Outlook":  # noqa: B008 - frozen
    """Return what training *job* will need of memory, time, disk and money; a few steps are tried, nothing is kept."""
    require_train_extra("training")
    prepare_torch()
    snapshot = place.registry.snapshot()
    _require_extras(job)
    with hold(place.workspace.locks_root / "train.lock", purpose=f"plan {job.name}", wait=0.0):
        material = gather(place, snapshot, job, means)
        _check_number(job, material)
        return look_ahead(place, snapshot, job, material.examples, means)


def run_training(
    place: Place,
    recipe: Recipe,
    *,
    name: str,
    fresh: bool = False,
    means: Means = Means(),  # noqa: B008 - frozen
) -> Trained | Withheld:
    """Train what *recipe*, called *name*, describes, unless that is done; register it in one commit.

    With `[train.search]` the winner is what is registered. Withheld is what has too few new examples, or too small a
    chance to beat the champion. A run that was killed goes on from its checkpoint; *fresh* starts it anew.
    """
    require_train_extra("training")
    prepare_torch()
    snapshot = place.registry.snapshot()
    means.tell("check", "the dataset, its parts, the base and the lock")
    job = open_job(place, snapshot, recipe, name=name)
    if job.step.done:
        return Trained(snapshot.adapter(job.step.done), job.step, snapshot.commit, skipped=True)
    _require_extras(job)
    find_base(place, snapshot, job.spec.base)
    with hold(place.workspace.locks_root / "train.lock", purpose=f"train {name}", wait=0.0):
        if fresh:
            shutil.rmtree(folder_of(place, job), ignore_errors=True)
        if (reason := _too_little_new(place, snapshot, job)) is not None:
            return Withheld(job.step, reason)
        return _train(place, snapshot, job, means)


def train_recipe(
    place: Place, recipe: Recipe, *, name: str, fresh: bool = False, watch: "Watch | None" = None
) -> Trained:
    """Train as `run_training`; raise `GateRefusedError` where that is withheld."""
    means = Means(watch=watch) if watch else Means()
    found = run_training(place, recipe, name=name, fresh=fresh, means=means)
    if isinstance(found, Withheld):
        raise GateRefusedError(found.reason, state="nothing was trained")
    return found


def train_job(place: Place, snapshot: Snapshot, job: Job, material: Material, means: Means) -> tuple[Adapter, Kept]:
    """Train *job* on *material* after planning what it needs; return the manifest, not registered yet, and the record."""
    means.tell("configure", "memory and time are planned")
    outlook = None
    if job.spec.engine != "trl":  # whose steps are its own: what one of ours takes says nothing of them
        outlook = look_ahead(place, snapshot, job, material.examples, means, fresh=False)
        memory = f"{outlook.peak / 2**30:.2f} GiB, {outlook.seconds:,.0f} s"
        means.tell("start", f"{outlook.steps:,} steps, {outlook.tokens:,} tokens, {memory} planned")
    kept = fit_job(place, snapshot, job, material.examples, means, outlook)
    counts = {**material.counts, **kept.counts}
    return _manifest(place, job, material, kept), msgspec.structs.replace(kept, counts=counts)


def register_challenger(place: Place, agent: str, adapter: Adapter) -> Variant:
    """Register *adapter* under the champion's prompt and parameters as a variant of *agent*, in one commit if it is new."""
    return add_variant(place.registry, draft_challenger(place.registry.snapshot(), agent, adapter))


def find_challenger(place: Place, adapter: Adapter) -> Variant | None:
    """Return the variant that *adapter* is under its agent's champion's prompt; None when it is not registered."""
    snapshot = place.registry.snapshot()
    made = draft_challenger(snapshot, adapter.agent, adapter)
    return next((each for each in snapshot.variants(adapter.agent) if each.id == made.id), None)


def _train(place: Place, snapshot: Snapshot, job: Job, means: Means) -> Trained | Withheld:
    searched, whole = None, job
    if job.spec.search is not None:
        whole, searched = search_job(place, snapshot, job, means)
    material = gather(place, snapshot, whole, means)
    means.tell("prepare", _told(material, whole))
    _check_number(whole, material)
    predicted = None
    if job.spec.predict is not None:
        predicted = predict_job(place, snapshot, _with_predict(whole, job), material, means)
        if predicted.skip:
            return Withheld(job.step, predicted.sentence, predicted)
    adapter, kept = train_job(place, snapshot, whole, material, means)
    means.tell("register", adapter.id)
    plan = job.step.digest if job.step.digest != whole.step.digest else ""
    adapter = msgspec.structs.replace(adapter, plan=plan, forecast=figures_of(predicted) if predicted else {})
    commit = add_adapter(place.registry, adapter)
    return Trained(
        adapter,
        job.step,
        commit,
        skipped=False,
        too_long=kept.counts.get("too_long", 0),
        counts=kept.counts,
        forecast=predicted,
        searched=searched,
        warnings=kept.warnings,
    )


def _with_predict(whole: Job, job: Job) -> Job:
    return replace(whole, spec=msgspec.structs.replace(whole.spec, predict=job.spec.predict))


def _require_extras(job: Job) -> None:
    from cortex_cli.train.search import require_search_extra
    from cortex_cli.train.tracking import require_trackers

    require_trackers(job.spec.track)
    if job.spec.search is not None:
        require_search_extra()


def _too_little_new(place: Place, snapshot: Snapshot, job: Job) -> str | None:
    """Return why nothing is trained yet: the marker of the last training is its adapter's manifest in git."""
    earlier = find_earlier(place.registry, snapshot, job.spec) if job.spec.min_new else None
    if earlier is None:
        return None
    new = count_new(place, snapshot, job, earlier)
    if new >= job.spec.min_new:
        return None
    return f"{new} examples have come since '{earlier.id}' was trained, the recipe asks for {job.spec.min_new}"


def _check_number(job: Job, material: Material) -> None:
    if len(material.examples) < job.spec.min_examples:
        raise UsageError(
            f"dataset '{job.spec.dataset}' has {len(material.examples)} training examples, "
            f"the recipe asks for {job.spec.min_examples}",
            hint="cortex status",
            state="nothing was trained",
        )


def _told(material: Material, job: Job) -> str:
    told = f"{len(material.examples):,} examples of {job.dataset.name}/{job.dataset.version}"
    if job.start is None:
        return told
    return f"{told}, {material.replayed:,} of them replayed; going on from {job.start.id}"


def _manifest(place: Place, job: Job, material: Material, kept: Kept, *, name: str = "") -> Adapter:
    folder = folder_of(place, job) / "adapter"
    files = tuple(place.objects.put_file(path) for path in sorted(folder.iterdir()))
    name = name or job.spec.agent
    return Adapter(
        id=adapter_id(name, files),
        name=name,
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
        examples=kept.examples,
        tokens=kept.tokens,
        steps=kept.steps,
        seconds=round(kept.seconds, 1),
        final_loss=round(kept.loss, 6),
        cost=round(kept.measured.get("cost", 0.0) + material.figures.get("dollars", 0.0), 4),
        created=place.time(),
        parent=job.start.id if job.start else "",
        ancestors=material.ancestors,
        replayed=material.replayed,
        planned=kept.planned,
        measured=kept.measured,
        figures={**material.figures, **kept.figures},
        trackers=kept.trackers,
    )

"""One real training of a job: planned, watched, kept in its run folder until it is registered."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cortex_cli.curate.versions import read_examples
from cortex_cli.domain.digests import canonical_json, digest_bytes
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import Adapter
from cortex_cli.evaluate.judges import judge_answer
from cortex_cli.pipeline.job import Job, Means
from cortex_cli.pipeline.material import render
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.teachers import localise
from cortex_cli.pipeline.variants import find_base, link_adapter
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.atomic import write_atomic

if TYPE_CHECKING:
    from cortex_cli.train.fitting import Fitted
    from cortex_cli.train.loop import Progress, Watch
    from cortex_cli.train.planning import Measured, Outlook
    from cortex_cli.train.tracking import Note, Trackers

__all__ = ["Kept", "fit_job", "folder_of", "look_ahead"]

_KEPT = "fitted.json"  # in the run's folder, written last
_CALIBRATIONS = "calibration.json"
_MEASURED = 32  # measurements that are kept: of the newest settings


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a training left in its run folder: digests of the adapter's *files*, what it did, what it was planned to take."""

    files: dict[str, str]
    examples: int
    counts: dict[str, int]
    steps: int
    tokens: int
    seconds: float
    loss: float
    stopped_early: bool
    planned: dict[str, float]
    measured: dict[str, float]
    figures: dict[str, float]
    trackers: dict[str, str]
    warnings: tuple[str, ...] = ()


def folder_of(place: Place, job: Job) -> Path:
    """Return the folder in which the step of *job* runs."""
    return place.workspace.runs_root / job.step.run()


def look_ahead(
    place: Place, snapshot: Snapshot, job: Job, examples: Sequence[Example], means: Means, *, fresh: bool = True
) -> "Outlook":
    """Return what training *job* on *examples* will need; a few steps are tried unless that was measured before.

    With *fresh* they are tried anew. What was measured is kept for the runs to come. Nothing is registered.
    """
    import time

    from cortex_cli.train import planning
    from cortex_cli.train.fitting import prepare_adapter

    base = find_base(place, snapshot, job.spec.base)
    machine = planning.read_machine(place.workspace.root)
    path = place.workspace.runs_root / _CALIBRATIONS
    key = planning.calibration_key(machine, job.base.digest or job.base.name, job.spec)
    known = _read_calibrations(path)
    runtime, began = planning.read_runtime(), time.monotonic()
    spec = localise(place, snapshot, job.spec, folder_of(place, job) / "teacher")
    prepared = prepare_adapter(examples, base, spec, start=_start_folder(place, job))
    work = planning.count_work(prepared.rows, job.spec.loop)
    if fresh or key not in known:
        known.pop(key, None)
        known[key] = planning.measure(prepared, job.spec.loop, work.steps, runtime=runtime, began=began)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, msgspec.json.encode(dict(list(known.items())[-_MEASURED:])))
    return planning.outlook(work, known[key], job.spec.loop, machine, hourly=means.hourly)


def fit_job(
    place: Place,
    snapshot: Snapshot,
    job: Job,
    examples: Sequence[Example],
    means: Means,
    outlook: "Outlook | None" = None,
) -> Kept:
    """Train *job* on *examples* in its run folder, unless a whole adapter of it is there; return what is there then.

    Raises `UsageError` when the *outlook* says that it does not fit. A kill leaves a checkpoint, and never an
    adapter without its record.
    """
    from cortex_cli.train.planning import read_runtime
    from cortex_cli.train.tracking import Trackers, find_openers

    run = folder_of(place, job)
    if (kept := _read_kept(run)) is not None:
        return kept
    if outlook is not None:
        _check_outlook(outlook)
    run.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(run / "adapter", ignore_errors=True)  # what a kill left while it was being written
    trackers = Trackers(find_openers(job.spec.track), _note(job), run)
    read_runtime()  # the peak is that of the training from here on

    def watch(progress: "Progress") -> None:
        trackers.log(progress)
        means.watch(progress)

    fitted = _fit(place, snapshot, job, examples, watch)
    held_out = _measure_held_out(place, snapshot, job, fitted.folder)
    kept = _record(fitted, trackers, outlook, means)
    kept = msgspec.structs.replace(kept, figures={**kept.figures, **held_out})
    write_atomic(run / _KEPT, canonical_json(kept))
    return kept


def _fit(place: Place, snapshot: Snapshot, job: Job, examples: Sequence[Example], watch: "Watch") -> "Fitted":
    from cortex_cli.train.engines import fit

    run, base = folder_of(place, job), find_base(place, snapshot, job.spec.base)
    if job.spec.objective == "grpo" and job.spec.engine == "trl":
        from cortex_cli.train.trl_engine import fit_rewarded

        judge = snapshot.agent(job.spec.agent).judge
        return fit_rewarded(
            examples,
            base,
            job.spec,
            run,
            reward=lambda example, answer: float(judge_answer(judge, answer, example.answer)),
            watch=watch,
        )
    spec = localise(place, snapshot, job.spec, run / "teacher")
    return fit(examples, base, spec, run, watch=watch, start=_start_folder(place, job))


def _measure_held_out(place: Place, snapshot: Snapshot, job: Job, adapter: Path) -> dict[str, float]:
    """Return what a preference adapter makes of pairs that it has not learned; nothing for other objectives."""
    if job.spec.objective != "preference" or job.spec.engine == "trl" or "valid" not in job.dataset.parts:
        return {}
    from cortex_cli.train.preference import measure_held_out

    examples = render(snapshot, job, read_examples(place.objects, job.dataset, "valid"))
    base = find_base(place, snapshot, job.spec.base)
    found = measure_held_out(examples, base, adapter, job.spec, start=_start_folder(place, job))
    return {f"valid_{name}": value for name, value in found.items()}


def _record(fitted: "Fitted", trackers: "Trackers", outlook: "Outlook | None", means: Means) -> Kept:
    """Close the run at its *trackers* and return what it left."""
    from cortex_cli.train.planning import read_peak

    result = fitted.result
    measured = {"seconds": round(result.seconds, 1), "memory": float(read_peak()), "steps": float(result.steps)}
    trackers.end({**measured, "final_loss": result.loss, "tokens": float(result.tokens)})
    return Kept(
        files=_digests(fitted.folder),
        examples=fitted.examples,
        counts=fitted.counts,
        steps=result.steps,
        tokens=result.tokens,
        seconds=result.seconds,
        loss=result.loss,
        stopped_early=result.stopped_early,
        planned=_planned(outlook),
        measured={**measured, "cost": round(result.seconds / 3600 * means.hourly, 4)},
        figures=fitted.figures,
        trackers=trackers.links,
        warnings=tuple(trackers.warnings),
    )


def _read_kept(run: Path) -> Kept | None:
    path = run / _KEPT
    if not path.is_file():
        return None
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=Kept)
    except msgspec.MsgspecError:  # of another version: its checkpoint still is good
        return None
    whole = (run / "adapter").is_dir() and _digests(run / "adapter") == kept.files
    return kept if whole else None


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: digest_bytes(path.read_bytes()) for path in sorted(folder.iterdir())}


def _read_calibrations(path: Path) -> "dict[str, Measured]":
    from cortex_cli.train import planning

    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, planning.Measured])
    except (OSError, msgspec.MsgspecError):  # none yet, or those of another version: they are measured again
        return {}


def _start_folder(place: Place, job: Job) -> Path | None:
    start: Adapter | None = job.start
    return link_adapter(place, start) if start else None


def _planned(outlook: "Outlook | None") -> dict[str, float]:
    if outlook is None:
        return {}
    return {
        "seconds": outlook.seconds,
        "memory": float(outlook.peak),
        "steps": float(outlook.steps),
        "cost": outlook.cost,
    }


def _note(job: Job) -> "Note":
    from cortex_cli.train.tracking import Note

    loop = job.spec.loop
    return Note(
        name=job.name,
        agent=job.spec.agent,
        base=job.spec.base,
        dataset=f"{job.dataset.name}/{job.dataset.version}",
        plan=job.step.digest,
        settings={
            "objective": job.spec.objective,
            "rank": job.spec.lora.rank,
            "learning_rate": loop.learning_rate,
            "epochs": loop.epochs,
            "batch_tokens": loop.batch_tokens,
            "seed": loop.seed,
        },
    )


def _check_outlook(outlook: "Outlook") -> None:
    if outlook.faults:
        raise UsageError(
            f"this training does not fit: {'; '.join(outlook.faults)}",
            hint=outlook.advice[0] if outlook.advice else "cortex train RECIPE --dry-run",
            state="nothing was trained",
        )

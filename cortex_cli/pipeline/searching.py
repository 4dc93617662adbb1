"""The search of a recipe: every trial a real training scored on the `valid` part, the winner a recipe of its own."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import tomli_w

from cortex_cli.domain.digests import digest_value, hex_of
from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.tables import to_plain
from cortex_cli.pipeline.fitting import Kept, fit_job, folder_of
from cortex_cli.pipeline.job import Job, Means, narrow_job
from cortex_cli.pipeline.material import draw_share, gather
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.scoring import loss_on, read_valid, score_folder, suite_of
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.atomic import write_atomic
from cortex_cli.train.search import Attempt, Choice, Found, apply_choice, require_search_extra, run_search

__all__ = ["Searched", "search_job"]


class Searched(msgspec.Struct, frozen=True, kw_only=True):
    """What a search of a job found, the winner's job, and the recipe file that trains it again."""

    found: Found
    recipe: Path


def search_job(place: Place, snapshot: Snapshot, job: Job, means: Means) -> tuple[Job, Searched]:
    """Search as the `[train.search]` table of *job* asks; return the winner's job and what was found.

    Trials run in folders of their own and leave what they measured in the search's; a winner's whole training
    is in the folder of its own step, so that training it again finds it done. Raises `ConflictError` when no trial
    saw the whole data.
    """
    require_search_extra()
    spec = job.spec.search
    if spec is None:
        raise UsageError("this recipe has no [train.search] table", state="nothing was trained")
    place_of_it = folder_of(place, job)
    trials = _Trials(place, snapshot, job, means)
    attempt = Attempt(train=trials.train, rate=means.hourly, watch=lambda line: means.tell("search", line))
    # What may be tried and where it stops decide the trials; how often and how long do not.
    kept = msgspec.structs.replace(spec, trials=1, minutes=1.0, cost=0.0)
    journal = place_of_it / f"search-{hex_of(digest_value(kept))[:12]}.log"
    found = run_search(spec, job.spec.base, journal, attempt)
    if found.best is None or found.best.choice is None:
        told = "; ".join(dict.fromkeys(trial.reason for trial in found.tried if trial.reason))
        raise ConflictError(
            f"none of {len(found.tried)} trials saw the whole data: {told or found.ended}",
            hint="raise minutes, or change the ranges, in [train.search]",
            state=f"the trials are in '{journal}', no adapter was made",
        )
    winner = narrow_job(snapshot, job, apply_choice(job.spec, found.best.choice))
    recipe = place_of_it / f"{job.name}-winner.toml"
    write_atomic(recipe, _render(winner, found))
    return winner, Searched(found=found, recipe=recipe)


class _Trials:
    """Trains choices for a search: whole ones in the folder of their step, parts in one that goes afterwards."""

    def __init__(self, place: Place, snapshot: Snapshot, job: Job, means: Means) -> None:
        self._place = place
        self._snapshot = snapshot
        self._job = job
        self._means = means
        self._valid = read_valid(place, job)

    def train(self, choice: Choice, share: float) -> float:
        job = narrow_job(self._snapshot, self._job, apply_choice(self._job.spec, choice))
        job = _part_of(job, share)
        examples: Sequence[Example] = gather(self._place, self._snapshot, job, self._means).examples
        examples = draw_share(examples, share, self._job.spec.loop.seed)
        kept: Kept = fit_job(self._place, self._snapshot, job, examples, self._means)
        del kept  # what counts is how it answers
        folder = folder_of(self._place, job) / "adapter"
        score = self._score(job, folder)
        if share < 1:
            shutil.rmtree(folder_of(self._place, job), ignore_errors=True)
        return score

    def _score(self, job: Job, folder: Path) -> float:
        search = self._job.spec.search
        if search is not None and search.metric == "loss":
            return loss_on(self._place, self._snapshot, job, folder, self._valid)
        return score_folder(self._place, self._snapshot, job, folder, suite_of(job, "valid", self._valid)).success


def _part_of(job: Job, share: float) -> Job:
    """Return *job* as the step of a part of the data: another digest, so another folder, and no least number."""
    if share >= 1:
        return job
    digest = digest_value([job.step.digest, share])
    step = msgspec.structs.replace(job.step, digest=digest, done="")
    spec = msgspec.structs.replace(job.spec, min_examples=1, track=())
    return replace(job, spec=spec, step=step)


def _render(winner: Job, found: Found) -> bytes:
    best = found.best
    summary = f"winner of {len(found.tried)} trials of {winner.name}: {best.score:.4g}" if best else ""
    # The version by its number: the newest of tomorrow would be another training.
    spec = msgspec.structs.replace(winner.spec, dataset=f"{winner.dataset.name}/{winner.dataset.version}")
    return tomli_w.dumps({"summary": summary, "train": to_plain(spec)}).encode()

"""The forecast of a recipe: a few trainings on growing shares, and whether the whole is likely to beat the champion."""

import shutil
from dataclasses import replace

import msgspec

from cortex_cli.domain.digests import canonical_json, digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.pipeline.fitting import fit_job, folder_of
from cortex_cli.pipeline.job import Job, Means
from cortex_cli.pipeline.material import Material, draw_share
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.scoring import read_valid, score_champion, score_folder, suite_of
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.atomic import write_atomic
from cortex_cli.train.prediction import Forecast, Point, forecast

__all__ = ["figures_of", "predict_job"]

_RECORD = "forecast.json"  # in the run's folder: a killed command does not train the shares again


def predict_job(place: Place, snapshot: Snapshot, job: Job, material: Material, means: Means) -> Forecast:
    """Train *job* on growing shares of *material*, score each on the `valid` part, and forecast the whole.

    The forecast is kept in the run's folder; the adapters of the shares go. Raises `UsageError` when a share would
    have too few examples to train on.
    """
    path = folder_of(place, job) / _RECORD
    if path.is_file():
        return msgspec.json.decode(path.read_bytes(), type=Forecast)
    spec = job.spec.predict
    if spec is None:
        raise UsageError("this recipe has no [train.predict] table", state="nothing was trained")
    suite = suite_of(job, "valid", read_valid(place, job))
    points = []
    for share in spec.shares:
        means.tell("predict", f"training on {share:.0%} of {len(material.examples):,} examples")
        part = _part_of(job, share)
        fit_job(place, snapshot, part, draw_share(material.examples, share, job.spec.loop.seed), means)
        scores = score_folder(place, snapshot, part, folder_of(place, part) / "adapter", suite)
        points.append(Point(_count(material, share), tuple(result.right for result in scores.results)))
    champion = score_champion(place, snapshot, job, suite)
    found = forecast(
        points,
        len(material.examples),
        [result.right for result in champion.results],
        least=spec.chance,
        seed=job.spec.loop.seed,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, canonical_json(found))
    for share in spec.shares:
        shutil.rmtree(folder_of(place, _part_of(job, share)), ignore_errors=True)
    return found


def figures_of(found: Forecast) -> dict[str, float]:
    """Return the numbers of *found* that an adapter's manifest keeps."""
    plain = {"expected": found.expected, "low": found.low, "high": found.high, "doubled": found.doubled}
    known = {"champion": found.champion, "chance": found.chance}
    return plain | {name: value for name, value in known.items() if value is not None}


def _part_of(job: Job, share: float) -> Job:
    step = msgspec.structs.replace(job.step, digest=digest_value([job.step.digest, "predict", share]), done="")
    return replace(job, spec=msgspec.structs.replace(job.spec, min_examples=1, track=()), step=step)


def _count(material: Material, share: float) -> int:
    return max(1, round(share * len(material.examples)))

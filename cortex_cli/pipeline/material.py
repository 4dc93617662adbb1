"""What a training learns from: the train part under the champion's prompt, replayed examples, and never the test part."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from cortex_cli.curate.contamination import Contamination
from cortex_cli.curate.spec import Decontaminate
from cortex_cli.curate.versions import SEALED, read_examples, read_sealed
from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import Adapter, DatasetVersion
from cortex_cli.pipeline import distilling
from cortex_cli.pipeline.distilling import teach
from cortex_cli.pipeline.job import Job, Means
from cortex_cli.pipeline.lessons import plan_lesson
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.suites import find_suites
from cortex_cli.pipeline.variants import read_prompt, render_request
from cortex_cli.registry.snapshot import Snapshot

__all__ = ["Material", "count_new", "draw_share", "gather", "render"]

_TAUGHT = frozenset({"demonstration", "correction"})


class Material(NamedTuple):
    """The rendered *examples*; how many of them were replayed, from which dataset versions.

    Of a teacher: *figures*, and *counts* of the requests that gave no example, by reason.
    """

    examples: tuple[Example, ...]
    replayed: int = 0
    ancestors: tuple[str, ...] = ()
    figures: dict[str, float] = {}  # noqa: RUF012 - of a tuple: never changed in place
    counts: dict[str, int] = {}  # noqa: RUF012 - as above


def gather(place: Place, snapshot: Snapshot, job: Job, means: Means = Means()) -> Material:  # noqa: B008 - frozen
    """Return what *job* learns from, each request inside the prompt, as serving will show it.

    Raises `ConflictError` when an example of the train part is in the test part or in the recipe's suite.
    """
    examples = _read(place, job.dataset)
    _check_sealed(place, snapshot, job, examples)
    if job.spec.objective == "distil":
        lesson = plan_lesson(snapshot, job.spec, job.dataset, job.recipe.curate)
        taught = teach(place, snapshot, lesson, _asking(means))
        examples = _mix(taught.examples, job)
        return Material(render(snapshot, job, examples), figures=taught.figures, counts=taught.counts)
    if job.spec.objective == "sft":
        # A pair repeats an example beside another wrong answer: learning the right one twice would weigh it double.
        examples = [example for example in examples if example.source != "pair"]
    kept = _mix(examples, job)
    older = _replay(place, snapshot, job, kept) if job.start else ()
    new = _unseen(place, snapshot, job.start, kept) if older else kept
    ancestors = _ancestors(job.start) if job.start else ()
    return Material(render(snapshot, job, [*new, *older]), len(older), ancestors)


def _asking(means: Means) -> distilling.Means:
    return distilling.Means(
        policy=means.policy,
        planned=lambda plan: means.tell(
            "distil", f"{plan.calls - plan.kept:,} calls, about ${plan.dollars:.4f}, at most ${plan.most:.4f}"
        ),
        told=lambda now: means.tell("distil", f"{now.answered:,} of {now.calls:,} answered, ${now.dollars:.4f}"),
    )


def render(snapshot: Snapshot, job: Job, examples: Iterable[Example]) -> tuple[Example, ...]:
    """Return *examples* with each request inside the prompt of the champion."""
    prompt = read_prompt(snapshot, job.champion)
    return tuple(
        msgspec.structs.replace(example, messages=render_request(prompt, example.messages)) for example in examples
    )


def count_new(place: Place, snapshot: Snapshot, job: Job, earlier: Adapter) -> int:
    """Return how many examples of the train part the adapter *earlier* has not seen."""
    examples = [example for example in _read(place, job.dataset) if example.source != "pair"]
    return len(_unseen(place, snapshot, earlier, examples))


def draw_share(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """Return that *share* of *examples*, by a seeded hash of their ids, in their order: a smaller one is part of a larger."""
    if share >= 1:
        return list(examples)
    ranked = sorted(examples, key=_hash(seed))
    chosen = {example.id for example in ranked[: max(1, round(share * len(ranked)))]}
    return [example for example in examples if example.id in chosen]


def _read(place: Place, dataset: DatasetVersion) -> list[Example]:
    return list(read_examples(place.objects, dataset, "train"))


def _mix(examples: Iterable[Example], job: Job) -> list[Example]:
    """Keep the recipe's *mixture* of what nobody demonstrated or corrected."""
    listed = list(examples)
    if job.spec.mixture >= 1:
        return listed
    others = [example for example in listed if example.source not in _TAUGHT]
    kept = {example.id for example in draw_share(others, job.spec.mixture, job.spec.loop.seed)}
    return [example for example in listed if example.source in _TAUGHT or example.id in kept]


def _replay(place: Place, snapshot: Snapshot, job: Job, examples: Sequence[Example]) -> tuple[Example, ...]:
    """Draw what the earlier adapter had learned, so that it is the share *replay* of the whole.

    Only of a version that is live, and only what the present one still has in its train part: what was forgotten,
    dropped or moved to a held-out part since does not come back.
    """
    earlier = _version_of(snapshot, job.start)
    if earlier is None or not job.spec.replay:
        return ()
    known = {example.id for example in _read(place, earlier)}
    older = [example for example in examples if example.id in known]
    new = len(examples) - len(older)
    wanted = round(job.spec.replay / (1 - job.spec.replay) * new)
    if not new:  # nothing has come: the whole once more, going on from where it was
        return ()
    return tuple(sorted(older, key=_hash(job.spec.loop.seed))[:wanted])


def _unseen(place: Place, snapshot: Snapshot, earlier: Adapter | None, examples: Sequence[Example]) -> list[Example]:
    version = _version_of(snapshot, earlier)
    if version is None:
        return list(examples)
    known = {example.id for example in _read(place, version)}
    return [example for example in examples if example.id not in known]


def _version_of(snapshot: Snapshot, adapter: Adapter | None) -> DatasetVersion | None:
    if adapter is None:
        return None
    name, _, version = adapter.dataset.partition("/")
    found = next((each for each in snapshot.datasets(name) if each.version == version), None)
    return found if found and found.state == "live" and "train" in found.parts else None


def _ancestors(start: Adapter) -> tuple[str, ...]:
    return tuple(sorted({start.dataset, *start.ancestors}))


def _hash(seed: int) -> Callable[[Example], bytes]:
    return lambda example: hashlib.sha256(f"{seed} {example.id}".encode()).digest()


def _check_sealed(place: Place, snapshot: Snapshot, job: Job, examples: Sequence[Example]) -> None:
    sealed = read_sealed(place.objects, job.dataset) if SEALED in job.dataset.parts else iter(())
    tested = {example.id for example in sealed}
    if both := sum(example.id in tested for example in examples):
        _refuse(job, both, f"are in its '{SEALED}' part too")
    suite = job.recipe.evaluate.suite if job.recipe.evaluate else ""
    if not suite or suite.partition(":")[0].partition("/")[0] == job.dataset.name:
        return  # the part of the same dataset: curation has kept them apart, and the ids above say so
    try:
        suites = find_suites(place, snapshot, (suite,))
    except UsageError:
        return  # a suite of another form, or one that is not there: the evaluation will say so
    hits = Contamination(suites, Decontaminate()).find(examples)
    if both := sum(hit is not None for hit in hits):
        _refuse(job, both, f"ask what suite '{suite}' asks")


def _refuse(job: Job, count: int, why: str) -> None:
    raise ConflictError(
        f"{count} of the training examples of dataset '{job.dataset.name}/{job.dataset.version}' {why}",
        hint=f"name the suite in [curate.decontaminate] suites, then cortex curate {job.dataset.recipe or job.name}",
        state="nothing was trained",
    )

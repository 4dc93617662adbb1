"""Scores of what is not registered yet: an adapter in a run folder on the `valid` part, as a search and a forecast ask."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cortex_cli.curate.versions import read_examples
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.evaluate.scores import Scores, score_suite
from cortex_cli.evaluate.suites import Suite, suite_of_examples
from cortex_cli.pipeline.contenders import name_contender
from cortex_cli.pipeline.evaluating import open_panel, score_variant
from cortex_cli.pipeline.job import Job
from cortex_cli.pipeline.material import render
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.variants import PromptedModel, find_base, read_prompt
from cortex_cli.registry.snapshot import Snapshot

__all__ = ["loss_on", "read_valid", "score_champion", "score_folder", "suite_of"]

_FEWEST = 5


def read_valid(place: Place, job: Job) -> list[Example]:
    """Return the examples of the `valid` part, which decides before a training; the test part never does.

    Raises `UsageError` when there are fewer than five.
    """
    found = list(read_examples(place.objects, job.dataset, "valid")) if "valid" in job.dataset.parts else []
    asked = [example for example in found if example.source != "pair"]
    if len(asked) < _FEWEST:
        raise UsageError(
            f"the valid part of dataset '{job.dataset.name}/{job.dataset.version}' has {len(asked)} examples, "
            f"at least {_FEWEST} are needed to choose by",
            hint=f"set split with a larger valid share, then cortex curate {job.dataset.recipe or job.name}",
            state="nothing was trained",
        )
    return asked


def suite_of(job: Job, part: str, examples: Iterable[Example]) -> Suite:
    """Return *examples* of *part* as a suite."""
    return suite_of_examples(f"{job.dataset.name}/{job.dataset.version}:{part}", examples)


def score_folder(place: Place, snapshot: Snapshot, job: Job, adapter: Path, suite: Suite) -> Scores:
    """Answer *suite* with the adapter in the folder *adapter*, under the champion's prompt, and judge it as its agent asks."""
    from cortex_cli.models.generation import load_model

    limit = int(job.champion.parameters.get("max_tokens", 48))
    model = load_model(find_base(place, snapshot, job.spec.base), adapter, max_tokens=limit)
    panel = open_panel(place, snapshot, name_contender(place, snapshot, job.champion), suite)
    return score_suite(PromptedModel(read_prompt(snapshot, job.champion), model), suite, panel)


def score_champion(place: Place, snapshot: Snapshot, job: Job, suite: Suite) -> Scores:
    """Answer *suite* with the champion."""
    return score_variant(place, snapshot, job.champion, suite)


def loss_on(place: Place, snapshot: Snapshot, job: Job, adapter: Path, examples: Sequence[Example]) -> float:
    """Return the mean loss per token of the answers of *examples* under the adapter in the folder *adapter*."""
    from cortex_cli.train.validation import measure_loss

    return measure_loss(
        find_base(place, snapshot, job.spec.base), adapter, render(snapshot, job, examples), job.spec.loop
    )

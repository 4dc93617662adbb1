"""Specialists: one adapter per domain where that is worth it, each beside the champion on held-out examples, winners kept."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cortex_cli.curate.versions import SEALED, read_examples, read_sealed
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import Adapter, adapter_id
from cortex_cli.evaluate.scores import Comparison, compare_scores
from cortex_cli.models.bases import prepare_torch, require_train_extra
from cortex_cli.pipeline.fitting import folder_of
from cortex_cli.pipeline.job import Job, Means, narrow_job
from cortex_cli.pipeline.material import gather
from cortex_cli.pipeline.opportunities import Opportunity, find_opportunities
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.recipes import Recipe
from cortex_cli.pipeline.scoring import score_champion, score_folder, suite_of
from cortex_cli.pipeline.training import open_job, train_job
from cortex_cli.pipeline.variants import link_adapter
from cortex_cli.registry.actions import add_adapter
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.locks import hold
from cortex_cli.train.spec import TrainSpec
from cortex_cli.train.study import PerSpec

__all__ = ["Contest", "Specialised", "find_domains", "name_specialist", "train_specialists"]

_FEWEST = 10  # held-out examples of a domain: fewer decide nothing


class Contest(msgspec.Struct, frozen=True, kw_only=True):
    """A domain, its specialist beside the champion on the same held-out examples, and whether it was registered.

    *adapter* is '' and *reason* says why where there is no specialist.
    """

    opportunity: Opportunity
    name: str = ""
    adapter: str = ""
    comparison: Comparison | None = None
    won: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Specialised:
    """What one run over all domains left: a contest per domain, the adapters that were registered."""

    contests: tuple[Contest, ...]
    adapters: tuple[Adapter, ...]


def name_specialist(agent: str, domain: str) -> str:
    """Return the name of a specialist, `<agent>-<domain>` in the letters that names have."""
    return f"{agent}-{re.sub(r'[^a-z0-9]+', '-', domain.lower()).strip('-') or 'other'}"


def find_domains(place: Place, job: Job) -> list[Opportunity]:
    """Return the opportunities of *job* by priority; those with a reason are none."""
    return find_opportunities(place, job, read_examples(place.objects, job.dataset, "train"), _table(job))


def train_specialists(
    place: Place,
    recipe: Recipe,
    *,
    name: str,
    means: Means = Means(),  # noqa: B008 - frozen
) -> Specialised:
    """Train a specialist for every domain where the rule of `[train.per]` holds; register those that win, each in a commit.

    A specialist wins when the lower end of the paired 95 % interval of its gain over the champion is above 0, on the
    domain's part of the sealed test part. A killed run goes on: what was trained is not trained again.
    """
    require_train_extra("training")
    prepare_torch()
    snapshot = place.registry.snapshot()
    job = open_job(place, snapshot, recipe, name=name)
    means.tell("check", "which domains are opportunities")
    found = find_domains(place, job)
    with hold(place.workspace.locks_root / "train.lock", purpose=f"train {name}", wait=0.0):
        pairs = [_compete(place, snapshot, job, each, means) for each in found]
    return Specialised(tuple(contest for contest, _ in pairs), tuple(each for _, each in pairs if each is not None))


def _compete(
    place: Place, snapshot: Snapshot, job: Job, opportunity: Opportunity, means: Means
) -> tuple[Contest, Adapter | None]:
    name = name_specialist(job.spec.agent, opportunity.domain)
    held_out = _held_out(place, job, opportunity.domain)
    reason = opportunity.reason
    if not reason and len(held_out) < _FEWEST:
        reason = f"{len(held_out)} held-out examples, at least {_FEWEST} are needed to compare"
    if reason:
        return Contest(opportunity=opportunity, name=name, reason=reason), None
    part = narrow_job(snapshot, job, _table_of_one(job), part=opportunity.domain)
    adapter = snapshot.adapter(part.step.done) if part.step.done else None
    means.tell("specialise", name)
    if adapter is None:
        adapter = _fit(place, snapshot, part, opportunity.domain, means)
    comparison = _compare(place, snapshot, part, adapter, held_out)
    won = comparison.low > 0
    if won and not part.step.done:
        add_adapter(place.registry, adapter)
    told = "" if won else f"the gain may be as low as {comparison.low:+.1%}"
    contest = Contest(
        opportunity=opportunity, name=name, adapter=adapter.id, comparison=comparison, won=won, reason=told
    )
    return contest, adapter if won else None


def _fit(place: Place, snapshot: Snapshot, job: Job, domain: str, means: Means) -> Adapter:
    material = gather(place, snapshot, job, means)
    material = material._replace(examples=tuple(each for each in material.examples if each.domain == domain))
    adapter, _ = train_job(place, snapshot, job, material, means)
    name = name_specialist(job.spec.agent, domain)
    return msgspec.structs.replace(adapter, id=adapter_id(name, adapter.files), name=name, domain=domain)


def _compare(place: Place, snapshot: Snapshot, job: Job, adapter: Adapter, held_out: Sequence[Example]) -> Comparison:
    suite = suite_of(job, f"{SEALED}/{adapter.domain}", held_out)
    folder = folder_of(place, job) / "adapter"
    if not folder.is_dir():
        folder = link_adapter(place, adapter)
    return compare_scores(
        score_champion(place, snapshot, job, suite), score_folder(place, snapshot, job, folder, suite)
    )


def _held_out(place: Place, job: Job, domain: str) -> list[Example]:
    examples = read_sealed(place.objects, job.dataset) if SEALED in job.dataset.parts else iter(())
    return [each for each in examples if each.domain == domain and each.source != "pair"]


def _table_of_one(job: Job) -> TrainSpec:
    return msgspec.structs.replace(job.spec, per=None, search=None, predict=None, min_examples=1)


def _table(job: Job) -> PerSpec:
    if job.spec.per is None:
        raise UsageError("this recipe has no [train.per] table", hint="cortex recipe ls", state="nothing was trained")
    return job.spec.per

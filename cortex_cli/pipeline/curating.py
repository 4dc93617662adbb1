"""The curation stage: the journal and a recipe in; a dataset version, its manifest and one commit out."""

from dataclasses import dataclass

import msgspec

from cortex_cli.curate.engine import Curated, Records, curate
from cortex_cli.curate.spec import CurateSpec
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import DatasetVersion
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.recipes import Recipe, stage_digest
from cortex_cli.registry.actions import add_dataset
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import open_key

__all__ = ["Made", "curate_recipe"]


@dataclass(frozen=True, slots=True)
class Made:
    """What the stage left: the version, its commit, and examples of what was rejected and why.

    *commit* is empty when nothing was recorded: a dry run, or nothing new since *version*.
    """

    version: DatasetVersion
    rejected: dict[str, list[str]]
    commit: str
    known: bool


def curate_recipe(place: Place, recipe: Recipe, *, name: str, record: bool = True) -> Made:
    """Curate what *recipe*, called *name*, describes from the whole journal; the same content is the same version.

    With *record* false nothing is committed; objects without a manifest are left for `gc`.
    Raises `UsageError` when the recipe has no `[curate]` table or no example survives.
    """
    if recipe.curate is None:
        raise UsageError("this recipe has no [curate] table", hint="cortex recipe ls", state="nothing was curated")
    spec = recipe.curate
    snapshot = place.registry.snapshot()
    snapshot.agent(spec.agent)
    curated = _read_journal(place, spec)
    if not sum(part.rows for part in curated.version.parts.values()):
        raise UsageError(
            f"no example of agent '{spec.agent}' survives: {_reasons(curated.version)}",
            hint=f"cortex collect SOURCE --agent {spec.agent}",
            state="no dataset version was made",
        )
    newest = _newest(snapshot, curated.version.name)
    if newest is not None and newest.digest == curated.version.digest:
        return Made(newest, curated.rejected, "", known=True)
    version = msgspec.structs.replace(
        curated.version,
        version=f"v{int(newest.version[1:]) + 1 if newest else 1:04d}",
        parent=f"{newest.name}/{newest.version}" if newest else "",
        recipe=name,
        recipe_digest=stage_digest(spec),
        created=place.time(),
    )
    commit = add_dataset(place.registry, version) if record else ""
    return Made(version, curated.rejected, commit, known=False)


def _read_journal(place: Place, spec: CurateSpec) -> Curated:
    with Journal(place.workspace.journal_path) as journal:
        until = journal.last()
        records = Records(journal.interactions(agent=spec.agent, until=until), journal.feedback(until=until))
        return curate(records, spec, store=place.objects, key=open_key(place.workspace))


def _newest(snapshot: Snapshot, name: str) -> DatasetVersion | None:
    versions = snapshot.datasets(name)
    return max(versions, key=lambda version: version.version) if versions else None


def _reasons(version: DatasetVersion) -> str:
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(version.rejected.items()))
    return told or "the journal has no interaction of it"

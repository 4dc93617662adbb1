"""The curation stage: the journal and a recipe in; a dataset version, its manifest and one commit out."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from cortex_cli.curate.contamination import Suite
from cortex_cli.curate.engine import Curated, Records, curate
from cortex_cli.curate.gathering import Workshop
from cortex_cli.curate.normal import ALGORITHMS
from cortex_cli.curate.profiles import Profiler, make_profiler
from cortex_cli.curate.sifting import Redaction
from cortex_cli.curate.spec import CurateSpec
from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import DatasetVersion
from cortex_cli.pipeline.auditing import open_parts
from cortex_cli.pipeline.forgetting import LOCK
from cortex_cli.pipeline.mending import Policy, open_redaction
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.recipes import Recipe, stage_digest
from cortex_cli.pipeline.suites import digest_suites, find_suites
from cortex_cli.registry.actions import add_dataset
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.atomic import write_atomic
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.workers import count_workers, map_batches
from cortex_cli.store.workspace import open_key

__all__ = ["Made", "Means", "curate_recipe"]


class Means(NamedTuple):
    """How a curation works: the workspace's redaction *policy*, *threads* (0 = one per core), seconds to *wait*.

    *told* hears what is being done and with how many records.
    """

    policy: Policy = "standard"
    threads: int = 0
    wait: float = 30.0
    told: Callable[[str, int], None] = lambda _what, _count: None


@dataclass(frozen=True, slots=True)
class Made:
    """What the stage left: the version, its commit, and examples of what was rejected and why.

    *commit* is empty when nothing was recorded: a dry run, or nothing new since *version*.
    """

    version: DatasetVersion
    rejected: dict[str, list[str]]
    commit: str
    known: bool


class _Look(msgspec.Struct, frozen=True):
    """A look at the journal that gave *dataset*: with which settings, and up to which number."""

    settings: str
    dataset: str
    until: int


_MEANS = Means()
# Lines that are counted at a time: about a megabyte on its way to a worker.
_LINES = 1000


def curate_recipe(place: Place, recipe: Recipe, *, name: str, record: bool = True, means: Means = _MEANS) -> Made:
    """Curate what *recipe*, called *name*, describes from the whole journal; the same content is the same version.

    Where nothing came into the journal since the last look under the same settings, nothing is read. With *record*
    false nothing is committed; objects without a manifest are left for `gc`. After a kill there are at most such
    objects, and the same call again makes the version. Raises `UsageError` when the recipe has no `[curate]` table or
    no example survives, `LockedError` while somebody forgets or curates.
    """
    if recipe.curate is None:
        raise UsageError("this recipe has no [curate] table", hint="cortex recipe ls", state="nothing was curated")
    with hold(place.workspace.locks_root / LOCK, purpose=f"curate {name}", wait=means.wait):
        snapshot = place.registry.snapshot()
        snapshot.agent(recipe.curate.agent)
        work = _Work(
            place, recipe.curate, name, means, find_suites(place, snapshot, recipe.curate.decontaminate.suites)
        )
        return work.run(snapshot, record=record)


class _Work:
    """One curation of one recipe."""

    def __init__(self, place: Place, spec: CurateSpec, name: str, means: Means, suites: tuple[Suite, ...]) -> None:
        self._place = place
        self._spec = spec
        self._name = name
        self._means = means
        self._suites = suites
        self._redaction = open_redaction(place, means.policy)
        self._settings = _digest_settings(spec, digest_suites(suites), self._redaction)

    def run(self, snapshot: Snapshot, *, record: bool) -> Made:
        """Return the version that is there already, or a new one, committed if it is to be recorded."""
        newest = _newest(snapshot, self._spec.dataset or self._spec.agent)
        with Journal(self._place.workspace.journal_path) as journal:
            until = journal.last()
            if newest is not None and self._is_current(newest, journal):
                return Made(newest, {}, "", known=True)
            curated = self._read(journal, until)
        if newest is not None and newest.digest == curated.version.digest and newest.state != "revoked":
            self._remember(newest, until)
            return Made(newest, curated.rejected, "", known=True)
        version = self._fill(curated.version, newest)
        commit = add_dataset(self._place.registry, version) if record else ""
        if record:
            self._remember(version, until)
        return Made(version, curated.rejected, commit, known=False)

    def _read(self, journal: Journal, until: int) -> Curated:
        records = Records(journal.bodies(agent=self._spec.agent, until=until), journal.feedback(until=until), until)
        shop = Workshop(
            suites=self._suites,
            redaction=self._redaction,
            workers=count_workers(self._means.threads),
            told=self._means.told,
        )
        key = open_key(self._place.workspace)
        curated = curate(records, self._spec, store=self._place.objects, key=key, shop=shop)
        if not sum(part.rows for part in curated.version.parts.values()):
            unjudged = "unjudged" in curated.version.rejected
            raise UsageError(
                f"no example of agent '{self._spec.agent}' survives: {_reasons(curated.version)}",
                hint=f"cortex {'review' if unjudged else 'collect SOURCE --agent'} {self._spec.agent}",
                state="no dataset version was made",
            )
        return curated

    def _fill(self, version: DatasetVersion, newest: DatasetVersion | None) -> DatasetVersion:
        return msgspec.structs.replace(
            version,
            version=f"v{int(newest.version[1:]) + 1 if newest else 1:04d}",
            parent=f"{newest.name}/{newest.version}" if newest else "",
            recipe=self._name,
            recipe_digest=stage_digest(self._spec),
            suites=digest_suites(self._suites),
            profile=self._profile(version),
            created=self._place.time(),
        )

    def _profile(self, version: DatasetVersion) -> dict[str, dict[str, int]]:
        """Return the counts by which drift is measured, of the parts that anybody may read."""
        whole = Profiler()
        lines = (
            line for part in open_parts(version) for line in self._place.objects.open_lines(version.parts[part].digest)
        )
        chunks = iter(lambda: list(islice(lines, _LINES)), [])
        for counted in map_batches(make_profiler, (), chunks, workers=count_workers(self._means.threads)):
            whole.join(counted)
        return whole.profile().counts

    def _is_current(self, newest: DatasetVersion, journal: Journal) -> bool:
        """Tell whether *newest* is what this work would give, from what was noted at the last look."""
        look = self._recall()
        return (
            look is not None
            and newest.state != "revoked"
            and look.settings == self._settings
            and look.dataset == _label(newest)
            and not journal.has_news(self._spec.agent, look.until)
        )

    @property
    def _path(self) -> Path:
        return self._place.workspace.private / "curated" / f"{self._name}.json"

    def _recall(self) -> _Look | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Look)
        except (OSError, msgspec.DecodeError):
            return None  # a note that is lost costs one more reading of the journal

    def _remember(self, version: DatasetVersion, until: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, msgspec.json.encode(_Look(self._settings, _label(version), until)))


def _digest_settings(spec: CurateSpec, suites: dict[str, str], redaction: Redaction) -> str:
    return digest_value([stage_digest(spec), ALGORITHMS, suites, redaction.stamps])


def _label(version: DatasetVersion) -> str:
    return f"{version.name}/{version.version} {version.digest}"


def _newest(snapshot: Snapshot, name: str) -> DatasetVersion | None:
    versions = snapshot.datasets(name)
    return max(versions, key=lambda version: int(version.version[1:])) if versions else None


def _reasons(version: DatasetVersion) -> str:
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(version.rejected.items()))
    return told or "the journal has no interaction of it"

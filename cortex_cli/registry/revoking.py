"""Revoking: what was learned from something forgotten is marked, all of it in one commit."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from cortex_cli.domain.manifests import Adapter, DatasetVersion
from cortex_cli.registry.actions import render_manifest
from cortex_cli.registry.repository import Change, Registry
from cortex_cli.registry.snapshot import ADAPTERS, Snapshot, dataset_path
from cortex_cli.registry.trailers import Trailers

__all__ = ["Descent", "find_adapters", "revoke"]


class Descent(NamedTuple):
    """What descends from something: dataset versions as `name/v0001`, and adapters by id."""

    datasets: tuple[str, ...]
    adapters: tuple[str, ...]


def find_adapters(snapshot: Snapshot, datasets: Iterable[DatasetVersion]) -> list[Adapter]:
    """Return the adapters that were trained on one of *datasets*, by its name or by its content, or went on from one that was."""
    learned = list(datasets)
    names = {f"{dataset.name}/{dataset.version}" for dataset in learned}
    digests = {dataset.digest for dataset in learned}
    return [
        each
        for each in snapshot.adapters()
        if each.dataset in names or each.dataset_digest in digests or names & set(each.ancestors)
    ]


def revoke(registry: Registry, descent: Descent, *, reason: str, run: str) -> str:
    """Mark *descent* as revoked for *reason*, in one commit of the act *run*, and return the commit.

    What left the registry, or is revoked already, is passed over; without anything to mark there is no commit
    and the result is ''. *reason* stands in git: it must name nobody.
    """

    def plan(snapshot: Snapshot) -> Change:
        datasets = [each for each in snapshot.datasets() if f"{each.name}/{each.version}" in descent.datasets]
        adapters = [each for each in snapshot.adapters() if each.id in descent.adapters]
        files: dict[str, bytes | None] = {}
        for dataset in datasets:
            if dataset.state != "revoked":
                marked = msgspec.structs.replace(dataset, state="revoked", reason=reason)
                files[dataset_path(dataset.name, dataset.version)] = render_manifest(marked)
        for adapter in adapters:
            if adapter.state != "revoked":
                files[ADAPTERS.path(adapter.id)] = render_manifest(msgspec.structs.replace(adapter, state="revoked"))
        agents = sorted({*(each.agent for each in datasets), *(each.agent for each in adapters)})
        return Change(_account(agents, files, reason, run), files)

    before = registry.git.head()
    commit = registry.update(plan).commit
    return commit if commit != before else ""


def _account(agents: list[str], files: dict[str, bytes | None], reason: str, run: str) -> Trailers:
    adapters = sum(path.startswith(ADAPTERS.folder) for path in files)
    told = f"revoked {_number(len(files) - adapters, 'dataset version')}, {_number(adapters, 'adapter')}"
    target = agents[0] if len(agents) == 1 else "workspace"
    return Trailers("forget", target, to=told, run_id=run, reason=reason)


def _number(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")

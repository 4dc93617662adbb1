"""Is the registry whole: git's own objects, manifests, ids, accounts, referenced content, leftovers of kills."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import msgspec

from cortex_cli.domain.errors import CortexError
from cortex_cli.domain.manifests import (
    Adapter,
    Agent,
    DatasetVersion,
    Experiment,
    Model,
    Variant,
    adapter_id,
    dataset_digest,
    variant_id,
)
from cortex_cli.registry.audit import Finding, audit_history
from cortex_cli.registry.copies import pending_path
from cortex_cli.registry.git import Git
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.snapshot import ADAPTERS, AGENTS, DATASETS, EXPERIMENTS, MODELS, VARIANTS, Shelf, Snapshot
from cortex_cli.store.clock import Clock, utc_now
from cortex_cli.store.objects import ObjectStore

__all__ = ["STALE_SECONDS", "Depth", "check", "find_leftovers", "find_locks", "list_content"]

T = TypeVar("T", bound=msgspec.Struct)
Depth = Literal["sizes", "content"]
Content = Adapter | DatasetVersion | Experiment
_REPAIR = "cortex fsck --repair"
# A git command of this registry takes milliseconds; a lock a minute old has lost its owner.
STALE_SECONDS = 60.0


class _Manifests(NamedTuple):
    """What HEAD holds, as far as it can be read."""

    agents: dict[str, Agent]
    variants: dict[str, Variant]
    models: dict[str, Model]
    adapters: dict[str, Adapter]
    experiments: dict[str, Experiment]
    datasets: dict[str, DatasetVersion]


def check(registry: Registry, objects: ObjectStore, *, now: Clock = utc_now, depth: Depth = "sizes") -> list[Finding]:
    """Return all that is wrong, the worst first; empty when everything is whole. Nothing is changed.

    With *depth* "content" every object is read and hashed; with "sizes" only its size is compared.
    """
    findings = [*_check_git(registry.git), *_check_leftovers(registry.git, objects, now)]
    with registry.snapshot() as snapshot:
        manifests, unreadable = _read_manifests(snapshot)
        findings += [*unreadable, *_check_ids(manifests), *_check_references(snapshot, manifests)]
    findings += [*audit_history(registry.git), *_check_content(manifests, objects), *_check_worktree(registry.git)]
    if depth == "content":
        findings += _check_digests(objects)
    return sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def find_locks(git: Git) -> list[Path]:
    """List git's lock files in the repository, whoever holds them; Cortex's own is no such file."""
    found = {*git.directory.glob("*.lock"), *git.common.glob("*.lock"), *(git.common / "refs").rglob("*.lock")}
    found |= {*(git.common / "objects" / "info").glob("*.lock"), *(git.common / "logs").rglob("*.lock")}
    return sorted(path for path in found if path.name != "cortex.lock")


def find_leftovers(git: Git, objects: ObjectStore) -> list[Path]:
    """List the temporary files that killed writers left in the repository and among the objects."""
    made = [*git.directory.glob(".*.tmp"), *git.common.glob(".*.tmp"), *(git.common / "objects").glob("**/tmp_obj_*")]
    copies = [path for folder in ("registry", "datasets") for path in (git.root / folder).glob("**/.*.tmp")]
    return sorted({*made, *copies, *objects.leftovers()})


def list_content(manifest: Content) -> list[tuple[str, str, int]]:
    """Return name, digest and size of every object that *manifest* refers to."""
    if isinstance(manifest, Adapter):
        blobs = [*manifest.files, *([manifest.evaluation] if manifest.evaluation else [])]
        return [(blob.name, blob.digest, blob.size) for blob in blobs]
    if isinstance(manifest, Experiment):
        blob = manifest.evidence
        return [(blob.name, blob.digest, blob.size)] if blob else []
    parts = [(name, part.digest, part.size) for name, part in sorted(manifest.parts.items())]
    return [*parts, (manifest.lineage.name, manifest.lineage.digest, manifest.lineage.size)]


def _check_git(git: Git) -> Iterator[Finding]:
    done = git.ask("fsck", "--full", "--strict", "--no-dangling", "--no-progress")
    for line in (done.stdout + done.stderr).decode("utf-8", "replace").splitlines():
        if line.startswith("notice:"):
            continue
        severity: Literal["error", "warning"] = "warning" if line.startswith("warning") else "error"
        yield Finding(severity, "git", line, "restore the repository from a clone" if severity == "error" else "")


def _check_leftovers(git: Git, objects: ObjectStore, now: Clock) -> Iterator[Finding]:
    for path in find_locks(git):
        yield Finding("warning", str(path), f"a lock file of git, {_age(path, now):.0f} s old", _REPAIR)
    for path in find_leftovers(git, objects):
        yield Finding("note", str(path), "a temporary file that a killed writer left", _REPAIR)
    if pending_path(git).exists():
        yield Finding("warning", str(pending_path(git)), "a commit whose copies in the worktree lag behind", _REPAIR)


def _age(path: Path, now: Clock) -> float:
    try:
        return now().timestamp() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read_manifests(snapshot: Snapshot) -> tuple[_Manifests, list[Finding]]:
    findings: list[Finding] = []

    def read(shelf: Shelf[T]) -> dict[str, T]:
        return {
            name: found for name in snapshot.names(shelf) for found in _try_manifest(snapshot, shelf, name, findings)
        }

    manifests = _Manifests(
        agents=read(AGENTS),
        variants=read(VARIANTS),
        models=read(MODELS),
        adapters=read(ADAPTERS),
        experiments=read(EXPERIMENTS),
        datasets={
            f"{name}/{version}": found
            for name, version in snapshot.versions()
            for found in _try_dataset(snapshot, name, version, findings)
        },
    )
    return manifests, findings


def _try_manifest(snapshot: Snapshot, shelf: Shelf[T], name: str, findings: list[Finding]) -> Iterator[T]:
    try:
        yield snapshot.manifest(shelf, name)
    except CortexError as error:
        findings.append(_unreadable(f"{shelf.folder}/{name}.toml", error))


def _try_dataset(snapshot: Snapshot, name: str, version: str, findings: list[Finding]) -> Iterator[DatasetVersion]:
    try:
        yield snapshot.dataset(name, version)
    except CortexError as error:
        findings.append(_unreadable(f"{DATASETS}/{name}/{version}.toml", error))


def _unreadable(path: str, error: CortexError) -> Finding:
    return Finding("error", path, error.message, f"git log -p -- {path}")


def _check_ids(manifests: _Manifests) -> Iterator[Finding]:
    derived = [(f"variant '{key}'", key, variant_id(value)) for key, value in manifests.variants.items()]
    derived += [
        (f"adapter '{key}'", key, adapter_id(value.name, value.files)) for key, value in manifests.adapters.items()
    ]
    derived += [
        (f"dataset '{key}'", value.digest, dataset_digest(value.parts, value.lineage))
        for key, value in manifests.datasets.items()
    ]
    for subject, given, found in derived:
        if given != found:
            yield Finding("error", subject, f"its content makes it '{found}', not '{given}'", "git log -p")


def _check_references(snapshot: Snapshot, manifests: _Manifests) -> Iterator[Finding]:
    for name, agent in manifests.agents.items():
        for role in filter(None, (agent.champion, agent.previous, *agent.challengers)):
            variant = manifests.variants.get(role)
            if variant is None or variant.agent != name:
                yield Finding(
                    "error", f"agent '{name}'", f"refers to '{role}', no variant of its own", f"cortex log {name}"
                )
    for key, variant in manifests.variants.items():
        if variant.model not in manifests.models:
            yield Finding("error", f"variant '{key}'", f"needs model '{variant.model}', which is not there")
        if variant.adapter and variant.adapter not in manifests.adapters:
            yield Finding("error", f"variant '{key}'", f"needs adapter '{variant.adapter}', which is not there")
        if snapshot.read_blob(variant.prompt_blob) is None:
            yield Finding(
                "error", f"variant '{key}'", f"needs prompt blob {variant.prompt_blob}, which git does not hold"
            )


def _check_content(manifests: _Manifests, objects: ObjectStore) -> Iterator[Finding]:
    # What was revoked or forgotten may be gone: that is what forgetting means.
    owners: list[tuple[str, Content]] = [
        *((f"adapter '{key}'", value) for key, value in manifests.adapters.items() if value.state == "live"),
        *((f"dataset '{key}'", value) for key, value in manifests.datasets.items() if value.state == "live"),
        *((f"experiment '{key}'", value) for key, value in manifests.experiments.items()),
    ]
    for subject, manifest in owners:
        for name, digest, size in list_content(manifest):
            if objects.has(digest, size):
                continue
            found = "has another size" if objects.has(digest) else "is missing"
            yield Finding("error", subject, f"object '{name}' ({digest}) {found}", "cortex gc --undo")


def _check_digests(objects: ObjectStore) -> Iterator[Finding]:
    for digest in objects.digests():
        if not objects.verify(digest):
            yield Finding("error", digest, f"its content has another digest, at '{objects.path(digest)}'", _REPAIR)


def _check_worktree(git: Git) -> Iterator[Finding]:
    command = ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=no", "--", "registry", "datasets"]
    for record in git.records(*command):
        yield Finding(
            "note", record[3:], "the copy in the worktree is not what HEAD holds", f"git diff HEAD -- {record[3:]}"
        )

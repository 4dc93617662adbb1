"""Objects that nothing refers to: first to the trash, and from there, after as long again, for good."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cortex_cli.domain.errors import CortexError
from cortex_cli.registry.fsck import Content, list_content
from cortex_cli.registry.history import read_log
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.snapshot import VARIANTS, Snapshot
from cortex_cli.registry.trailers import MOVES
from cortex_cli.store.atomic import fsync_folder
from cortex_cli.store.clock import Clock, utc_now
from cortex_cli.store.locks import hold
from cortex_cli.store.objects import ObjectStore

__all__ = ["CHAMPIONS", "GRACE", "GcPlan", "collect_garbage", "plan_gc", "undo_gc"]

# Git's own grace period: a writer between "object written" and "manifest committed" needs its object.
GRACE = timedelta(days=14)
# So many champions of an agent can be rolled back to, whatever became of their manifests.
CHAMPIONS = 5
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class GcPlan(NamedTuple):
    """What a collection does: *unused* objects (with *size* bytes) to the trash, *expired* trash for good."""

    unused: tuple[str, ...]
    size: int
    expired: tuple[Path, ...]
    kept: int
    young: int


def plan_gc(registry: Registry, objects: ObjectStore, *, now: Clock = utc_now, grace: timedelta = GRACE) -> GcPlan:
    """Return what `collect_garbage` would do now; nothing is changed.

    Kept is what the manifests of HEAD and of every branch refer to, what the last five champions of
    each agent need, and what is younger than *grace*. Raises when a manifest cannot be read.
    """
    roots = _find_roots(registry)
    limit = now() - grace
    unused: list[tuple[str, int]] = []
    kept = young = 0
    for digest in objects.digests():
        status = objects.path(digest).stat()
        if digest in roots:
            kept += 1
        elif status.st_mtime >= limit.timestamp():
            young += 1
        else:
            unused.append((digest, status.st_size))
    expired = [folder for folder in _trash_folders(registry) if _day_of(folder) < limit]
    names = tuple(digest for digest, _ in unused)
    return GcPlan(names, sum(size for _, size in unused), tuple(expired), kept, young)


def collect_garbage(
    registry: Registry, objects: ObjectStore, *, now: Clock = utc_now, grace: timedelta = GRACE
) -> GcPlan:
    """Delete trash older than *grace*, move unused objects to the trash, and return what was done.

    Under the registry's lock, so that no commit comes between looking and moving. A killed call has
    moved a part; `undo_gc` or the next call finds it.
    """
    with hold(registry.lock_path, purpose="gc", wait=registry.wait):
        plan = plan_gc(registry, objects, now=now, grace=grace)
        for folder in plan.expired:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        if plan.unused:
            target = _trash(registry) / now().astimezone(UTC).strftime("%Y-%m-%d")
            target.mkdir(parents=True, exist_ok=True)
            for digest in plan.unused:
                _move(objects.path(digest), target / digest.removeprefix("sha256:"))
    return plan


def undo_gc(registry: Registry, objects: ObjectStore) -> list[str]:
    """Move everything in the trash back among the objects, and return the digests that came back."""
    restored: list[str] = []
    with hold(registry.lock_path, purpose="gc --undo", wait=registry.wait):
        for folder in _trash_folders(registry):
            for path in sorted(folder.iterdir()):
                digest = f"sha256:{path.name}"
                if objects.has(digest, path.stat().st_size):
                    path.unlink()
                    continue
                objects.path(digest).parent.mkdir(parents=True, exist_ok=True)
                _move(path, objects.path(digest))
                restored.append(digest)
            folder.rmdir()
    return restored


def _find_roots(registry: Registry) -> set[str]:
    heads = registry.git.run("for-each-ref", "--format=%(objectname)", "refs/heads").decode().split()
    roots: set[str] = set()
    for commit in dict.fromkeys(["HEAD", *heads]):
        with registry.snapshot(commit) as snapshot:
            roots |= _find_all(snapshot)
    for variant, commit in _last_champions(registry):
        with registry.snapshot(commit) as snapshot:
            roots |= _find_behind(snapshot, variant)
    return roots


def _find_all(snapshot: Snapshot) -> set[str]:
    manifests: list[Content] = [*snapshot.adapters(), *snapshot.datasets(), *snapshot.experiments()]
    return {digest for manifest in manifests for _, digest, _ in list_content(manifest)}


def _find_behind(snapshot: Snapshot, variant: str) -> set[str]:
    # A forged promotion may name what never was; nothing of it can be kept, and it must not stop the rest.
    if variant not in snapshot.names(VARIANTS):
        return set()
    adapter = snapshot.variant(variant).adapter
    return {digest for _, digest, _ in list_content(snapshot.adapter(adapter))} if adapter else set()


def _last_champions(registry: Registry) -> Iterator[tuple[str, str]]:
    seen: dict[str, set[str]] = {}
    for event in read_log(registry):
        known = seen.setdefault(event.target, set())
        if event.action in MOVES and event.to and event.to not in known and len(known) < CHAMPIONS:
            known.add(event.to)
            yield event.to, event.commit


def _trash(registry: Registry) -> Path:
    return registry.workspace.private / "trash"


def _trash_folders(registry: Registry) -> list[Path]:
    return sorted(folder for folder in _trash(registry).glob("*") if _DAY.fullmatch(folder.name))


def _day_of(folder: Path) -> datetime:
    return datetime.strptime(folder.name, "%Y-%m-%d").replace(tzinfo=UTC)


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        raise CortexError(f"'{source}' cannot be moved: {error.strerror}", hint="cortex gc --undo") from error
    fsync_folder(target.parent)
    fsync_folder(source.parent)

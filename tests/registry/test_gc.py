import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.errors import LockedError, UsageError
from cortex_cli.domain.manifests import Adapter, Blob, DatasetVersion, Experiment, Variant, Verdict
from cortex_cli.registry.actions import add_adapter, add_dataset, add_experiment, finish_experiment, promote, rollback
from cortex_cli.registry.gc import CHAMPIONS, GRACE, collect_garbage, plan_gc, undo_gc
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.locks import hold
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

User = Callable[..., str]

NOW = datetime.now(UTC)


def after(days: float) -> Callable[[], datetime]:
    """A clock that many days ahead; what was written in this test is that old by then."""
    return lambda: NOW + timedelta(days=days)


def trash(registry: Registry) -> list[str]:
    return sorted(path.name for path in (registry.workspace.private / "trash").glob("*/*"))


def test_what_nothing_refers_to_is_unused_after_the_grace_period(registry: Registry, objects: ObjectStore) -> None:
    digest = objects.put_bytes(b"orphan")
    young = plan_gc(registry, objects, now=after(13))
    assert (young.unused, young.young, young.kept) == ((), 1, 0)
    old = plan_gc(registry, objects, now=after(15))
    assert (old.unused, old.size, old.young) == ((digest,), 6, 0)
    assert timedelta(days=14) == GRACE


def test_planning_moves_nothing(registry: Registry, objects: ObjectStore) -> None:
    digest = objects.put_bytes(b"orphan")
    plan_gc(registry, objects, now=after(15))
    assert objects.verify(digest)
    assert trash(registry) == []


def test_everything_that_a_manifest_refers_to_is_kept(
    *,
    registry: Registry,
    objects: ObjectStore,
    variant: Callable[..., Variant],
    adapter: Callable[..., Adapter],
    dataset: Callable[..., DatasetVersion],
    experiment: Callable[..., Experiment],
    verdict: Callable[[str], Verdict],
) -> None:
    add_dataset(registry, dataset("v0001", b"rows"))
    add_adapter(registry, adapter(b"weights"))
    first, second = variant(seed=1), variant(seed=2)
    promote(registry, "dispatch", first.id)
    begun = experiment("x-1", first.id, (second.id,))
    add_experiment(registry, begun)
    evidence = Blob("ledger.jsonl", objects.put_bytes(b"ledger"), 6)
    finish_experiment(
        registry, msgspec.structs.replace(begun, state="decided", evidence=evidence, verdict=verdict(second.id))
    )
    orphan = objects.put_bytes(b"orphan")
    plan = plan_gc(registry, objects, now=after(30))
    assert plan.unused == (orphan,)
    assert plan.kept == len(list(objects.digests())) - 1 == 5


def test_what_another_branch_refers_to_is_kept(
    registry: Registry, objects: ObjectStore, user: User, adapter: Callable[..., Adapter]
) -> None:
    user("branch", "side")
    user("switch", "--quiet", "side")
    add_adapter(registry, adapter(b"weights"))
    user("switch", "--quiet", "main")
    assert plan_gc(registry, objects, now=after(30)).unused == ()


def test_the_last_champions_can_be_rolled_back_to_whatever_became_of_their_manifests(
    registry: Registry,
    objects: ObjectStore,
    user: User,
    variant: Callable[..., Variant],
    adapter: Callable[..., Adapter],
) -> None:
    trained = []
    for seed in range(CHAMPIONS + 2):
        trained.append(adapter(f"weights {seed}".encode()))
        add_adapter(registry, trained[-1])
        promote(registry, "dispatch", variant(seed=seed, adapter=trained[-1].id).id)
    user("rm", "--quiet", "-r", "registry/adapters")
    user("commit", "--quiet", "--message=tidy up")
    weights = [item.files[0].digest for item in trained]
    unused = plan_gc(registry, objects, now=after(30)).unused
    assert set(unused) == set(weights[:2])


def test_collecting_moves_to_the_trash_and_only_much_later_deletes(registry: Registry, objects: ObjectStore) -> None:
    digest = objects.put_bytes(b"orphan")
    plan = collect_garbage(registry, objects, now=after(15))
    assert plan.unused == (digest,)
    assert not objects.has(digest)
    assert trash(registry) == [digest.removeprefix("sha256:")]
    assert collect_garbage(registry, objects, now=after(28)).expired == ()
    assert trash(registry) == [digest.removeprefix("sha256:")]
    assert len(collect_garbage(registry, objects, now=after(31)).expired) == 1
    assert trash(registry) == []
    assert list((registry.workspace.private / "trash").iterdir()) == []


def test_a_collection_can_be_undone(registry: Registry, objects: ObjectStore) -> None:
    first, second = objects.put_bytes(b"one"), objects.put_bytes(b"two")
    collect_garbage(registry, objects, now=after(15))
    objects.put_bytes(b"two")
    assert undo_gc(registry, objects) == [first]
    assert objects.verify(first)
    assert objects.verify(second)
    assert trash(registry) == []
    assert undo_gc(registry, objects) == []


def test_an_object_that_comes_back_is_a_new_object(registry: Registry, objects: ObjectStore) -> None:
    digest = objects.put_bytes(b"orphan")
    collect_garbage(registry, objects, now=after(15))
    assert objects.put_bytes(b"orphan") == digest
    collect_garbage(registry, objects, now=after(60))
    assert trash(registry) == [digest.removeprefix("sha256:")]


def test_a_shorter_grace_is_the_callers_choice(registry: Registry, objects: ObjectStore) -> None:
    digest = objects.put_bytes(b"orphan")
    path = objects.path(digest)
    os.utime(path, (0, (NOW - timedelta(hours=2)).timestamp()))
    assert plan_gc(registry, objects, grace=timedelta(hours=1)).unused == (digest,)


def test_rollback_finds_what_gc_kept_and_misses_what_it_took(
    registry: Registry, objects: ObjectStore, variant: Callable[..., Variant], adapter: Callable[..., Adapter]
) -> None:
    trained = adapter(b"weights")
    add_adapter(registry, trained)
    promote(registry, "dispatch", variant(seed=1, adapter=trained.id).id)
    promote(registry, "dispatch", variant(seed=2).id)
    collect_garbage(registry, objects, now=after(60))
    assert rollback(registry, "dispatch", objects=objects).generation == 3


def test_a_manifest_that_cannot_be_read_stops_the_collection(registry: Registry, objects: ObjectStore) -> None:
    digest = objects.put_bytes(b"orphan")
    registry.commit(Trailers("note", "x"), {"registry/adapters/dispatch-000000000000.toml": b"broken ="})
    with pytest.raises(UsageError, match="not TOML"):
        collect_garbage(registry, objects, now=after(60))
    assert objects.has(digest)


def test_a_collection_waits_for_a_commit(root: Path, objects: ObjectStore) -> None:
    registry = Registry(Workspace(root), wait=0.05)
    digest = objects.put_bytes(b"orphan")
    with hold(registry.lock_path, purpose="a promotion"), pytest.raises(LockedError):
        collect_garbage(registry, objects, now=after(60))
    assert objects.has(digest)


def test_what_else_lies_in_the_trash_folder_is_left_alone(registry: Registry, objects: ObjectStore) -> None:
    note = registry.workspace.private / "trash" / "notes"
    note.mkdir(parents=True)
    assert collect_garbage(registry, objects, now=after(365)).expired == ()
    assert note.exists()


def test_a_promotion_of_what_never_was_does_not_stop_the_collection(
    registry: Registry, objects: ObjectStore, user: User
) -> None:
    digest = objects.put_bytes(b"orphan")
    for name in ("dispatch-000000000000", "../../etc"):
        message = f"x\n\nCortex-Action: promote\nCortex-Target: dispatch\nCortex-To: {name}"
        user("commit", "--quiet", "--allow-empty", "--message", message)
    assert collect_garbage(registry, objects, now=after(60)).unused == (digest,)

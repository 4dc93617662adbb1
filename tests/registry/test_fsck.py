from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.manifests import Adapter, Blob, DatasetVersion, Experiment, Variant, Verdict
from cortex_cli.registry.actions import (
    add_adapter,
    add_dataset,
    add_experiment,
    finish_experiment,
    promote,
    render_manifest,
)
from cortex_cli.registry.audit import Finding
from cortex_cli.registry.copies import Pending, write_pending
from cortex_cli.registry.fsck import check, find_leftovers, find_locks
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.locks import hold
from cortex_cli.store.objects import ObjectStore

User = Callable[..., str]
Commit = Callable[[str, bytes], None]

NOTE = Trailers("note", "x")


@pytest.fixture
def full(
    *,
    registry: Registry,
    objects: ObjectStore,
    variant: Callable[..., Variant],
    adapter: Callable[..., Adapter],
    dataset: Callable[..., DatasetVersion],
    experiment: Callable[..., Experiment],
    verdict: Callable[[str], Verdict],
) -> Registry:
    """A registry with one of everything, promoted by an experiment with evidence."""
    add_dataset(registry, dataset("v0001", b"rows"))
    trained = adapter(b"weights")
    add_adapter(registry, trained)
    first, second = variant(seed=1), variant(seed=2, adapter=trained.id)
    promote(registry, "dispatch", first.id)
    begun = experiment("x-1", first.id, (second.id,))
    add_experiment(registry, begun)
    evidence = Blob("ledger.jsonl", objects.put_bytes(b"{}\n"), 3)
    finish_experiment(
        registry, msgspec.structs.replace(begun, state="decided", evidence=evidence, verdict=verdict(second.id))
    )
    promote(registry, "dispatch", second.id, experiment="x-1")
    return registry


@pytest.fixture
def write(registry: Registry) -> Commit:
    """Commit a file past every check."""

    def make(path: str, data: bytes) -> None:
        registry.commit(NOTE, {path: data})

    return make


def messages(found: list[Finding]) -> str:
    return "\n".join(f"{item.severity} {item.subject}: {item.what}" for item in found)


def test_a_registry_written_by_cortex_has_no_finding(full: Registry, objects: ObjectStore) -> None:
    assert check(full, objects) == []
    assert check(full, objects, depth="content") == []


def test_a_broken_manifest_is_one_finding_and_the_others_are_read(
    full: Registry, objects: ObjectStore, write: Commit
) -> None:
    write("registry/models/broken.toml", b"name = \n")
    write("registry/models/other.toml", b'name = "other"\nkind = "api"\nsource = "x"\ncolour = 1\n')
    write("datasets/calls/v0009.toml", b'name = "calls"\n')
    found = [item for item in check(full, objects) if item.severity == "error"]
    assert [item.subject for item in found] == [
        "registry/models/broken.toml",
        "registry/models/other.toml",
        "datasets/calls/v0009.toml",
    ]
    assert "colour: unknown key" in messages(found)
    assert all(item.repair for item in found)


def test_an_id_that_is_not_its_content_is_found(full: Registry, objects: ObjectStore, write: Commit) -> None:
    snapshot = full.snapshot()
    variant, adapter, version = snapshot.variants()[0], snapshot.adapters()[0], snapshot.dataset("calls")
    write(
        f"registry/variants/{variant.id}.toml",
        render_manifest(msgspec.structs.replace(variant, parameters={"seed": 9})),
    )
    write(f"registry/adapters/{adapter.id}.toml", render_manifest(msgspec.structs.replace(adapter, name="other")))
    digest = "sha256:" + "0" * 64
    write("datasets/calls/v0001.toml", render_manifest(msgspec.structs.replace(version, digest=digest)))
    found = messages(check(full, objects))
    assert f"variant '{variant.id}': its content makes it 'dispatch-" in found
    assert f"adapter '{adapter.id}': its content makes it 'other-" in found
    assert f"dataset 'calls/v0001': its content makes it '{version.digest}', not '{digest}'" in found


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("variants", "no variant of its own"),
        ("models", "needs model 'base', which is not there"),
        ("adapters", "which is not there"),
    ],
)
def test_what_is_referred_to_and_gone_is_found(
    full: Registry, objects: ObjectStore, user: User, folder: str, what: str
) -> None:
    user("rm", "--quiet", "-r", f"registry/{folder}")
    user("commit", "--quiet", "--message=away")
    assert what in messages(check(full, objects))


def test_a_prompt_that_git_lost_is_found(full: Registry, objects: ObjectStore, write: Commit) -> None:
    variant = full.snapshot().variants()[0]
    write(
        f"registry/variants/{variant.id}.toml", render_manifest(msgspec.structs.replace(variant, prompt_blob="0" * 40))
    )
    assert f"needs prompt blob {'0' * 40}" in messages(check(full, objects))


def test_missing_and_cut_off_objects_are_found_by_their_owner(full: Registry, objects: ObjectStore) -> None:
    snapshot = full.snapshot()
    weights = snapshot.adapters()[0].files[0]
    objects.delete(weights.digest)
    part = snapshot.dataset("calls").parts["train"]
    objects.path(part.digest).chmod(0o644)
    objects.path(part.digest).write_bytes(b"ro")
    evidence = snapshot.experiment("x-1").evidence
    assert evidence is not None
    objects.delete(evidence.digest)
    found = messages(check(full, objects))
    assert f"object 'adapter.safetensors' ({weights.digest}) is missing" in found
    assert f"dataset 'calls/v0001': object 'train' ({part.digest}) has another size" in found
    assert f"experiment 'x-1': object 'ledger.jsonl' ({evidence.digest}) is missing" in found


def test_the_content_of_what_was_revoked_may_be_gone(full: Registry, objects: ObjectStore) -> None:
    adapter, version = full.snapshot().adapters()[0], full.snapshot().dataset("calls")
    add_adapter(full, msgspec.structs.replace(adapter, state="revoked"))
    add_dataset(full, msgspec.structs.replace(version, state="revoked"))
    for digest in (adapter.files[0].digest, version.parts["train"].digest):
        objects.delete(digest)
    assert check(full, objects) == []


def test_altered_content_is_found_only_when_it_is_read(full: Registry, objects: ObjectStore) -> None:
    blob = full.snapshot().adapters()[0].files[0]
    path = objects.path(blob.digest)
    path.chmod(0o644)
    path.write_bytes(b"WEIGHTS")
    assert check(full, objects) == []
    found = check(full, objects, depth="content")
    assert [item.subject for item in found] == [blob.digest]
    assert found[0].repair == "cortex fsck --repair"


def test_a_corrupt_object_of_git_is_found(full: Registry, objects: ObjectStore, root: Path, user: User) -> None:
    oid = user("rev-parse", "HEAD:prompts/shell/default.md")
    path = root / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.write_bytes(b"garbage")
    found = check(full, objects)
    assert found[0].severity == "error"
    assert oid in messages(found)


def test_a_forged_account_is_found(full: Registry, objects: ObjectStore, user: User) -> None:
    user("commit", "--quiet", "--allow-empty", "--message=x\n\nCortex-Action: promote\nCortex-Target: dispatch")
    assert "forged account" in messages(check(full, objects))


def test_lock_files_of_git_are_found_and_the_lock_of_cortex_is_none(
    registry: Registry, objects: ObjectStore, root: Path
) -> None:
    names = ["index.lock", "HEAD.lock", "packed-refs.lock", "refs/heads/main.lock", "refs/heads/a/b.lock"]
    for name in names:
        (root / ".git" / name).parent.mkdir(exist_ok=True)
        (root / ".git" / name).touch()
    with hold(registry.lock_path, purpose="test"):
        assert [str(path.relative_to(root / ".git")) for path in find_locks(registry.git)] == sorted(names)
    found = check(registry, objects)
    assert [item.severity for item in found] == ["warning"] * len(names)
    assert all("a lock file of git, 0 s old" in item.what for item in found)


def test_a_lock_file_says_how_old_it_is(
    registry: Registry, objects: ObjectStore, root: Path, later: Callable[[], datetime]
) -> None:
    (root / ".git" / "index.lock").touch()
    age = check(registry, objects, now=later)[0].what
    assert age.startswith(("a lock file of git, 119", "a lock file of git, 120"))


def test_leftovers_of_killed_writers_are_notes(registry: Registry, objects: ObjectStore, root: Path) -> None:
    (objects.root / "tmp").mkdir(parents=True)
    left = [
        objects.root / "tmp" / "put.1.tmp",
        root / ".git" / ".cortex.lock.holder.1.tmp",
        root / ".git" / "objects" / "00" / "tmp_obj_abc",
        root / "registry" / "agents" / ".dispatch.toml.1.tmp",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert set(find_leftovers(registry.git, objects)) == set(left)
    assert {(item.severity, item.subject) for item in check(registry, objects)} >= {
        ("note", str(path)) for path in left
    }


def test_a_renewal_that_was_cut_off_is_found(registry: Registry, objects: ObjectStore) -> None:
    head = registry.git.head()
    write_pending(registry.git, Pending(head, head, {}))
    assert "copies in the worktree lag behind" in messages(check(registry, objects))


def test_a_copy_that_differs_from_head_is_a_note(registry: Registry, objects: ObjectStore, root: Path) -> None:
    (root / "registry" / "models" / "base.toml").write_text("mine\n", encoding="utf-8")
    (root / "registry" / "agents" / "shell.toml").unlink()
    (root / "prompts" / "shell" / "default.md").write_text("mine\n", encoding="utf-8")
    found = check(registry, objects)
    assert [(item.severity, item.subject) for item in found] == [
        ("note", "registry/agents/shell.toml"),
        ("note", "registry/models/base.toml"),
    ]


def test_the_worst_comes_first(full: Registry, objects: ObjectStore, root: Path, write: Commit) -> None:
    (root / ".git" / "index.lock").touch()
    (root / "registry" / "models" / "base.toml").write_text("mine\n", encoding="utf-8")
    (root / ".git" / "index.lock").unlink()
    write("registry/models/broken.toml", b"name = \n")
    (root / ".git" / "index.lock").touch()
    assert [item.severity for item in check(full, objects)] == ["error", "warning", "note"]


def test_checking_changes_nothing(full: Registry, objects: ObjectStore, root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))}
    check(full, objects, now=lambda: datetime(2030, 1, 1, tzinfo=UTC), depth="content")
    assert {path: path.stat().st_mtime_ns for path in sorted(root.rglob("*"))} == before

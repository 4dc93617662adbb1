from pathlib import Path

import msgspec
import pytest

from cortex_cli.curate.engine import Records, curate
from cortex_cli.curate.spec import CurateSpec, Split
from cortex_cli.curate.versions import Comparison, compare_versions, read_examples, read_sealed, verify_version
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.domain.manifests import DatasetVersion, Part
from cortex_cli.store.objects import ObjectStore

EVEN = Split()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def version_of(store: ObjectStore, numbers: range, split: Split = EVEN) -> DatasetVersion:
    interactions = [
        (
            number,
            canonical_json(
                Interaction(
                    id=f"i-{number}",
                    agent="shell",
                    time="",
                    messages=(Message("user", f"request {number}"),),
                    output="x",
                    outcome="success",
                )
            ),
        )
        for number in numbers
    ]
    return curate(Records(interactions, []), CurateSpec(agent="shell", split=split), store=store, key=b"k" * 32).version


def test_one_part_or_all_can_be_read(store: ObjectStore) -> None:
    version = version_of(store, range(40))
    rows = {name: len(list(read_examples(store, version, name))) for name in ("train", "valid")}
    assert rows == {name: version.parts[name].rows for name in rows}
    assert len(list(read_examples(store, version, ""))) == sum(rows.values())
    assert len(list(read_sealed(store, version))) == 40 - sum(rows.values())


def test_the_test_part_is_sealed_for_all_but_evaluation(store: ObjectStore) -> None:
    version = version_of(store, range(40))
    with pytest.raises(UsageError, match="sealed: it is for evaluation only") as caught:
        read_examples(store, version, "test")
    assert caught.value.hint == "cortex evaluate VARIANT --suite shell:test"
    sealed = {example.id for example in read_sealed(store, version)}
    assert sealed
    assert sealed.isdisjoint(example.id for example in read_examples(store, version, ""))
    assert sealed.isdisjoint(example.id for example in read_examples(store, version, "train"))


def test_a_version_without_a_test_part_has_nothing_sealed(store: ObjectStore) -> None:
    version = version_of(store, range(20), Split(0.8, 0.2, 0.0))
    assert len(list(read_examples(store, version, ""))) == 20
    with pytest.raises(UsageError, match="no part 'test'; it has train, valid"):
        list(read_sealed(store, version))


def test_an_unknown_part_names_those_there_are(store: ObjectStore) -> None:
    with pytest.raises(UsageError, match="test, train, valid"):
        list(read_examples(store, version_of(store, range(3)), "dev"))


def test_a_missing_or_changed_object_is_found(store: ObjectStore) -> None:
    version = version_of(store, range(40))
    store.delete(version.parts["valid"].digest)
    path = store.path(version.parts["train"].digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"request 1", b"request !"))
    store.delete(version.lineage.digest)
    faults = verify_version(store, version)
    assert [fault.split(":")[0] for fault in faults] == ["train", "valid", "lineage"]


def test_a_changed_manifest_is_found(store: ObjectStore) -> None:
    version = version_of(store, range(40))
    part = version.parts["train"]
    forged = msgspec.structs.replace(
        version, parts=version.parts | {"train": Part(part.digest, part.size, part.rows + 1)}
    )
    assert [fault.split(":")[0] for fault in verify_version(store, forged)] == ["train", "manifest"]


def test_a_lineage_of_another_length_is_found(store: ObjectStore) -> None:
    version = version_of(store, range(40))
    other = store.put_chunks([b"k-1\n"], "lineage")
    assert "lineage: 1 ids for 40 examples" in verify_version(store, msgspec.structs.replace(version, lineage=other))


def test_a_line_that_is_no_example_is_an_integrity_failure(store: ObjectStore) -> None:
    version = version_of(store, range(3))
    blob = store.put_chunks([b'{"id": 5}\n'], "train")
    forged = msgspec.structs.replace(version, parts={"train": Part(blob.digest, blob.size, 1)})
    with pytest.raises(IntegrityError, match="no example"):
        list(read_examples(store, forged, "train"))


def test_two_versions_are_compared_by_their_examples(store: ObjectStore) -> None:
    old, new = version_of(store, range(40)), version_of(store, range(10, 60))
    assert compare_versions(store, old, new) == Comparison(added=20, removed=10, moved=0, kept=30)
    assert compare_versions(store, old, old) == Comparison(0, 0, 0, 40)


def test_examples_that_changed_sides_are_told(store: ObjectStore) -> None:
    old, new = version_of(store, range(40)), version_of(store, range(40), Split(0.0, 0.0, 1.0))
    found = compare_versions(store, old, new)
    assert found.moved == old.parts["train"].rows + old.parts["valid"].rows
    assert found.kept == old.parts["test"].rows

import os
from pathlib import Path

import pytest

from cortex_cli.pipeline.descent import Descent, find_descent, scrub_runs, sweep_objects
from tests.pipeline.memories import Memory, copy_memory, make_version, open_memory, talk


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    return open_memory(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def memory(made: Memory, tmp_path: Path) -> Memory:
    return copy_memory(made, tmp_path / "workspace")


def descend(memory: Memory, *numbers: int) -> Descent:
    with memory.place.registry.snapshot() as snapshot:
        return find_descent(memory.place, snapshot, {memory.keyed(talk(number).id) for number in numbers})


def sweep(memory: Memory, *numbers: int) -> int:
    with memory.place.registry.snapshot() as snapshot:
        return sweep_objects(memory.place, snapshot, {memory.keyed(talk(number).id) for number in numbers})


def test_a_version_descends_with_its_adapters_objects_and_examples(memory: Memory) -> None:
    version = memory.versions[0]
    found = descend(memory, 2)
    assert (found.datasets, found.adapters) == (("dispatch/v0001",), (memory.adapter.id,))
    parts = {part.digest for part in version.parts.values()}
    assert set(found.objects) == {*parts, version.lineage.digest}
    assert found.examples == (f"x-{talk(2).id[2:]}",)


def test_what_no_version_learned_from_has_no_descent(memory: Memory) -> None:
    assert descend(memory, 99) == Descent()
    assert descend(memory) == Descent()


def test_an_object_that_another_version_needs_and_that_holds_nothing_stays(memory: Memory) -> None:
    even, odd = [[record] for record in memory.records[::2]], [[record] for record in memory.records[1::2]]
    make_version(memory.place, {"test": even[:1], "train": odd}, "v0003")
    found = descend(memory, 2)
    assert found.datasets == ("dispatch/v0001",)
    assert memory.versions[0].parts["test"].digest not in found.objects
    assert memory.versions[0].parts["train"].digest in found.objects


def test_a_version_whose_content_is_gone_already_is_not_descended_from_again(memory: Memory) -> None:
    for digest in descend(memory, 0).objects:
        memory.place.objects.delete(digest)
    assert descend(memory, 0) == Descent()


def test_descents_are_joined_by_what_is_in_either() -> None:
    one, two = Descent(("a/v0001",), ("x",)), Descent(("a/v0001", "a/v0002"), (), ("sha256:1",))
    assert one.join(two) == Descent(("a/v0001", "a/v0002"), ("x",), ("sha256:1",))


def test_objects_without_a_manifest_and_trash_are_swept_by_what_they_hold(memory: Memory) -> None:
    keyed = memory.keyed(talk(2).id)
    guilty = memory.place.objects.put_bytes(b"x" * (1 << 20) + f'{{"interaction":"{keyed}"}}'.encode())
    innocent = memory.place.objects.put_bytes(f'{{"interaction":"{memory.keyed(talk(3).id)}"}}'.encode())
    for folder in ("trash/2026-05-01", "quarantine"):
        path = memory.private / folder / "object"
        path.parent.mkdir(parents=True)
        path.write_text(f"... {keyed}\n", encoding="utf-8")
    assert sweep(memory, 2) == 3
    assert not memory.place.objects.has(guilty)
    assert memory.place.objects.has(innocent)
    assert sweep(memory, 2) == 0


def test_what_a_killed_put_left_is_swept_and_one_that_runs_is_not(memory: Memory) -> None:
    for name in ("old", "new"):
        path = memory.place.objects.root / "tmp" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("half an exam", encoding="utf-8")
    os.utime(memory.place.objects.root / "tmp" / "old", (0, 0))
    os.utime(memory.place.objects.root / "tmp" / "new", (memory.place.now().timestamp(),) * 2)
    assert sweep(memory, 2) == 1
    assert [path.name for path in memory.place.objects.leftovers()] == ["new"]


def test_a_log_loses_the_lines_that_name_what_is_forgotten_and_no_other(memory: Memory) -> None:
    log = memory.private / "runs" / "demo" / "night.jsonl"
    log.parent.mkdir(parents=True)
    kept = '{"id":"i-000000000000000000000001"}\nnot json at all\n'
    log.write_text(kept + '{"id":"i-000000000000000000000002"}\n{"alias":"a b/1"}\n', encoding="utf-8")
    log.chmod(0o600)
    assert scrub_runs(memory.place, {"i-000000000000000000000002", "a b/1"}, set()) == (0, 1)
    assert log.read_text(encoding="utf-8") == kept
    assert log.stat().st_mode & 0o777 == 0o600
    assert scrub_runs(memory.place, {"i-000000000000000000000002", "a b/1"}, set()) == (0, 0)


def test_journal_key_and_objects_are_not_taken_for_logs(memory: Memory) -> None:
    name = talk(2).id
    before = memory.place.workspace.journal_path.read_bytes()
    assert scrub_runs(memory.place, {name}, set()) == (0, 0)
    assert memory.place.workspace.journal_path.read_bytes() == before


def test_the_run_of_a_training_that_saw_an_example_goes_whole(memory: Memory) -> None:
    for run, name in (("train-1", "x-aaaaaaaaaaaa"), ("train-2", "x-bbbbbbbbbbbb")):
        folder = memory.private / "runs" / run
        folder.mkdir(parents=True)
        (folder / "steps.jsonl").write_text(f'[1,["{name}"]]\n', encoding="utf-8")
        (folder / "state.safetensors").write_bytes(b"weights")
    assert scrub_runs(memory.place, set(), {"x-aaaaaaaaaaaa"}) == (1, 0)
    assert [path.name for path in (memory.private / "runs").iterdir()] == ["train-2"]
    assert scrub_runs(memory.place, set(), set()) == (0, 0)

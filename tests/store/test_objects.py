import hashlib
import os
import random
import resource
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.digests import digest_bytes
from cortex_cli.domain.errors import CortexError, IntegrityError
from cortex_cli.store.objects import ObjectStore

ABSENT = "sha256:" + "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


def corrupt(store: ObjectStore, digest: str, data: bytes) -> None:
    store.path(digest).chmod(0o644)
    store.path(digest).write_bytes(data)


def test_what_is_put_is_read_back(store: ObjectStore) -> None:
    digest = store.put_bytes(b"hello")
    assert digest == "sha256:" + hashlib.sha256(b"hello").hexdigest()
    assert store.read_bytes(digest) == b"hello"


def test_what_is_put_again_is_as_young_as_what_is_new(store: ObjectStore) -> None:
    digest = store.put_bytes(b"hello")
    os.utime(store.path(digest), (0, 0))
    store.put_bytes(b"hello")
    assert store.path(digest).stat().st_mtime > 1_000_000_000
    os.utime(store.path(digest), (0, 0))
    store.put_chunks([b"hel", b"lo"], "greeting")
    assert store.path(digest).stat().st_mtime > 1_000_000_000


def test_an_object_lies_under_its_digits_and_is_read_only(store: ObjectStore) -> None:
    digest = store.put_bytes(b"hello")
    digits = digest.removeprefix("sha256:")
    assert store.path(digest) == store.root / "sha256" / digits[:2] / digits[2:]
    assert stat.S_IMODE(store.path(digest).stat().st_mode) == 0o444


def test_the_same_content_is_kept_once_and_not_rewritten(store: ObjectStore) -> None:
    first = store.path(store.put_bytes(b"same")).stat()
    second = store.path(store.put_bytes(b"same")).stat()
    third = store.path(store.put_chunks([b"sa", b"me"], "n").digest).stat()
    assert first.st_ino == second.st_ino == third.st_ino
    assert len(list(store.digests())) == 1


def test_an_object_of_the_wrong_size_is_replaced(store: ObjectStore) -> None:
    digest = store.put_bytes(b"whole")
    corrupt(store, digest, b"who")
    store.put_bytes(b"whole")
    assert store.verify(digest)


def test_a_file_becomes_a_blob_of_its_name(store: ObjectStore, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(1_000_000)
    (tmp_path / "weights.bin").write_bytes(data)
    blob = store.put_file(tmp_path / "weights.bin")
    assert (blob.name, blob.digest, blob.size) == ("weights.bin", digest_bytes(data), len(data))
    assert store.read_bytes(blob.digest) == data


@given(st.lists(st.binary(max_size=50)))
def test_chunks_are_one_object_however_they_are_cut(chunks: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(Path(folder))
        blob = store.put_chunks(chunks, "part")
        assert store.read_bytes(blob.digest) == b"".join(chunks)
        assert blob.size == len(b"".join(chunks))


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))))
def test_lines_come_back_as_they_were_written(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(Path(folder))
        digest = store.put_bytes(b"".join(line + b"\n" for line in lines))
        assert list(store.open_lines(digest)) == lines


def test_a_line_longer_than_any_buffer_is_one_line(store: ObjectStore) -> None:
    lines = [b"a" * 3_000_000, b"", b"b" * 700_000, b"no newline at the end"]
    assert list(store.open_lines(store.put_bytes(b"\n".join(lines)))) == lines


def test_corruption_is_found_on_every_way_of_reading(store: ObjectStore) -> None:
    digest = store.put_bytes(b"line one\nline two\n")
    corrupt(store, digest, b"line one\nline 2!!\n")
    assert not store.verify(digest)
    with pytest.raises(IntegrityError, match="corrupt") as caught:
        store.read_bytes(digest)
    assert caught.value.hint == "cortex fsck"
    with pytest.raises(IntegrityError, match="corrupt"):
        list(store.open_lines(digest))


def test_a_missing_object_is_an_integrity_failure(store: ObjectStore, tmp_path: Path) -> None:
    assert not store.has(ABSENT)
    assert not store.verify(ABSENT)
    for read in (store.read_bytes, lambda digest: list(store.open_lines(digest))):
        with pytest.raises(IntegrityError, match="missing"):
            read(ABSENT)
    with pytest.raises(IntegrityError, match="missing"):
        store.link(ABSENT, tmp_path / "target")


def test_presence_can_be_asked_with_the_size(store: ObjectStore) -> None:
    digest = store.put_bytes(b"12345")
    assert store.has(digest)
    assert store.has(digest, 5)
    assert not store.has(digest, 4)


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:xyz", "../../etc/passwd", "sha256:" + "A" * 64])
def test_nothing_but_a_digest_becomes_a_path(store: ObjectStore, text: str) -> None:
    with pytest.raises(IntegrityError, match="not a digest"):
        store.path(text)


def test_digests_are_listed_sorted_and_foreign_files_are_not(store: ObjectStore) -> None:
    digests = sorted(store.put_bytes(bytes([number])) for number in range(20))
    (store.root / "sha256" / "ab").mkdir(exist_ok=True)
    (store.root / "sha256" / "ab" / "notes.txt").write_text("not an object")
    assert list(store.digests()) == digests
    assert list(ObjectStore(store.root / "none").digests()) == []


def test_a_deleted_object_is_gone(store: ObjectStore) -> None:
    digest = store.put_bytes(b"secret")
    assert store.delete(digest)
    assert not store.has(digest)
    assert not store.delete(digest)


def test_a_link_has_the_content_and_replaces_what_was_there(store: ObjectStore, tmp_path: Path) -> None:
    digest = store.put_bytes(b"weights")
    target = tmp_path / "run" / "adapter.safetensors"
    store.link(digest, target)
    store.link(digest, target)
    assert target.read_bytes() == b"weights"
    assert stat.S_IMODE(target.stat().st_mode) == 0o444
    assert [entry.name for entry in target.parent.iterdir()] == [target.name]


def test_a_link_across_disks_is_a_read_only_copy(store: ObjectStore) -> None:
    memory = Path("/dev/shm")  # noqa: S108 - the one other file system that Linux always has
    if not memory.is_dir() or memory.stat().st_dev == store.root.parent.stat().st_dev:
        pytest.skip("no second file system here")
    digest = store.put_bytes(b"weights")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        target = Path(folder) / "adapter"
        store.link(digest, target)
        assert target.read_bytes() == b"weights"
        assert stat.S_IMODE(target.stat().st_mode) == 0o444


def test_a_full_disk_leaves_no_object_and_no_leftover(store: ObjectStore) -> None:
    kept = store.put_bytes(b"kept")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(CortexError, match="cannot be written"):
            store.put_bytes(b"x" * 50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(store.digests()) == [kept]
    assert store.leftovers() == []


def test_a_source_that_fails_half_way_leaves_nothing(store: ObjectStore) -> None:
    def chunks() -> "object":
        yield b"begin"
        raise ValueError("source")

    with pytest.raises(ValueError, match="source"):
        store.put_chunks(chunks(), "part")  # type: ignore[arg-type]  # a generator that fails has no better type
    assert list(store.digests()) == []
    assert store.leftovers() == []


def test_leftovers_of_a_killed_put_are_listed(store: ObjectStore) -> None:
    store.put_bytes(b"x")
    (store.root / "tmp" / "put.1234.tmp").write_bytes(b"half")
    assert store.leftovers() == [store.root / "tmp" / "put.1234.tmp"]

"""Content-addressed objects: a file is named by its SHA-256, so reading it back can prove it is whole."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from cortex_cli.domain.digests import digest_bytes, hex_of
from cortex_cli.domain.errors import IntegrityError
from cortex_cli.domain.manifests import Blob
from cortex_cli.store.atomic import fsync_folder, report_disk, temporary_name

__all__ = ["ObjectStore"]

# 256 KiB stays in the second-level cache between reading, hashing and writing.
_CHUNK = 1 << 18
_READ_ONLY = 0o444


class ObjectStore:
    """Objects under *root*, at `sha256/ab/cdef...`, read-only, durable when a put returns.

    Any number of processes may put at once: equal content has one name and the last rename wins with
    the same bytes. A killed put leaves at most a file under `tmp/`, which `leftovers` lists.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_bytes(self, data: bytes) -> str:
        """Keep *data* and return its digest."""
        digest = digest_bytes(data)
        if self._settled(digest, len(data)):
            return digest
        return self.put_chunks([data], "").digest

    def put_file(self, path: Path) -> Blob:
        """Keep a copy of the file *path* and return it as a blob of that file name."""
        with path.open("rb", buffering=0) as stream:
            return self.put_chunks(_read_chunks(stream), path.name)

    def put_chunks(self, chunks: Iterable[bytes | memoryview], name: str) -> Blob:
        """Keep the concatenation of *chunks*, hashing while it streams, and return it as blob *name*."""
        with report_disk(self.root):
            temporary = self._temporary()
            try:
                digest, size = _write_hashed(temporary, chunks)
                self._settle(temporary, digest, size)
            finally:
                with suppress(OSError):
                    temporary.unlink()
        return Blob(name=name, digest=digest, size=size)

    def path(self, digest: str) -> Path:
        """Return where the object *digest* lies, whether or not it does."""
        digits = hex_of(digest)
        return self.root / "sha256" / digits[:2] / digits[2:]

    def has(self, digest: str, size: int | None = None) -> bool:
        """Tell whether the object is there, and with *size* bytes when that is known; content is not read."""
        try:
            found = self.path(digest).stat().st_size
        except FileNotFoundError:
            return False
        return size is None or found == size

    def read_bytes(self, digest: str) -> bytes:
        """Return the content; raise `IntegrityError` when it is missing or does not match its digest."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise _missing(digest) from error
        if digest_bytes(data) != digest:
            raise _corrupt(digest)
        return data

    def open_lines(self, digest: str) -> Iterator[bytes]:
        """Yield the lines without their ends, one chunk in memory; raise `IntegrityError` as `read_bytes` does.

        The digest is known only at the end: a consumer that must not act on corrupt content collects first.
        """
        try:
            stream = self.path(digest).open("rb", buffering=0)
        except FileNotFoundError as error:
            raise _missing(digest) from error
        hasher = hashlib.sha256()
        with stream:
            yield from _split_lines(_read_chunks(stream), hasher)
        if "sha256:" + hasher.hexdigest() != digest:
            raise _corrupt(digest)

    def verify(self, digest: str) -> bool:
        """Tell whether the object is there and its content matches its digest."""
        hasher = hashlib.sha256()
        try:
            with self.path(digest).open("rb", buffering=0) as stream:
                for chunk in _read_chunks(stream):
                    hasher.update(chunk)
        except FileNotFoundError:
            return False
        return "sha256:" + hasher.hexdigest() == digest

    def digests(self) -> Iterator[str]:
        """Yield the digest of every object, sorted."""
        for folder in sorted((self.root / "sha256").glob("[0-9a-f][0-9a-f]")):
            for name in sorted(path.name for path in folder.iterdir()):
                if len(name) == 62:
                    yield f"sha256:{folder.name}{name}"

    def delete(self, digest: str) -> bool:
        """Remove the object and tell whether it was there; durable when it returns."""
        path = self.path(digest)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        fsync_folder(path.parent)
        return True

    def link(self, digest: str, target: Path) -> None:
        """Make *target* a read-only file with the object's content: a hard link, or a copy across disks.

        An existing *target* is replaced. Raises `IntegrityError` when the object is missing; does not verify it.
        """
        if not self.has(digest):
            raise _missing(digest)
        with report_disk(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            made = target.with_name(temporary_name(target.name))
            try:
                _link_or_copy(self.path(digest), made)
                made.replace(target)
            finally:
                # Renaming one link of a file onto another leaves both names, by POSIX.
                with suppress(FileNotFoundError):
                    made.unlink()

    def leftovers(self) -> list[Path]:
        """List what killed puts left behind, safe to remove while no put is running."""
        return sorted((self.root / "tmp").glob("*"))

    def _temporary(self) -> Path:
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / temporary_name("put").lstrip(".")

    def _settled(self, digest: str, size: int) -> bool:
        if not self.has(digest, size):
            return False
        path = self.path(digest)
        try:
            # As young as a new one: a collection that began before this must not take it for unused.
            os.utime(path)
        except FileNotFoundError:  # collected since we looked
            return False
        # The one who renamed it may have been killed before this: its name must be durable for us too.
        fsync_folder(path.parent)
        return True

    def _settle(self, temporary: Path, digest: str, size: int) -> None:
        if self._settled(digest, size):
            return
        path = self.path(digest)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            fsync_folder(path.parent.parent)
        temporary.replace(path)
        fsync_folder(path.parent)


def _write_hashed(path: Path, chunks: Iterable[bytes | memoryview]) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _READ_ONLY)
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        for chunk in chunks:
            hasher.update(chunk)
            size += len(chunk)
            rest = memoryview(chunk)
            while rest:  # a raw write may take only a part
                rest = rest[stream.write(rest) :]
        os.fchmod(stream.fileno(), _READ_ONLY)
        os.fsync(stream.fileno())
    return "sha256:" + hasher.hexdigest(), size


def _read_chunks(stream: BinaryIO) -> Iterator[memoryview]:
    # One buffer for the whole file: each view is valid until the next is asked for.
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    while count := stream.readinto(buffer):  # type: ignore[attr-defined]  # BinaryIO lacks it, FileIO has it
        yield view[:count]


def _split_lines(chunks: Iterable[memoryview], hasher: "hashlib._Hash") -> Iterator[bytes]:
    # Pieces of an unfinished line are joined once: adding up a 100 MB line chunk by chunk is quadratic.
    pieces: list[bytes] = []
    for chunk in chunks:
        hasher.update(chunk)
        first, *others = bytes(chunk).split(b"\n")
        pieces.append(first)
        if others:
            yield b"".join(pieces)
            yield from others[:-1]
            pieces = [others[-1]]
    if last := b"".join(pieces):
        yield last


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without hard links
        shutil.copyfile(source, target)
        target.chmod(_READ_ONLY)


def _missing(digest: str) -> IntegrityError:
    return IntegrityError(
        f"object '{digest}' is missing",
        hint="cortex fsck",
        state="nothing was changed; the rest of the store is usable",
    )


def _corrupt(digest: str) -> IntegrityError:
    return IntegrityError(
        f"object '{digest}' is corrupt: its content has another digest",
        hint="cortex fsck",
        state="nothing was changed; the rest of the store is usable",
    )

"""What descends from interactions: dataset versions, adapters, and every file that holds what they said.

Beside the objects that manifests name, text lies in objects that none names (a dry run, another branch, a
killed stage), in the trash, and in what runs leave behind.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.manifests import DatasetVersion
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.fsck import Content, list_content
from cortex_cli.registry.revoking import find_adapters
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.atomic import fsync_folder, write_atomic
from cortex_cli.store.objects import ObjectStore

__all__ = ["Descent", "find_descent", "scrub_runs", "sweep_objects"]

_KEYED = re.compile(rb"k-[0-9a-f]{24}")
# Ids and aliases as they stand in a log; a name that is not such a word is looked for between quotes.
_WORD = re.compile(rb"[A-Za-z0-9_:.\-]{6,}")
_ID = re.compile(rb'"(x-[0-9a-f]{12,64})"')
# What may hold no text, or is treated by itself; everything else under .cortex is looked through.
_APART = {"adapters", "key", "locks", "objects", "quarantine", "trash"}
_CHUNK = 1 << 20


class Descent(msgspec.Struct, frozen=True):
    """What descends from interactions: versions as `name/v0001`, adapters, objects by digest, examples by id."""

    datasets: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def join(self, other: "Descent") -> "Descent":
        """Return what is in either."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Descent(*(tuple(sorted({*one, *two})) for one, two in pairs))


class _Hit(NamedTuple):
    """The parts of a version that hold an example of what is forgotten, and the ids of those examples."""

    version: DatasetVersion
    parts: set[str]
    examples: set[str]


def find_descent(place: Place, snapshot: Snapshot, keyed: set[str]) -> Descent:
    """Return what descends from the interactions with the keyed ids *keyed*, by the lineage of each version.

    A part that another version shares is content of both, so both descend; a part that holds nothing of them
    stays where another version needs it. Objects are listed while they are there.
    """
    versions = snapshot.datasets()
    hits = [hit for version in versions for hit in _find_hits(place.objects, version, keyed)]
    spoilt = {digest for hit in hits for digest in hit.parts}
    gone = [version for version in versions if spoilt & {part.digest for part in version.parts.values()}]
    names = {_name(version) for version in (*gone, *(hit.version for hit in hits))}
    left = [version for version in versions if _name(version) not in names and version.state != "revoked"]
    needed = {digest for version in left for _, digest, _ in list_content(version)}
    dropped = {digest for version in versions if _name(version) in names for _, digest, _ in list_content(version)}
    learned = find_adapters(snapshot, (version for version in versions if _name(version) in names))
    return Descent(
        datasets=tuple(sorted(names)),
        adapters=tuple(sorted(adapter.id for adapter in learned)),
        objects=tuple(sorted(dropped - (needed - spoilt))),
        examples=tuple(sorted({name for hit in hits for name in hit.examples})),
    )


def sweep_objects(place: Place, snapshot: Snapshot, keyed: set[str]) -> int:
    """Delete what no manifest names and holds one of *keyed*: objects, trash, quarantine; and torn leftovers.

    Returns how many files went. What manifests name is told by its lineage and not read here.
    """
    manifests: list[Content] = [*snapshot.datasets(), *snapshot.adapters(), *snapshot.experiments()]
    known = {digest for manifest in manifests for _, digest, _ in list_content(manifest)}
    paths = [place.objects.path(digest) for digest in place.objects.digests() if digest not in known]
    for folder in ("trash", "quarantine"):
        paths += [path for path in (place.workspace.private / folder).rglob("*") if path.is_file()]
    wanted = {name.encode() for name in keyed}
    hit = [path for path in paths if _holds(path, wanted)]
    # A torn file holds as much as was written, maybe without the name: no put may be running meanwhile.
    leftovers = [path for path in place.objects.leftovers() if _is_stale(path, place)]
    for path in (*hit, *leftovers):
        path.unlink(missing_ok=True)
        fsync_folder(path.parent)
    return len(hit) + len(leftovers)


def scrub_runs(place: Place, names: set[str], examples: set[str]) -> tuple[int, int]:
    """Remove what runs left: folders of trainings that saw one of *examples*, and lines that name one of *names*.

    Returns the numbers of folders and of files. A file loses only the lines that name one of them.
    """
    seen = {name.encode() for name in examples}
    folders = [path.parent for path in place.workspace.runs_root.glob("*/steps.jsonl") if _has(path, _ID, seen)]
    for folder in folders if seen else []:
        shutil.rmtree(folder)
    wanted = {name.encode() for name in names}
    words = {name for name in wanted if _WORD.fullmatch(name)}
    quoted = [canonical_json(name) for name in names if name.encode() not in words]
    files = sum(_scrub(path, words, quoted) for path in _texts(place.workspace.private))
    return len(folders) if seen else 0, files


def _find_hits(store: ObjectStore, version: DatasetVersion, keyed: set[str]) -> Iterator[_Hit]:
    wanted = {name.encode() for name in keyed}
    ends: list[tuple[int, str]] = []
    for name in sorted(version.parts):
        ends.append(((ends[-1][0] if ends else 0) + version.parts[name].rows, name))
    rows: dict[str, set[int]] = {}
    for number, line in enumerate(_lineage(store, version)):
        if not wanted.isdisjoint(line.split()):
            end, name = next((end, name) for end, name in ends if number < end)
            rows.setdefault(name, set()).add(number - (end - version.parts[name].rows))
    if rows:
        digests = {version.parts[name].digest for name in rows}
        examples = {found for name, numbers in rows.items() for found in _example_ids(store, version, name, numbers)}
        yield _Hit(version, digests, examples)


def _lineage(store: ObjectStore, version: DatasetVersion) -> Iterator[bytes]:
    """Yield the keyed ids behind each example; from the parts themselves where their list is lost."""
    if store.has(version.lineage.digest, version.lineage.size):
        yield from store.open_lines(version.lineage.digest)
        return
    for name in sorted(version.parts):
        if store.has(version.parts[name].digest):
            yield from (b" ".join(_KEYED.findall(line)) for line in store.open_lines(version.parts[name].digest))
        else:
            yield from (b"" for _ in range(version.parts[name].rows))


def _example_ids(store: ObjectStore, version: DatasetVersion, name: str, rows: set[int]) -> Iterator[str]:
    if not store.has(version.parts[name].digest):
        return
    for number, line in enumerate(store.open_lines(version.parts[name].digest)):
        if number in rows:
            yield from (found.decode() for found in _ID.findall(line))


def _holds(path: Path, keyed: set[bytes]) -> bool:
    return _has(path, _KEYED, keyed)


def _has(path: Path, pattern: re.Pattern[bytes], wanted: set[bytes]) -> bool:
    before = b""
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            text = before + chunk
            if not wanted.isdisjoint(pattern.findall(text)):
                return True
            before = text[-256:]  # longer than anything that is looked for, which may lie across two chunks
    return False


def _texts(private: Path) -> Iterator[Path]:
    for top in sorted(private.iterdir()):
        if top.name in _APART or top.name.startswith(("journal.db", "forgetting.json")):
            continue
        yield from (path for path in (sorted(top.rglob("*")) if top.is_dir() else [top]) if _is_text(path))


def _is_text(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.suffix not in {".safetensors", ".lock"}


def _scrub(path: Path, words: set[bytes], quoted: list[bytes]) -> bool:
    if not quoted and not _has(path, _WORD, words):
        return False
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if words.isdisjoint(_WORD.findall(line)) and not any(q in line for q in quoted)]
    if len(kept) == len(lines):
        return False
    write_atomic(path, b"".join(kept), mode=path.stat().st_mode & 0o777)
    return True


def _is_stale(path: Path, place: Place) -> bool:
    return place.now().timestamp() - path.stat().st_mtime > 60.0


def _name(version: DatasetVersion) -> str:
    return f"{version.name}/{version.version}"

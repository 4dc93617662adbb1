"""Reading dataset versions back: their examples, whether they are whole, and how two of them differ."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import DatasetVersion, dataset_digest
from cortex_cli.store.objects import ObjectStore

__all__ = ["Comparison", "compare_versions", "read_examples", "verify_version"]

_DECODER = msgspec.json.Decoder(Example)


class Comparison(NamedTuple):
    """How a version differs from an older one, in examples: *moved* ones are in another part than before."""

    added: int
    removed: int
    moved: int
    kept: int


def read_examples(store: ObjectStore, version: DatasetVersion, part: str) -> Iterator[Example]:
    """Yield the examples of *part*, or of all parts by name when it is '', which is the order of the lineage.

    Raises `IntegrityError` for content that is missing or corrupt, the latter at the end of a part.
    """
    for name in [part] if part else sorted(version.parts):
        if name not in version.parts:
            known = ", ".join(version.parts)
            raise UsageError(f"dataset '{version.name}' has no part '{name}'; it has {known}", hint="cortex dataset ls")
        for line in store.open_lines(version.parts[name].digest):
            yield _decode(line, version)


def verify_version(store: ObjectStore, version: DatasetVersion) -> list[str]:
    """List what does not match between *version* and the store; empty when all is whole."""
    faults = [fault for name in sorted(version.parts) for fault in _part_faults(store, version, name)]
    if not store.verify(version.lineage.digest):
        faults.append(f"lineage: object '{version.lineage.digest}' is missing or corrupt")
    elif not faults:
        listed = sum(1 for _ in store.open_lines(version.lineage.digest))
        rows = sum(part.rows for part in version.parts.values())
        faults += [f"lineage: {listed} ids for {rows} examples"] if listed != rows else []
    if dataset_digest(version.parts, version.lineage) != version.digest:
        faults.append(f"manifest: digest '{version.digest}' is not that of its parts")
    return faults


def compare_versions(store: ObjectStore, old: DatasetVersion, new: DatasetVersion) -> Comparison:
    """Count the examples that *new* has and *old* has not, the other way round, and in both."""
    before, after = _places(store, old), _places(store, new)
    both = before.keys() & after.keys()
    moved = sum(before[name] != after[name] for name in both)
    return Comparison(len(after) - len(both), len(before) - len(both), moved, len(both) - moved)


def _places(store: ObjectStore, version: DatasetVersion) -> dict[str, str]:
    return {example.id: part for part in version.parts for example in read_examples(store, version, part)}


def _part_faults(store: ObjectStore, version: DatasetVersion, name: str) -> Iterator[str]:
    part = version.parts[name]
    if not store.has(part.digest, part.size):
        yield f"{name}: object '{part.digest}' is missing or not {part.size} bytes long"
        return
    try:
        rows = sum(1 for _ in read_examples(store, version, name))
    except IntegrityError as error:
        yield f"{name}: {error.message}"
        return
    if rows != part.rows:
        yield f"{name}: {rows} examples, the manifest says {part.rows}"


def _decode(line: bytes, version: DatasetVersion) -> Example:
    try:
        return _DECODER.decode(line)
    except msgspec.DecodeError as error:
        raise IntegrityError(
            f"dataset '{version.name}' {version.version} holds a line that is no example: {error}",
            hint="cortex fsck",
            state="nothing was changed",
        ) from error

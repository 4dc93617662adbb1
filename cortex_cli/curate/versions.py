"""Reading dataset versions back: their examples, whether they are whole, and how two of them differ."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from cortex_cli.domain.errors import ConflictError, IntegrityError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import DatasetVersion, dataset_digest
from cortex_cli.store.objects import ObjectStore

__all__ = [
    "SEALED",
    "Comparison",
    "check_content",
    "compare_versions",
    "read_examples",
    "read_sealed",
    "verify_version",
]

# The part that nothing may learn from.
SEALED = "test"

_DECODER = msgspec.json.Decoder(Example)


class Comparison(NamedTuple):
    """How a version differs from an older one, in examples: *moved* ones are in another part than before."""

    added: int
    removed: int
    moved: int
    kept: int


def read_examples(store: ObjectStore, version: DatasetVersion, part: str) -> Iterator[Example]:
    """Yield the examples of *part*, or of all parts but the sealed one when it is ''.

    The test part is sealed: whoever trains, explains or exports reads here, and never sees it. Raises `UsageError`
    for it and for a part that does not exist, `IntegrityError` for content that is missing or corrupt, the latter at
    the end of a part.
    """
    if part == SEALED:
        raise UsageError(
            f"the part '{SEALED}' of dataset '{version.name}' is sealed: it is for evaluation only, nothing may learn from it",
            hint=f"cortex evaluate VARIANT --suite {version.name}:{SEALED}",
            state="nothing was read",
        )
    names = [part] if part else [name for name in sorted(version.parts) if name != SEALED]
    return (example for name in names for example in _read_part(store, version, name))


def read_sealed(store: ObjectStore, version: DatasetVersion) -> Iterator[Example]:
    """Yield the examples of the sealed test part, for evaluation and for nothing else; raises as `read_examples`."""
    return _read_part(store, version, SEALED)


def check_content(version: DatasetVersion) -> None:
    """Raise `ConflictError` when *version* is revoked: its content went with what was forgotten."""
    if version.state == "revoked":
        why = f": {version.reason}" if version.reason else ""
        raise ConflictError(
            f"dataset '{version.name}/{version.version}' is revoked, its content was forgotten{why}",
            hint=f"cortex curate {version.recipe}".strip(),
            state="nothing was changed",
        )


def verify_version(store: ObjectStore, version: DatasetVersion) -> list[str]:
    """List what does not match between *version* and the store; empty when all is whole.

    Of a revoked version nothing is left but its manifest, and that is as it should be.
    """
    if version.state == "revoked":
        return []
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
    return {example.id: part for part in version.parts for example in _read_part(store, version, part)}


def _read_part(store: ObjectStore, version: DatasetVersion, name: str) -> Iterator[Example]:
    if name not in version.parts:
        known = ", ".join(sorted(version.parts))
        raise UsageError(f"dataset '{version.name}' has no part '{name}'; it has {known}", hint="cortex dataset ls")
    check_content(version)
    for line in store.open_lines(version.parts[name].digest):
        yield _decode(line, version)


def _part_faults(store: ObjectStore, version: DatasetVersion, name: str) -> Iterator[str]:
    part = version.parts[name]
    if not store.has(part.digest, part.size):
        yield f"{name}: object '{part.digest}' is missing or not {part.size} bytes long"
        return
    try:
        rows = sum(1 for _ in _read_part(store, version, name))
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

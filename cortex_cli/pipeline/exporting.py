"""Exports: the examples of a dataset version, or the features behind them, as a file or a stream for somebody else."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from cortex_cli.curate.export import FORMS, Row, check_form, export_lines
from cortex_cli.curate.features import FEATURE_COLUMNS, find_features
from cortex_cli.curate.normal import hash64
from cortex_cli.curate.parquet import EXAMPLE_COLUMNS, example_rows, write_parquet
from cortex_cli.curate.verdicts import Verdicts, is_accepted
from cortex_cli.curate.versions import SEALED, check_content, read_examples, read_sealed
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import DatasetVersion
from cortex_cli.pipeline.auditing import open_parts
from cortex_cli.pipeline.place import Place
from cortex_cli.store.atomic import replacing
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import keyed_id, open_key

__all__ = ["EXPORTS", "Exported", "export_file", "stream_lines"]

# Forms that are columns in a file; all others are JSON lines, which may also be streamed.
_COLUMNS = ("features", "parquet")
EXPORTS = (*FORMS, *_COLUMNS)
_MASK = (1 << 64) - 1


class Exported(NamedTuple):
    """What was written: rows, and examples that the form cannot hold."""

    rows: int
    skipped: int


def stream_lines(
    place: Place, version: DatasetVersion, form: str, *, part: str = "", skipped: Callable[[str], None] = lambda _: None
) -> Iterator[bytes]:
    """Return the lines of *part*, or of the open parts, in *form*; every object is hashed before the first line.

    Raises `IntegrityError` for one that is missing or corrupt, `UsageError` for a form that is a file of columns.
    """
    check_form(form, EXPORTS)
    if form in _COLUMNS:
        raise UsageError(
            f"form '{form}' is a file of columns and cannot be streamed",
            hint=f"cortex dataset export {version.name}/{version.version} --format {form} -o FILE",
            state="nothing was written",
        )
    parts = _choose_parts(place, version, part)
    examples = chain.from_iterable(_read_part(place, version, name) for name in parts)
    return export_lines(examples, form, skipped=skipped)


def export_file(place: Place, version: DatasetVersion, form: str, path: Path, *, part: str = "") -> Exported:
    """Write *part*, or the open parts, in *form* to *path*, whole or not at all, with a few examples in memory.

    Raises `IntegrityError` before anything is written, `MissingExtraError` for Parquet without DuckDB.
    """
    count = _Count()
    if form == "features":
        rows = write_parquet(_features(place, version, _choose_parts(place, version, part)), FEATURE_COLUMNS, path)
    elif form == "parquet":
        parts = _choose_parts(place, version, part)
        found = (example_rows(_read_part(place, version, name), name) for name in parts)
        rows = write_parquet(chain.from_iterable(found), EXAMPLE_COLUMNS, path)
    else:
        rows = _write(stream_lines(place, version, form, part=part, skipped=count.add), path)
    return Exported(rows, count.number)


class _Count:
    number = 0

    def add(self, _name: str) -> None:
        self.number += 1


def _write(lines: Iterable[bytes], path: Path) -> int:
    count = 0
    with replacing(path) as target, target.open("xb") as stream:
        for line in lines:
            stream.write(line)
            count += 1
    return count


def _choose_parts(place: Place, version: DatasetVersion, part: str) -> list[str]:
    """Return the parts to export; raise when one is not there or its content is not what the manifest says."""
    if part and part not in version.parts:
        known = ", ".join(version.parts)
        raise UsageError(f"dataset '{version.name}' has no part '{part}'; it has {known}", hint="cortex dataset ls")
    check_content(version)
    parts = [part] if part else open_parts(version)
    for name in parts:
        if not place.objects.verify(version.parts[name].digest):
            raise IntegrityError(
                f"part '{name}' of '{version.name}/{version.version}' is missing or corrupt",
                hint=f"cortex dataset verify {version.name}/{version.version}",
                state="nothing was written",
            )
    return parts


def _read_part(place: Place, version: DatasetVersion, part: str) -> Iterator[Example]:
    if part == SEALED:
        return read_sealed(place.objects, version)
    return read_examples(place.objects, version, part)


def _features(place: Place, version: DatasetVersion, parts: list[str]) -> Iterator[Row]:
    """Yield the features of the interactions behind *parts*, in the order of the journal."""
    lineage = _Lineage(place, version, parts)
    key = open_key(place.workspace)
    with Journal(place.workspace.journal_path) as journal:
        verdicts = Verdicts(record for _, record in journal.feedback())
        for _, interaction in journal.interactions(agent=version.agent, until=version.journal[1]):
            keyed = keyed_id(key, interaction.id)
            part = lineage.part_of(keyed)
            if part:
                accepted = is_accepted(interaction, verdicts.on(interaction))
                yield find_features(interaction, keyed=keyed, part=part, accepted=accepted)


class _Lineage:
    """Which part an interaction went into, by its keyed id; 17 bytes each in memory."""

    def __init__(self, place: Place, version: DatasetVersion, parts: list[str]) -> None:
        self._parts = parts
        # The upper bits are the name, the lowest byte is the part.
        found = (
            hash64(example.interaction) << 8 | number
            for number, part in enumerate(parts)
            for example in _read_part(place, version, part)
        )
        self._rows = array("Q", sorted(name & _MASK for name in found))

    def part_of(self, keyed: str) -> str:
        """Return the part of the interaction called *keyed*, '' when it is in none."""
        name = hash64(keyed) << 8 & _MASK
        row = bisect_left(self._rows, name)
        if row == len(self._rows) or self._rows[row] >> 8 != name >> 8:
            return ""
        return self._parts[self._rows[row] & 0xFF]

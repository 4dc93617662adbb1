"""The ledger of an experiment: one canonical JSON line per unit, in the order of assignment.

A row repeats a short digest of all rows up to itself, so that of an edited ledger the first row that
differs can be named without a second copy. The object's own digest, in git, is what binds.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import Fault, FaultsError, IntegrityError
from cortex_cli.domain.manifests import Blob
from cortex_cli.store.objects import ObjectStore

__all__ = ["Row", "Score", "find_bad_row", "read_ledger", "render_rows", "row_fault", "write_ledger"]

NAME = "ledger.jsonl"
# Lines written to the store at once: a fsync is per object, this only spares system calls.
_BATCH = 1024
_UNITS = ("success", "quality")
_AMOUNTS = ("latency", "cost")


class Score(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one variant did on a unit: success and quality in [0, 1], latency in seconds, cost in US dollars.

    None is unknown: the judge could not tell, or nobody rated. An error or timeout of the variant is
    a success of 0.
    """

    success: float | None = None
    quality: float | None = None
    latency: float | None = None
    cost: float | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One unit: in a shadow experiment the scores of all variants, in a split one of its *arm* alone.

    *propensity* is what each variant's probability was at assignment. A row that has not *matured* is
    assigned but not judged. *seq* and *check* are filled in when the ledger is written.
    """

    unit: str
    seq: int = 0
    scores: dict[str, Score] = {}
    arm: str = ""
    propensity: dict[str, float] = {}
    domain: str = ""
    matured: bool = True
    check: str = ""


class _Rendered(NamedTuple):
    line: bytes
    check: str


def render_rows(rows: Iterable[Row], *, after: Sequence[Row] = ()) -> Iterator[bytes]:
    """Yield the lines of a ledger, numbered and chained, behind those of *after* if it has begun.

    Raises `FaultsError` naming the first bad row.
    """
    units = {row.unit for row in after}
    check = after[-1].check if after else ""
    for number, row in enumerate(rows, start=len(after) + 1):
        fault = row_fault(row) or (f"unit {row.unit!r} was there before" if row.unit in units else "")
        if fault:
            raise FaultsError(NAME, [Fault(f"row {number}", fault)])
        units.add(row.unit)
        scores = {variant: _in_floats(score) for variant, score in row.scores.items()}
        rendered = _render(msgspec.structs.replace(row, seq=number, scores=scores), check)
        check = rendered.check
        yield rendered.line


def write_ledger(objects: ObjectStore, rows: Iterable[Row]) -> Blob:
    """Keep *rows* as an object, streamed; durable when it returns. On a bad row nothing is kept."""
    return objects.put_chunks(_batched(render_rows(rows)), NAME)


def read_ledger(objects: ObjectStore, digest: str) -> Iterator[Row]:
    """Yield the rows of a ledger, streamed; raise `IntegrityError` naming the first bad row.

    That the whole object matches its digest is known only after the last row.
    """
    decoder = msgspec.json.Decoder(Row)
    for number, line in enumerate(objects.open_lines(digest), start=1):
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise _bad_row(digest, number, f"is no row: {error}") from error
        fault = row_fault(row) or ("" if row.seq == number else f"has number {row.seq}")
        if fault:
            raise _bad_row(digest, number, fault)
        yield row


def find_bad_row(lines: Iterable[bytes]) -> int:
    """Return the number (from 1) of the first line that is not what was written there, or 0."""
    decoder = msgspec.json.Decoder(Row)
    check = ""
    for number, line in enumerate(lines, start=1):
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return number
        rendered = _render(msgspec.structs.replace(row, seq=number), check)
        if rendered.line.rstrip(b"\n") != line:
            return number
        check = rendered.check
    return 0


def row_fault(row: Row) -> str:
    """Say what is wrong with *row*, or nothing."""
    if not row.unit:
        return "has no unit"
    for variant, score in row.scores.items():
        fault = _score_fault(score)
        if fault:
            return f"'{variant}': {fault}"
    return _arm_fault(row) if row.arm else ""


def _arm_fault(row: Row) -> str:
    if row.arm not in row.propensity:
        return f"has no propensity of its arm '{row.arm}'"
    if not all(0.0 < share < 1.0 for share in row.propensity.values()):
        return f"has a propensity outside of (0, 1): {row.propensity}"
    if abs(sum(row.propensity.values()) - 1.0) > 1e-9:
        return f"has propensities that sum to {sum(row.propensity.values()):.6g}, not to 1"
    others = set(row.scores) - {row.arm}
    return f"has a score of '{min(others)}', which was not its arm" if others else ""


def _score_fault(score: Score) -> str:
    for name in _UNITS:
        value = getattr(score, name)
        if value is not None and not 0.0 <= value <= 1.0:
            return f"{name} is {value!r}, not in [0, 1]"
    for name in _AMOUNTS:
        value = getattr(score, name)
        if value is not None and not 0.0 <= value < float("inf"):
            return f"{name} is {value!r}, not a finite amount of 0 or more"
    return ""


def _in_floats(score: Score) -> Score:
    # A judge's True or 1 would be read back as 1.0, and a row must have one form to have one digest.
    values = {name: getattr(score, name) for name in (*_UNITS, *_AMOUNTS)}
    return Score(**{name: None if value is None else float(value) for name, value in values.items()})


def _render(row: Row, before: str) -> _Rendered:
    body = canonical_json(msgspec.structs.replace(row, check=""))
    check = hashlib.sha256(before.encode() + body).hexdigest()[:16]
    return _Rendered(canonical_json(msgspec.structs.replace(row, check=check)) + b"\n", check)


def _batched(lines: Iterator[bytes]) -> Iterator[bytes]:
    while batch := b"".join(islice(lines, _BATCH)):
        yield batch


def _bad_row(digest: str, number: int, what: str) -> IntegrityError:
    return IntegrityError(f"ledger '{digest}': row {number} {what}", hint="cortex verify", state="nothing was changed")

"""Columns of numbers instead of objects: what a curation knows of a million records fits in 200 MB."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = dict[str, NDArray[Any]]
    Mask = NDArray[np.bool_]
    Index = NDArray[np.int64]

__all__ = [
    "ANSWERS",
    "BLANK",
    "EXAMPLES",
    "NO_TURN",
    "PAIR",
    "REPLAYED",
    "SHORT_ANSWER",
    "SHORT_REQUEST",
    "Gathered",
    "as_ids",
    "build",
    "order_by",
    "pick",
    "render_keyed",
]

# An id in 12 bytes: the 24 hex digits of an example's or a keyed id, which order as text does.
_ID = np.dtype([("hi", ">u8"), ("lo", ">u4")])
_KEY = np.dtype([("hi", ">u8"), ("lo", ">u8")])

# One row per example that may be kept. `prompt` and `task` are places in the split, task 0 when it has none;
# `talk` is the whole conversation; `start` and `length` are its line in the spool.
EXAMPLES: dict[str, Any] = {
    "id": _ID,
    "keyed": _ID,
    "exact": _KEY,
    "prompt": np.uint64,
    "task": np.uint64,
    "answer": np.uint64,
    "context": np.uint64,
    "talk": np.uint64,
    "time": "S20",
    "quality": np.float32,
    "rank": np.uint8,
    "flags": np.uint8,
    "domain": np.uint32,
    "length": np.int32,
}
# One row per answer that was judged wrong, to stand beside a right one.
ANSWERS: dict[str, Any] = {
    "id": _ID,
    "keyed": _ID,
    "prompt": np.uint64,
    "answer": np.uint64,
    "length": np.int32,
}

REPLAYED, PAIR, SHORT_ANSWER, SHORT_REQUEST, BLANK, NO_TURN = 1, 2, 4, 8, 16, 32


class Gathered:
    """Columns that grow by chunks and are joined once, one column at a time, so that memory never doubles."""

    def __init__(self) -> None:
        self._chunks: dict[str, list[NDArray[Any]]] = {}

    def add(self, table: "Mapping[str, NDArray[Any]]") -> None:
        """Append the rows of *table*."""
        for name, column in table.items():
            self._chunks.setdefault(name, []).append(column)

    def join(self, kinds: Mapping[str, Any]) -> "Table":
        """Return all rows and forget them here; without any row, empty columns of *kinds*."""
        if not self._chunks:
            return {name: np.empty(0, kind) for name, kind in kinds.items()}
        return {name: np.concatenate(self._chunks.pop(name)) for name in list(self._chunks)}


def build(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, Any]) -> "Table":
    """Turn *rows* into columns of *kinds*; ids and keys are given as bytes."""
    return {name: _column([row[name] for row in rows], kind) for name, kind in kinds.items()}


def as_ids(names: Sequence[str]) -> "NDArray[Any]":
    """Return ids of the form `x-<24 hex digits>` as a column."""
    return np.frombuffer(bytes.fromhex("".join([name[2:] for name in names])), _ID)


def render_keyed(ids: "NDArray[Any]") -> list[str]:
    """Return a column of keyed ids as text."""
    digits = ids.astype(_ID).tobytes().hex()  # joining columns may have turned their bytes around
    return [f"k-{digits[at : at + 24]}" for at in range(0, len(digits), 24)]


def order_by(*columns: "NDArray[Any]") -> "Index":
    """Return the order of rows by the first of *columns*, then the second, and so on."""
    flat: list[NDArray[Any]] = []
    for column in columns:
        names = column.dtype.names
        flat += (
            [column] if names is None else [column[name].astype(f"u{column.dtype[name].itemsize}") for name in names]
        )
    return np.lexsort(flat[::-1])


def pick(table: "Mapping[str, NDArray[Any]]", rows: "Index | Mask") -> "Table":
    """Return the *rows* of *table*."""
    return {name: column[rows] for name, column in table.items()}


def _column(values: list[Any], kind: Any) -> "NDArray[Any]":
    if kind in {_ID, _KEY}:
        return np.frombuffer(b"".join(values), kind)
    return np.array(values, kind)

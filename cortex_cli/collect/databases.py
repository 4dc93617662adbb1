"""Databases as sources: the rows of a SQLite file, by the format that knows its tables."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from cortex_cli.collect.records import BadRecordError, Format
from cortex_cli.collect.streams import DamagedError

__all__ = ["Rows", "find_rows"]


class Rows(NamedTuple):
    """The rows of a database as values, and the format that they are in."""

    format: Format
    values: Iterator[dict[str, Any]]


def find_rows(path: Path, formats: list[Format]) -> Rows | None:
    """Return the rows of the SQLite file *path* by the first of *formats* that knows it, or None.

    Reading a row raises `DamagedError` when the file is damaged.
    """
    for candidate in formats:
        if candidate.read_database is None:
            continue
        values = _guard(candidate.read_database(path))
        try:
            first = next(values, None)
        except BadRecordError:  # it has not the tables of this format
            continue
        if first is not None and candidate.recognises(first):
            return Rows(candidate, chain([first], values))
    return None


def _guard(values: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    import sqlite3

    try:
        yield from values
    except sqlite3.Error as error:
        raise DamagedError("damaged_database", str(error)) from error

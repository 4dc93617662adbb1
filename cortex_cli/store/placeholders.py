"""Masked values as small numbers: `<PERSON_abcdefghij>` comes in, `<PERSON_3>` is kept.

The ten letters are made from the value and the workspace key, so that redaction needs no memory and any
process can do it. The journal gives each its number, the same wherever that value occurs.
"""

import re
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import sqlite3

__all__ = ["drop_unused", "find_placeholders", "number_tags", "read_tags"]

_TAG = re.compile(rb"<([A-Z][A-Z0-9_]*_[a-p]{10})>")
_NUMBERED = re.compile(rb"<([A-Z][A-Z0-9_]*_[0-9]+)>")


def number_tags(connection: "sqlite3.Connection", bodies: list[bytes]) -> list[bytes]:
    """Return *bodies* with every tag replaced by its number, giving new tags the next ones of their kind.

    Inside a transaction of the caller's.
    """
    split = _split(bodies)
    tags = _tags_of(split)
    known = _read_numbers(connection, tags)
    fresh = [tag for tag in tags if tag not in known]
    return _join(bodies, split, known | _allocate(connection, fresh))


def read_tags(connection: "sqlite3.Connection", bodies: list[bytes]) -> list[bytes]:
    """Return *bodies* with the tags that have a number replaced by it; nothing is written."""
    split = _split(bodies)
    return _join(bodies, split, _read_numbers(connection, _tags_of(split)))


def find_placeholders(bodies: Iterable[bytes]) -> set[str]:
    """Return the numbered placeholders in *bodies*, such as `PERSON_3`."""
    found = (_NUMBERED.findall(body) for body in bodies if b"<" in body)
    return {name.decode() for name in set(chain.from_iterable(found))}


def drop_unused(connection: "sqlite3.Connection", unused: set[str]) -> int:
    """Forget which values had the placeholders *unused* and return how many; their numbers are not given again."""
    pairs = [name.rpartition("_") for name in sorted(unused)]
    before = connection.total_changes
    connection.executemany(
        "DELETE FROM placeholders WHERE tag IN (SELECT tag FROM placeholders WHERE kind = ? AND number = ?)",
        [(kind, int(number)) for kind, _, number in pairs],
    )
    return connection.total_changes - before


def _split(bodies: list[bytes]) -> dict[int, list[bytes]]:
    """Return the bodies with tags by their place, as text and tag in turn: one pass finds and later replaces."""
    parts = ((place, _TAG.split(body)) for place, body in enumerate(bodies) if b"<" in body)
    return {place: part for place, part in parts if len(part) > 1}


def _tags_of(split: dict[int, list[bytes]]) -> list[bytes]:
    return list(dict.fromkeys(chain.from_iterable(parts[1::2] for parts in split.values())))


def _join(bodies: list[bytes], split: dict[int, list[bytes]], numbers: dict[bytes, bytes]) -> list[bytes]:
    joined = list(bodies)
    for place, parts in split.items():
        parts[1::2] = [b"<" + numbers.get(tag, tag) + b">" for tag in parts[1::2]]
        joined[place] = b"".join(parts)
    return joined


def _read_numbers(connection: "sqlite3.Connection", tags: list[bytes]) -> dict[bytes, bytes]:
    if not tags:
        return {}
    asked = msgspec.json.encode([tag.decode() for tag in tags]).decode()
    sql = "SELECT tag, kind, number FROM placeholders WHERE tag IN (SELECT value FROM json_each(?))"
    return {tag.encode(): f"{kind}_{number}".encode() for tag, kind, number in connection.execute(sql, (asked,))}


def _allocate(connection: "sqlite3.Connection", tags: list[bytes]) -> dict[bytes, bytes]:
    if not tags:
        return {}
    last = dict(connection.execute("SELECT kind, last FROM kinds"))
    rows: list[tuple[str, str, int]] = []
    for tag in tags:
        name = tag.decode()
        kind = name.rpartition("_")[0]
        last[kind] = last.get(kind, 0) + 1
        rows.append((name, kind, last[kind]))
    connection.executemany("INSERT INTO placeholders (tag, kind, number) VALUES (?, ?, ?)", rows)
    connection.executemany("INSERT OR REPLACE INTO kinds (kind, last) VALUES (?, ?)", last.items())
    return {tag.encode(): f"{kind}_{number}".encode() for tag, kind, number in rows}

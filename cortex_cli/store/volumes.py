"""How much the journal holds, since when, and how fast it grows, read from counters and never by counting rows.

The effective time of a row is the one it tells, or that of its arrival where it tells none or a later one: no
record can be younger than its arrival.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from cortex_cli.store.rows import Row
from cortex_cli.store.schema import BUCKET_BITS

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Query", "Volume", "count_after", "count_rows", "find_aged", "note_arrival", "read_days", "recount"]

Query = Callable[[str, tuple[Any, ...]], list[Any]]

_COUNT = """
INSERT INTO volumes (kind, agent, bucket, rows, bytes, oldest) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  rows = rows + excluded.rows, bytes = bytes + excluded.bytes, oldest = min(oldest, excluded.oldest)
"""
_ARRIVED = "(SELECT a.time FROM arrivals a WHERE a.seq <= e.seq ORDER BY a.seq DESC LIMIT 1)"
_EFFECTIVE = f"CASE WHEN e.time = '' THEN {_ARRIVED} ELSE min(e.time, {_ARRIVED}) END"
_RANGE = "e.seq BETWEEN ? AND ?"
_RECOUNT = f"""
INSERT INTO volumes (kind, agent, bucket, rows, bytes, oldest)
SELECT ?, ?, ?, count(*), sum(length(e.body)), min({_EFFECTIVE})
FROM events e WHERE e.kind = ? AND e.agent = ? AND {_RANGE} HAVING count(*) > 0
"""  # noqa: S608 - no value of the user's is in it
_AGED_BUCKETS = (
    "SELECT agent, bucket FROM volumes WHERE kind = 'interaction' AND agent {} ? AND oldest < ? ORDER BY bucket"
)
_AGED = f"""
SELECT e.seq, e.body FROM events e
WHERE e.kind = 'interaction' AND e.agent = ? AND {_RANGE} AND {_EFFECTIVE} < ? ORDER BY e.seq
"""  # noqa: S608 - no value of the user's is in it
_AFTER = """
SELECT coalesce((SELECT sum(rows) FROM volumes WHERE kind = 'interaction' AND agent = ?1 AND bucket > ?2), 0)
  + (SELECT count(*) FROM events WHERE kind = 'interaction' AND agent = ?1 AND seq > ?3 AND seq < ?4)
"""
_DAYS = "SELECT substr(time, 1, 10) AS day, min(seq) FROM arrivals GROUP BY day ORDER BY day DESC LIMIT ?"
_HOUR = len("2026-01-02T03")


class Volume(NamedTuple):
    """What the journal holds of one agent: interactions and the bytes of their bodies."""

    rows: int
    bytes: int


def count_rows(connection: "sqlite3.Connection", rows: list[Row], bodies: list[bytes], first: int, now: str) -> None:
    """Add *rows*, numbered from *first* and arriving *now*, to the counters."""
    counts: dict[tuple[str, str, int], tuple[int, int, str]] = {}
    for seq, (row, body) in enumerate(zip(rows, bodies, strict=True), first):
        place = (row.kind, row.agent, seq >> BUCKET_BITS)
        total, size, oldest = counts.get(place, (0, 0, now))
        counts[place] = (total + 1, size + len(body), min(oldest, row.time or now))
    connection.executemany(_COUNT, [(*place, *count) for place, count in counts.items()])


def note_arrival(connection: "sqlite3.Connection", seq: int, now: str) -> None:
    """Note that rows from *seq* on arrive *now*, unless that hour is noted."""
    last = connection.execute("SELECT time FROM arrivals ORDER BY seq DESC LIMIT 1").fetchone()
    if last is None or last[0][:_HOUR] != now[:_HOUR]:
        connection.execute("INSERT INTO arrivals (seq, time) VALUES (?, ?)", (seq, now))


def recount(connection: "sqlite3.Connection", places: Iterable[tuple[str, str, int]]) -> None:
    """Count anew the buckets *places*, as (kind, agent, number of the bucket)."""
    for kind, agent, bucket in sorted(set(places)):
        connection.execute("DELETE FROM volumes WHERE kind = ? AND agent = ? AND bucket = ?", (kind, agent, bucket))
        connection.execute(_RECOUNT, (kind, agent, bucket, kind, agent, *_ends(bucket)))


def find_aged(query: Query, agent: str, before: str) -> Iterator[tuple[int, bytes]]:
    """Yield number and body of the interactions of *agent*, or of all, whose effective time is before *before*."""
    buckets = query(_AGED_BUCKETS.format("=" if agent else ">="), (agent, before))
    for name, bucket in buckets:
        yield from query(_AGED, (name, *_ends(bucket), before))


def count_after(query: Query, agent: str, after: int) -> int:
    """Return how many interactions of *agent* have a number greater than *after*."""
    bucket = after >> BUCKET_BITS
    return int(query(_AFTER, (agent, bucket, after, (bucket + 1) << BUCKET_BITS))[0][0])


def read_days(query: Query, agent: str, most: int) -> list[tuple[str, int]]:
    """Return how many interactions of *agent* arrived on each of the newest *most* days on which any row did."""
    days: list[tuple[str, int]] = []
    after = 0
    for day, first in query(_DAYS, (most,)):
        total = count_after(query, agent, first - 1)
        days.append((day, total - after))
        after = total
    return days[::-1]


def _ends(bucket: int) -> tuple[int, int]:
    return bucket << BUCKET_BITS, ((bucket + 1) << BUCKET_BITS) - 1

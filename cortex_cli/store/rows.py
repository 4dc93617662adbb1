"""Records as the journal keeps them: one row each, rendered wherever there is a core to spare."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction

__all__ = ["Record", "Row", "batch_rows", "render_row"]

Record = Interaction | Feedback

# A batch is one transaction: 2,000 rows of 1 KB commit at 95 % of the rate that 10,000 do, and
# the byte limit bounds memory when single records are huge.
_BATCH_ROWS = 2000
_BATCH_BYTES = 16 << 20


class Row(NamedTuple):
    """A record as a row: *target* is an interaction's episode or what feedback is on, *body* its canonical JSON."""

    id: str
    kind: str
    agent: str
    time: str
    target: str
    body: bytes
    aliases: tuple[str, ...] = ()


def render_row(record: Record) -> Row:
    """Return *record* as a row; raise `UsageError` when it has no id."""
    if not record.id:
        raise UsageError("a record without an id cannot be kept", state="records of earlier batches are kept")
    body = canonical_json(record)
    if isinstance(record, Interaction):
        return Row(record.id, "interaction", record.agent, record.time, record.episode, body, record.aliases)
    return Row(record.id, "feedback", "", record.time, record.target, body)


def batch_rows(records: Iterable[Record]) -> Iterator[list[Row]]:
    """Yield *records* as rows, in batches of a size that commits fast and stays small in memory."""
    batch: list[Row] = []
    size = 0
    for record in records:
        row = render_row(record)
        batch.append(row)
        size += len(row.body)
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

"""The second pass: the lines of what was chosen, part by part in the order of ids, into the object store."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from cortex_cli.curate.choosing import Chosen, read_example
from cortex_cli.curate.columns import PAIR, as_ids, order_by, pick, render_keyed
from cortex_cli.curate.gathering import Found
from cortex_cli.curate.sifting import example_id
from cortex_cli.curate.splitting import PARTS
from cortex_cli.curate.spool import Spool
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.manifests import Blob, Part
from cortex_cli.store.objects import ObjectStore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cortex_cli.curate.columns import Table

__all__ = ["Lines", "collect_lines", "write_lines"]

_ROWS = 512


class Lines(NamedTuple):
    """What is written: columns `id`, `keyed`, `part`, `start` and `length` of a line, `pair` where it has a wrong answer.

    `extra` lines are pairs besides the one in the example itself. *merged* are keyed ids of other interactions, by
    the `row` of the line that they went into, ascending.
    """

    table: "Table"
    merged: "Table"


def collect_lines(found: Found, chosen: Chosen, pairs: list[tuple[int, int]], spool: Spool) -> Lines:
    """Return the lines of the chosen rows, and of *pairs*: the first of an example is put into it, others are added."""
    rows = chosen.rows
    table = pick({name: found.examples[name] for name in ("id", "keyed", "start", "length")}, rows)
    table["part"], table["pair"] = chosen.parts[rows], (found.examples["flags"][rows] & PAIR) != 0
    table["extra"] = np.zeros(len(rows), np.bool_)
    place = np.full(len(chosen.owners), -1)
    place[rows] = np.arange(len(rows))
    # What was merged into a row that stays, of which the text may be in the row's line.
    dropped = np.flatnonzero(chosen.owners != np.arange(len(chosen.owners)))
    dropped = dropped[place[chosen.owners[dropped]] >= 0]
    merged = {"row": place[chosen.owners[dropped]], "keyed": found.examples["keyed"][dropped]}
    if pairs:
        table, paired = _pair_lines(found, spool, table, [(int(place[row]), row, answer) for row, answer in pairs])
        merged = {name: np.concatenate((column, paired[name])) for name, column in merged.items()}
    return Lines(table, pick(merged, order_by(merged["row"], merged["keyed"])))


def write_lines(lines: Lines, names: Sequence[str], spool: Spool, store: ObjectStore) -> tuple[dict[str, Part], Blob]:
    """Write the parts called *names* and the lineage; return what they are by."""
    parts: dict[str, Part] = {}
    written = [np.empty(0, np.int64)]
    for name in names:
        rows = np.flatnonzero(lines.table["part"] == PARTS.index(name))
        rows = rows[order_by(lines.table["id"][rows])]
        blob = store.put_chunks(_read_lines(lines, rows, spool), name)
        parts[name] = Part(digest=blob.digest, size=blob.size, rows=len(rows))
        written.append(rows)
    return parts, store.put_chunks(_lineage(lines, np.concatenate(written)), "lineage")


def _pair_lines(
    found: Found, spool: Spool, table: "Table", pairs: list[tuple[int, int, int]]
) -> tuple["Table", "Table"]:
    """Return *table* with a wrong answer in the lines of *pairs* (line, example, answer), and what was merged."""
    seen: set[int] = set()
    into: list[int] = []
    added: list[int] = []
    rendered: list[tuple[bytes, int, int]] = []
    for line, row, answer in pairs:
        into.append(len(table["id"]) + len(added) if line in seen else line)
        rendered.append(_render_pair(found, spool, row, answer, source="pair" if line in seen else ""))
        if line in seen:
            added.append(line)
        seen.add(line)
    joined = {name: np.concatenate((column, column[added])) for name, column in table.items()}
    joined["extra"][len(table["id"]) :] = True
    joined["pair"][into] = True
    joined["id"][into] = as_ids([f"x-{digits.hex()}" for digits, _, _ in rendered])
    joined["start"][into] = [start for _, start, _ in rendered]
    joined["length"][into] = [length for _, _, length in rendered]
    return joined, {"row": np.array(into), "keyed": found.answers["keyed"][[answer for _, _, answer in pairs]]}


def _render_pair(found: Found, spool: Spool, row: int, answer: int, *, source: str) -> tuple[bytes, int, int]:
    """Put the example of *row* with the wrong *answer* into *spool*; return the digits of its id and its place."""
    wrong = spool.read(int(found.answers["start"][answer]), int(found.answers["length"][answer])).decode()
    example = read_example(found, spool, row)
    told = {"source": source} if source else {}
    example = msgspec.structs.replace(example, rejected=wrong, **told)
    example = msgspec.structs.replace(example, id=example_id(example))
    # As every line in the spool: the interaction's id goes before it, which nobody asks for here.
    line = b"\n" + canonical_json(example) + b"\n"
    return bytes.fromhex(example.id[2:]), spool.add(line), len(line)


def _read_lines(lines: Lines, rows: "NDArray[np.int64]", spool: Spool) -> Iterator[bytes]:
    starts, lengths = lines.table["start"], lines.table["length"]
    for at in range(0, len(rows), _ROWS):
        some = rows[at : at + _ROWS]
        places = zip(starts[some].tolist(), lengths[some].tolist(), strict=True)
        yield b"".join([spool.read(start, length).split(b"\n", 1)[1] for start, length in places])


def _lineage(lines: Lines, rows: "NDArray[np.int64]") -> Iterator[bytes]:
    """Yield for each line the keyed id of its interaction, and after it those that were merged into it."""
    low = np.searchsorted(lines.merged["row"], rows, "left")
    high = np.searchsorted(lines.merged["row"], rows, "right")
    for at in range(0, len(rows), _ROWS):
        some = slice(at, at + _ROWS)
        owners = render_keyed(lines.table["keyed"][rows[some]])
        spans = zip(owners, low[some].tolist(), high[some].tolist(), strict=True)
        yield "".join(
            [" ".join([owner, *render_keyed(lines.merged["keyed"][first:last])]) + "\n" for owner, first, last in spans]
        ).encode()

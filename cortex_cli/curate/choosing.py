"""Which examples stay: one of every conversation, one of every group of duplicates, no more than a domain's share."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from cortex_cli.curate.balance import balance_rows, limit_rows
from cortex_cli.curate.columns import order_by
from cortex_cli.curate.duplicates import Compare, Turn, find_equal, find_near, make_comparer
from cortex_cli.curate.gathering import Found, Workshop
from cortex_cli.curate.normal import last_turn
from cortex_cli.curate.prefixes import find_longer
from cortex_cli.curate.spec import CurateSpec
from cortex_cli.curate.splitting import split_examples
from cortex_cli.curate.spool import Spool
from cortex_cli.domain.examples import Example
from cortex_cli.store.workers import map_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

__all__ = ["Chosen", "choose", "read_example", "read_interaction"]

_PAIRS = 512
_EXAMPLES = msgspec.json.Decoder(Example)


class Chosen(NamedTuple):
    """The *rows* that stay, ascending; the part of every row; and for every row the one that stands for it.

    A row stands for itself when it stays, and so does one that was given up for balance or the limit: nothing of it
    is in the dataset.
    """

    rows: "Rows"
    parts: "NDArray[np.uint8]"
    owners: "Rows"


def choose(found: Found, spec: CurateSpec, spool: Spool, shop: Workshop) -> Chosen:
    """Drop what is there already or too much, counting each under its reason in *found*, and split the rest."""
    drop = _Dropping(found, spool)
    owners = np.arange(len(found.examples["flags"]))
    links = [np.empty((0, 2), np.int64)]
    rows = drop.replace("duplicate", owners, find_equal(found.examples["exact"]))
    if spec.duplicates.prefixes:
        talks = find_longer(found.examples, found.prefixes, rows)
        links.append(talks)
        rows = drop.replace("prefix_of_longer", owners, _longest(talks, len(owners)))
    if spec.duplicates.near and len(rows) > 1:
        shop.told("compare", len(rows))
        kept, near = find_near(found.examples, rows, _comparer(found, spec, spool, shop))
        links.append(near)
        rows = drop.replace("near_duplicate", owners, kept)
    parts = split_examples(found.examples, np.concatenate(links), spec.split)
    order = _by_id(found, rows)
    rows = drop.thin("over_represented", rows, balance_rows(found.examples["domain"][rows], order, spec.balance))
    rows = drop.thin("over_limit", rows, limit_rows(_by_id(found, rows), spec.limit))
    return Chosen(rows, parts, owners)


def read_example(found: Found, spool: Spool, row: int) -> Example:
    """Return the example of *row*."""
    return _EXAMPLES.decode(_read(found, spool, row)[1])


def read_interaction(found: Found, spool: Spool, row: int) -> str:
    """Return the id of the interaction that *row* came from."""
    return _read(found, spool, row)[0].decode()


class _Dropping:
    """Counts what is dropped in *found*, with a few ids per reason."""

    def __init__(self, found: Found, spool: Spool) -> None:
        self._found = found
        self._spool = spool

    def replace(self, reason: str, owners: "Rows", instead: "Rows") -> "Rows":
        """Let *instead* stand for the rows that stood for themselves, and return those that still do."""
        before = owners == np.arange(len(owners))
        owners[:] = instead[owners]
        after = owners == np.arange(len(owners))
        self._count(reason, np.flatnonzero(before & ~after))
        return np.flatnonzero(after)

    def thin(self, reason: str, rows: "Rows", staying: "NDArray[np.bool_]") -> "Rows":
        """Return those of *rows* that stay."""
        self._count(reason, rows[~staying])
        left: NDArray[np.int64] = rows[staying]
        return left

    def _count(self, reason: str, rows: "Rows") -> None:
        if not len(rows):
            return
        self._found.reasons[reason] += len(rows)
        self._found.samples[reason] = [read_interaction(self._found, self._spool, row) for row in rows[:3].tolist()]


def _longest(talks: "Rows", size: int) -> "Rows":
    """Return for each row the longest conversation that begins with it: the least row of several, itself of none."""
    longer = np.full(size, size)
    np.minimum.at(longer, talks[:, 0], talks[:, 1])
    longer = np.where(longer == size, np.arange(size), longer)
    # Every step leads to a longer conversation, so this ends.
    while not np.array_equal(longer, longer[longer]):
        longer = longer[longer]
    return longer


def _by_id(found: Found, rows: "Rows") -> "Rows":
    return order_by(found.examples["id"][rows])


def _comparer(found: Found, spec: CurateSpec, spool: Spool, shop: Workshop) -> Compare:
    def compare(pairs: "Rows") -> "NDArray[np.bool_]":
        batches = _turns(found, spool, pairs)
        told = map_batches(make_comparer, (spec.duplicates.similarity,), batches, workers=shop.workers)
        return np.array([near for batch in told for near in batch], np.bool_)

    return compare


def _turns(found: Found, spool: Spool, pairs: "Rows") -> Iterator[list[tuple[Turn, Turn]]]:
    for start in range(0, len(pairs), _PAIRS):
        some = pairs[start : start + _PAIRS].tolist()
        turns = {row: _turn(read_example(found, spool, row)) for row in {row for pair in some for row in pair}}
        yield [(turns[one], turns[other]) for one, other in some]


def _turn(example: Example) -> Turn:
    return Turn(last_turn(example.messages)[0], example.answer)


def _read(found: Found, spool: Spool, row: int) -> tuple[bytes, bytes]:
    name, line = spool.read(int(found.examples["start"][row]), int(found.examples["length"][row])).split(b"\n", 1)
    return name, line

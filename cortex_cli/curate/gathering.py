"""The first pass: every record once through the workers, and what they say of it as columns of numbers."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from cortex_cli.curate.columns import ANSWERS, EXAMPLES, Gathered, order_by
from cortex_cli.curate.contamination import Suite
from cortex_cli.curate.judging import Asked, Judgements
from cortex_cli.curate.sifting import Batch, Redaction, Sifted, make_sifter
from cortex_cli.curate.spec import CurateSpec
from cortex_cli.curate.spool import Spool
from cortex_cli.store.workers import map_batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Found", "Workshop", "gather"]

# 512 records of 1 KB: large enough that handing them over costs little, small enough that few are in memory.
_ROWS = 512
_BYTES = 4 << 20


class Workshop(NamedTuple):
    """What the work needs besides records and spec: the workspace's *key*, suites to keep out, how to redact.

    *workers* is the number of processes. *told* hears what is being done and how many records that was done to.
    """

    key: bytes = b""
    suites: tuple[Suite, ...] = ()
    redaction: Redaction = Redaction()
    workers: int = 1
    told: Callable[[str, int], None] = lambda _what, _count: None


class Found(NamedTuple):
    """What the first pass found: tables of examples in the order of preference, their beginnings, wrong answers.

    *first* and *last* are the range of numbers read, *reasons* counts what was rejected.
    """

    examples: "dict[str, NDArray[Any]]"
    prefixes: "dict[str, NDArray[Any]]"
    answers: "dict[str, NDArray[Any]]"
    domains: list[str]
    reasons: Counter[str]
    samples: dict[str, list[str]]
    suites: Counter[str]
    stamps: Counter[str]
    read: int
    first: int
    last: int


class _Names(msgspec.Struct):
    """What an interaction is called: a part of its record, read where the rest is not needed."""

    id: str
    episode: str = ""
    aliases: tuple[str, ...] = ()


_NAMES = msgspec.json.Decoder(_Names)


def gather(
    interactions: Iterable[tuple[int, bytes]], spec: CurateSpec, judgements: Judgements, shop: Workshop, spool: Spool
) -> Found:
    """Return what `sift` makes of all *interactions*, with the lines of examples in *spool*."""
    stream = _Stream(interactions, judgements)
    pile = _Pile(spool)
    arguments = (spec, shop.key, shop.suites, shop.redaction)
    for sifted in map_batches(make_sifter, arguments, stream.batches(), workers=shop.workers):
        pile.add(sifted)
        shop.told("read", stream.read)
    return pile.found(stream)


class _Stream:
    """Batches of records with what was said of them, and the range of numbers they had.

    The last record of an episode with a demonstration is held back until the end, as a later one may come.
    """

    def __init__(self, interactions: Iterable[tuple[int, bytes]], judgements: Judgements) -> None:
        self.read = 0
        self.first = 0
        self.last = 0
        self._interactions = iter(interactions)
        self._judgements = judgements
        self._held: dict[str, tuple[int, Asked, bytes]] = {}

    def batches(self) -> Iterator[Batch]:
        """Yield all records, each once."""
        for rows in _chunks(self._interactions):
            self.read += len(rows)
            seqs = [seq for seq, _ in rows]
            self.first = min(self.first or seqs[0], *seqs)
            self.last = max(self.last, *seqs)
            ready = self._release(rows)
            yield Batch([body for _, body in ready], self._judgements.opinions([asked for asked, _ in ready]))
        held = [self._held[name] for name in sorted(self._held)]
        for start in range(0, len(held), _ROWS):
            some = held[start : start + _ROWS]
            asked = [asked for _, asked, _ in some]
            yield Batch([body for _, _, body in some], self._judgements.closing_opinions(asked))

    def _release(self, rows: list[tuple[int, bytes]]) -> list[tuple[Asked, bytes]]:
        asked = [_asked(body) for _, body in rows]
        ready: list[tuple[Asked, bytes]] = []
        for (seq, body), each, demonstrated in zip(rows, asked, self._judgements.demonstrated(asked), strict=True):
            if not demonstrated:
                ready.append((each, body))
                continue
            mine = (seq, each, body)
            held = self._held.setdefault(each.episode, mine)
            if held is not mine:
                earlier, self._held[each.episode] = sorted((held, mine), key=_number)
                ready.append(earlier[1:])
        return ready


class _Pile:
    """What came back from the workers, growing."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._examples, self._prefixes, self._answers = Gathered(), Gathered(), Gathered()
        self._domains: dict[str, int] = {}
        self._rows = 0
        self._reasons: Counter[str] = Counter()
        self._samples: dict[str, list[str]] = {}
        self._suites: Counter[str] = Counter()
        self._stamps: Counter[str] = Counter()

    def add(self, sifted: Sifted) -> None:
        """Take the result of one batch."""
        self._reasons += sifted.reasons
        self._suites += sifted.suites
        self._stamps += sifted.stamps
        for reason, names in sifted.samples.items():
            known = self._samples.setdefault(reason, [])
            known += names[: 3 - len(known)]
        codes = [self._domains.setdefault(name, len(self._domains)) for name in sifted.domains]
        examples = {**sifted.examples, "start": self._store(sifted.lines, sifted.examples["length"])}
        examples["domain"] = np.array(codes or [0], np.uint32)[examples["domain"]]
        self._prefixes.add({**sifted.prefixes, "row": sifted.prefixes["row"] + self._rows})
        self._answers.add({**sifted.answers, "start": self._store(sifted.texts, sifted.answers["length"])})
        self._examples.add(examples)
        self._rows += len(examples["length"])

    def found(self, stream: _Stream) -> Found:
        """Return everything, the examples in the order of preference: who is better comes first."""
        examples = self._examples.join({**EXAMPLES, "start": np.int64})
        order = order_by(examples["rank"], -examples["quality"], examples["time"], examples["id"], examples["keyed"])
        for name in examples:
            examples[name] = examples[name][order]
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        prefixes = self._prefixes.join({"row": np.int64, "talk": np.uint64})
        prefixes["row"] = place[prefixes["row"]]
        return Found(
            examples=examples,
            prefixes=prefixes,
            answers=self._answers.join({**ANSWERS, "start": np.int64}),
            domains=list(self._domains),
            reasons=self._reasons,
            samples=self._samples,
            suites=self._suites,
            stamps=self._stamps,
            read=stream.read,
            first=stream.first,
            last=stream.last,
        )

    def _store(self, data: bytes, lengths: "NDArray[Any]") -> "NDArray[np.int64]":
        ends = np.cumsum(lengths, dtype=np.int64)
        starts: NDArray[np.int64] = self._spool.add(data) + ends - lengths
        return starts


def _chunks(rows: Iterator[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    chunk: list[tuple[int, bytes]] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(row[1])
        if len(chunk) >= _ROWS or size >= _BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _asked(body: bytes) -> Asked:
    try:
        names = _NAMES.decode(body)
    except msgspec.DecodeError:
        return Asked((), "")  # the worker that decodes all of it says what is wrong
    return Asked((names.id, *names.aliases), names.episode)


def _number(held: tuple[int, Asked, bytes]) -> int:
    return held[0]

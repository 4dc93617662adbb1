"""The curation itself: judge every interaction, drop duplicates, split, write the parts.

The result depends on the set of records, the spec and the key, never on their order: the survivor of a
group of duplicates is its least by source, time and id, and parts are sorted by example id.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from cortex_cli.curate.judging import Judgements, Ruling
from cortex_cli.curate.normal import ALGORITHMS, exact_key, fold_answer, fold_prompt, pick_part
from cortex_cli.curate.spec import CurateSpec
from cortex_cli.domain.digests import canonical_json, content_id
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.domain.manifests import Blob, DatasetVersion, Part, dataset_digest
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import keyed_id

__all__ = ["PARTS", "Curated", "Records", "curate"]

# In the order of the lineage, which is that of sorted names: a manifest in TOML keeps no other.
PARTS = ("test", "train", "valid")
# A correction teaches more than an accepted answer, so it survives among duplicates.
_RANK = {"correction": 0, "demonstration": 1, "accepted": 2}
_WRITE_ROWS = 512


class Records(NamedTuple):
    """A range of a journal: interactions and feedback with their sequence numbers."""

    interactions: Iterable[tuple[int, Interaction]]
    feedback: Iterable[tuple[int, Feedback]]


class Curated(NamedTuple):
    """What was made: a manifest that still lacks version, parent, recipe and time, and ids of rejected records.

    *rejected* holds up to three interaction ids per reason, to look at; they are not for git.
    """

    version: DatasetVersion
    rejected: dict[str, list[str]]


class _Row(NamedTuple):
    """One example ready to write; the fields before *line* order duplicates."""

    rank: int
    time: str
    id: str
    part: str
    source: str
    keyed: str
    line: bytes
    replayed: bool
    pair: bool


def curate(records: Records, spec: CurateSpec, *, store: ObjectStore, key: bytes) -> Curated:
    """Make the dataset that *spec* describes of *records*, writing its parts into *store*.

    In memory: one canonical line (about 1 KB) per surviving example, and what `Judgements` holds; rejected
    interactions cost nothing. On failure the store may hold objects that no manifest names, for `gc`.
    """
    run = _Run(spec, key, Judgements(records.feedback))
    for seq, interaction in records.interactions:
        run.take(seq, interaction)
    rows = run.finish()
    parts = {name: _write_part(store, rows, name) for name in PARTS if getattr(spec.split, name) > 0}
    lineage = _write_lineage(store, rows, parts)
    version = DatasetVersion(
        name=spec.dataset or spec.agent,
        version="",
        agent=spec.agent,
        parts=parts,
        lineage=lineage,
        counts=run.counts(rows),
        rejected=dict(sorted(run.reasons.items())),
        origins=dict(sorted(Counter(row.source for row in rows).items())),
        journal=run.range(),
        algorithms=dict(ALGORITHMS),
        digest=dataset_digest(parts, lineage),
    )
    return Curated(version, run.samples)


class _Run:
    """Survivors and counts of one curation."""

    def __init__(self, spec: CurateSpec, key: bytes, judgements: Judgements) -> None:
        self.reasons: Counter[str] = Counter()
        self.samples: dict[str, list[str]] = {}
        self._spec = spec
        self._key = key
        self._judgements = judgements
        self._survivors: dict[bytes, _Row] = {}
        self._read = 0
        self._first = judgements.first
        self._last = judgements.last

    def take(self, seq: int, interaction: Interaction) -> None:
        """Judge one interaction and keep its example, or count why not."""
        self._read += 1
        self._first = min(self._first or seq, seq)
        self._last = max(self._last, seq)
        ruling = self._rule(interaction)
        if ruling.reason:
            self._reject(ruling.reason, interaction.id)
            return
        prompt = fold_prompt(interaction.messages)
        key = exact_key(prompt, fold_answer(ruling.answer))
        row = self._row(interaction, ruling, pick_part(self._spec.salt, prompt, self._spec.split))
        if known := self._survivors.get(key):
            self._reject("duplicate", interaction.id)
            row = min(row, known)
        self._survivors[key] = row

    def finish(self) -> list[_Row]:
        """Return the surviving rows sorted by id, at most as many as the spec allows."""
        rows = sorted(self._survivors.values(), key=lambda row: row.id)
        # Ids are digests of the content, so the first are a random sample that no order of reading decides.
        kept = rows[: self._spec.limit] if self._spec.limit else rows
        if len(kept) < len(rows):
            self.reasons["over_limit"] += len(rows) - len(kept)
        return kept

    def counts(self, rows: list[_Row]) -> dict[str, int]:
        """Return the totals; read = examples + all that was rejected."""
        return {
            "read": self._read,
            "feedback": self._judgements.count,
            "examples": len(rows),
            "pairs": sum(row.pair for row in rows),
            "replayed": sum(row.replayed for row in rows),
        }

    def range(self) -> tuple[int, int]:
        """Return the first and last sequence number read."""
        return self._first, self._last

    def _rule(self, interaction: Interaction) -> Ruling:
        if interaction.agent != self._spec.agent:
            return Ruling("other_agent")
        if not any(message.role == "user" and message.content.strip() for message in interaction.messages):
            return Ruling("no_prompt")
        ruling = self._judgements.rule(interaction, self._spec.sources)
        size = sum(len(message.content) for message in interaction.messages) + len(ruling.answer)
        return Ruling("too_long") if size > self._spec.max_chars and not ruling.reason else ruling

    def _row(self, interaction: Interaction, ruling: Ruling, part: str) -> _Row:
        keyed = keyed_id(self._key, interaction.id)
        content = [interaction.agent, interaction.messages, ruling.answer, ruling.rejected]
        example = Example(
            id=content_id("x", content, length=24),
            agent=interaction.agent,
            messages=interaction.messages,
            answer=ruling.answer,
            rejected=ruling.rejected,
            source=ruling.source,  # type: ignore[arg-type]  # judging gives only the three
            domain=interaction.domain,
            time=interaction.time,
            interaction=keyed,
            replayed=ruling.replayed,
        )
        line = canonical_json(example) + b"\n"
        order = (_RANK[ruling.source], interaction.time, example.id)
        return _Row(*order, part, ruling.source, keyed, line, ruling.replayed, bool(ruling.rejected))

    def _reject(self, reason: str, name: str) -> None:
        self.reasons[reason] += 1
        samples = self.samples.setdefault(reason, [])
        if len(samples) < 3:
            samples.append(name)


def _write_part(store: ObjectStore, rows: list[_Row], name: str) -> Part:
    lines = [row.line for row in rows if row.part == name]
    blob = store.put_chunks(_chunks(lines), name)
    return Part(digest=blob.digest, size=blob.size, rows=len(lines))


def _write_lineage(store: ObjectStore, rows: list[_Row], parts: dict[str, Part]) -> Blob:
    lines = [row.keyed.encode() + b"\n" for name in parts for row in rows if row.part == name]
    return store.put_chunks(_chunks(lines), "lineage")


def _chunks(lines: list[bytes]) -> Iterator[bytes]:
    waiting = iter(lines)
    while batch := list(islice(waiting, _WRITE_ROWS)):
        yield b"".join(batch)

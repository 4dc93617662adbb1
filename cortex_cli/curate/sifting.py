"""The first pass over a batch of records, in a worker process: decode, judge, render the example, take its keys.

Nothing here knows another batch, so the result does not depend on how records were dealt to processes.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cortex_cli.curate.columns import (
    ANSWERS,
    BLANK,
    EXAMPLES,
    PAIR,
    REPLAYED,
    SHORT_ANSWER,
    SHORT_REQUEST,
    build,
)
from cortex_cli.curate.contamination import Contamination, Suite
from cortex_cli.curate.judging import Opinion
from cortex_cli.curate.normal import (
    SHORT,
    exact_key,
    fold_answer,
    fold_prompt,
    hash64,
    last_turn,
    normalise,
    salted,
)
from cortex_cli.curate.prefixes import hash_prefixes, hash_talk
from cortex_cli.curate.quality import map_quality
from cortex_cli.curate.ruling import REJECTED, Rules, Ruling
from cortex_cli.curate.sketches import sketch_texts
from cortex_cli.curate.spec import CurateSpec
from cortex_cli.domain.digests import canonical_json, content_id
from cortex_cli.domain.errors import IntegrityError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RANKS", "Batch", "Redaction", "Sifted", "example_id", "make_sifter"]

# A correction teaches more than an accepted answer, and a person more than a rule: among duplicates the first
# of these survives.
RANKS = ("correction", "demonstration", "supervised", "accepted", "quality")
_SAMPLES = 3
_DECODER = msgspec.json.Decoder(Interaction)

Record = Interaction | Feedback
Mend = Callable[[Sequence[Record]], list[Record]]


class Redaction(NamedTuple):
    """How records must have been redacted: *stamps* that will do, none = whatever was done is good enough.

    `make(*arguments)` gives, once in every process, the function that masks a list of records; without it a
    record of another stamp is rejected. *stamp* is what mended records carry.
    """

    stamps: tuple[str, ...] = ()
    make: Callable[..., Mend] | None = None
    arguments: tuple[Any, ...] = ()
    stamp: str = ""


class Batch(NamedTuple):
    """Some records as JSON text, and what was said of each."""

    bodies: list[bytes]
    opinions: list[Opinion | None]


class Sifted(NamedTuple):
    """What became of a batch: columns of examples with their lines, of wrong answers, and counts of the rest.

    *prefixes* are pairs of row and hash; *domains* are what the column `domain` counts by; *lines* has the
    examples' lines one after the other, *texts* the wrong answers.
    """

    reasons: Counter[str]
    samples: dict[str, list[str]]
    suites: Counter[str]
    stamps: Counter[str]
    domains: list[str]
    examples: "dict[str, NDArray[Any]]"
    lines: bytes
    prefixes: "dict[str, NDArray[Any]]"
    answers: "dict[str, NDArray[Any]]"
    texts: bytes


class _Kept(NamedTuple):
    record: Interaction
    ruling: Ruling
    example: Example
    keyed: bytes


class _Ruled(NamedTuple):
    record: Interaction
    opinion: Opinion | None
    ruling: Ruling


def make_sifter(
    spec: CurateSpec, key: bytes, suites: Sequence[Suite], redaction: Redaction
) -> Callable[[Batch], Sifted]:
    """Return the function that sifts batches; made once in every worker process."""
    return _Sifter(spec, key, suites, redaction).sift


def example_id(example: Example) -> str:
    """Return the id that the content of *example* decides."""
    content: list[Any] = [example.agent, example.messages, example.answer, example.rejected]
    if example.calls or example.tools:
        content += [example.calls, example.tools]
    return content_id("x", content, length=24)


class _Sifter:
    def __init__(self, spec: CurateSpec, key: bytes, suites: Sequence[Suite], redaction: Redaction) -> None:
        self._spec = spec
        self._key = key
        self._rules = Rules(spec)
        self._contamination = Contamination(suites, spec.decontaminate)
        self._redaction = redaction
        self._mend = redaction.make(*redaction.arguments) if redaction.make else None

    def sift(self, batch: Batch) -> Sifted:
        """Return what became of every record of *batch*."""
        tally = _Tally()
        ruled = self._rule(zip(map(_decode, batch.bodies), batch.opinions, strict=True), tally)
        # Masking costs more than all else: what is rejected whatever its words are is not masked.
        ruled = self._redacted(ruled, tally)
        tally.stamps.update(each.record.redaction for each in ruled)
        kept = [self._keep(each.record, each.ruling) for each in ruled if not each.ruling.reason]
        wrong = [each for each in ruled if each.ruling.reason]
        for each in wrong:
            tally.reject(each.ruling.reason, each.record.id)
        return self._finish(self._decontaminate(kept, tally), wrong, tally)

    def _rule(self, told: Iterable[tuple[Interaction, Opinion | None]], tally: "_Tally") -> list[_Ruled]:
        """Return the records that are kept, or whose answers are known to be wrong where those are wanted too."""
        ruled: list[_Ruled] = []
        for record, opinion in told:
            reason = self._rules.check(record)
            ruling = Ruling(reason) if reason else self._rules.rule(record, opinion)
            if not ruling.reason or (ruling.reason in REJECTED and self._spec.pairs.per_prompt):
                ruled.append(_Ruled(record, opinion, ruling))
            else:
                tally.reject(ruling.reason, record.id)
        return ruled

    def _redacted(self, ruled: list[_Ruled], tally: "_Tally") -> list[_Ruled]:
        """Return *ruled* masked as the workspace asks; without a way to mask, what needs it is rejected."""
        stale = [each for each in ruled if self._is_stale(each.record, each.opinion)]
        fresh = [each for each in ruled if not self._is_stale(each.record, each.opinion)]
        if not stale:
            return fresh
        if self._mend is None:
            for each in stale:
                tally.reject("not_redacted", each.record.id)
            return fresh
        return [*fresh, *self._rule(_mend_all(self._mend, stale, self._redaction.stamp), tally)]

    def _is_stale(self, record: Interaction, opinion: Opinion | None) -> bool:
        stamps = self._redaction.stamps
        told = opinion is not None and bool(opinion.demonstration) and opinion.stamp not in stamps
        return bool(stamps) and (record.redaction not in stamps or told)

    def _keep(self, record: Interaction, ruling: Ruling) -> _Kept:
        own = ruling.answer == record.output
        keyed = self._keyed(record.id)
        draft = Example(
            id="",
            agent=record.agent,
            messages=record.messages,
            answer=ruling.answer,
            rejected=ruling.rejected,
            source=ruling.source,  # type: ignore[arg-type]  # ruling gives only those that an example may have
            domain=record.domain,
            time=record.time,
            interaction="k-" + keyed.hex(),
            replayed=ruling.replayed,
            calls=record.calls if own else "",
            tools=record.tools,
            quality=map_quality(record),
        )
        return _Kept(record, ruling, msgspec.structs.replace(draft, id=example_id(draft)), keyed)

    def _keyed(self, name: str) -> bytes:
        # The bytes of `store.workspace.keyed_id`, in one call: it is made for every record.
        return hmac.digest(self._key, name.encode(), hashlib.sha256)[:12]

    def _decontaminate(self, kept: list[_Kept], tally: "_Tally") -> list[_Kept]:
        hits = self._contamination.find([each.example for each in kept])
        for each, hit in zip(kept, hits, strict=True):
            if hit is not None:
                tally.reject(hit.reason, each.record.id)
                tally.suites[hit.suite] += 1
        return [each for each, hit in zip(kept, hits, strict=True) if hit is None]

    def _finish(self, kept: list[_Kept], wrong: list[_Ruled], tally: "_Tally") -> Sifted:
        domains = sorted({each.record.domain for each in kept})
        codes = {name: code for code, name in enumerate(domains)}
        # The interaction's own id goes before the line: it is looked at where a sample of rejected ones is shown.
        lines = [each.record.id.encode() + b"\n" + canonical_json(each.example) + b"\n" for each in kept]
        texts = [each.record.output.encode() for each in wrong]
        rows = [self._row(each, len(line), codes) for each, line in zip(kept, lines, strict=True)]
        examples = build(rows, EXAMPLES)
        if self._spec.duplicates.near:
            examples["bands"] = sketch_texts([row["compared"] for row in rows])
        owners, hashes = hash_prefixes([each.example.messages for each in kept])
        answers = [self._answer(each.record, len(text)) for each, text in zip(wrong, texts, strict=True)]
        return Sifted(
            reasons=tally.reasons,
            samples=tally.samples,
            suites=tally.suites,
            stamps=tally.stamps,
            domains=domains,
            examples=examples,
            lines=b"".join(lines),
            prefixes={"row": owners, "talk": hashes},
            answers=build(answers, ANSWERS),
            texts=b"".join(texts),
        )

    def _row(self, each: _Kept, length: int, domains: dict[str, int]) -> dict[str, Any]:
        example, record = each.example, each.record
        prompt, answer = fold_prompt(example.messages), fold_answer(example.answer)
        request, context = last_turn(example.messages)
        asked, answered = normalise(request), normalise(example.answer)
        task = record.meta.get("task_id", "")
        return {
            "id": bytes.fromhex(example.id[2:]),
            "keyed": each.keyed,
            "exact": exact_key(prompt, answer),
            "prompt": salted(self._spec.salt, prompt),
            "task": salted(self._spec.salt, task) if task else 0,
            "answer": hash64(answer),
            "context": hash64(context) if context else 0,
            "talk": hash_talk(example),
            "time": example.time.encode(),
            "quality": -1.0 if example.quality is None else example.quality,
            "rank": RANKS.index(example.source),
            "flags": _flags(example, asked, answered),
            "domain": domains[record.domain],
            "length": length,
            # No column: what near-duplicates are told by, the tokens of the last user turn and the answer.
            "compared": f"{asked} {answered}".strip(),
        }

    def _answer(self, record: Interaction, length: int) -> dict[str, Any]:
        answer = fold_answer(record.output)
        return {
            "id": bytes.fromhex(content_id("x", [record.messages, record.output], length=24)[2:]),
            "keyed": self._keyed(record.id),
            "prompt": salted(self._spec.salt, fold_prompt(record.messages)),
            "answer": hash64(answer),
            "length": length,
        }


class _Tally:
    """Counts of what was rejected, with a few ids per reason."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.samples: dict[str, list[str]] = {}
        self.suites: Counter[str] = Counter()
        self.stamps: Counter[str] = Counter()

    def reject(self, reason: str, name: str) -> None:
        self.reasons[reason] += 1
        samples = self.samples.setdefault(reason, [])
        if len(samples) < _SAMPLES:
            samples.append(name)


def _decode(body: bytes) -> Interaction:
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise IntegrityError(
            f"the journal holds a record that cannot be read: {error}",
            hint="cortex fsck",
            state="no dataset version was made",
        ) from error


def _mend_all(mend: Mend, stale: Sequence[_Ruled], stamp: str) -> Iterator[tuple[Interaction, Opinion | None]]:
    """Mask records and demonstrations of another stamp, all in one call: the fast path works on many."""
    opinions = [each.opinion or Opinion() for each in stale]
    told = [
        Feedback(id="f", target="", kind="demonstration", time="", demonstration=opinion.demonstration)
        for opinion in opinions
    ]
    masked = mend([*(each.record for each in stale), *told])
    records = [record for record in masked if isinstance(record, Interaction)]
    texts = [record.demonstration for record in masked if isinstance(record, Feedback)]
    for record, text, opinion in zip(records, texts, opinions, strict=True):
        yield record, opinion._replace(demonstration=text, stamp=stamp)


def _flags(example: Example, asked: str, answered: str) -> int:
    flags = (REPLAYED if example.replayed else 0) | (PAIR if example.rejected else 0)
    flags |= SHORT_ANSWER if answered.count(" ") < SHORT - 1 else 0
    flags |= SHORT_REQUEST if asked.count(" ") < SHORT - 1 else 0
    return flags | (0 if asked or answered else BLANK)

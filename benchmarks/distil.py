"""What distillation brings: a student that saw no label, against the teacher, the plain base, and a few labels alone.

The teacher is the shipped base with an adapter that learned half of clinc150's training utterances with their labels. The
student is the same base with an adapter of a quarter of the rank. It gets the other half without labels: the teacher
answers, and the student learns its texts, or its texts and its distributions. Beside it stands a student that learned
a twentieth of the labels and has no teacher. All 3,000 validation utterances are asked, greedy, and only the exact tool
call counts; differences are paired, with 95 % intervals.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.measure import Bar, Report, at_least, tell, time_call
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.models.bases import prepare_torch
from cortex_cli.pipeline.traffic import Request, read_dispatch_requests
from cortex_cli.stats.intervals import newcombe_interval, wilson_interval
from cortex_cli.store.starter import starter_root
from cortex_cli.train.objectives import DistilSpec
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec

FEW = 20  # the student without a teacher has one label of so many
LOOP = LoopSpec(learning_rate=5e-3, batch_tokens=2048, epochs=4.0)
TEACHER = TrainSpec(agent="dispatch", dataset="d", lora=LoraSpec(rank=32, alpha=64.0), loop=LOOP)
STUDENT = msgspec.structs.replace(TEACHER, lora=LoraSpec(rank=8, alpha=16.0))


@dataclass(frozen=True, slots=True)
class Asked:
    """Who was asked, which of the utterances it got right, and how long its training took in seconds."""

    name: str
    right: tuple[bool, ...]
    seconds: float

    @property
    def share(self) -> float:
        """Return the share of right answers."""
        return sum(self.right) / len(self.right)

    def row(self) -> dict[str, str | int | float]:
        """Return what the result file keeps: counts, and the share with its 95 % Wilson interval."""
        interval = wilson_interval(sum(self.right), len(self.right))
        return {
            "who": self.name,
            "right": sum(self.right),
            "asked": len(self.right),
            "share": round(self.share, 4),
            "low": round(interval.low, 4),
            "high": round(interval.high, 4),
            "training_s": round(self.seconds, 1),
        }


def main() -> None:
    """Print one JSON line and a table."""
    prepare_torch()
    tell("distil", measure())


def measure() -> Report:
    """Train teacher and students and ask all of them the same."""
    packs = starter_root() / "datasets" / "texts"
    rows, asked = read_dispatch_requests(packs, "train"), read_dispatch_requests(packs, "val")
    labelled, unlabelled = lessons(rows[::2]), lessons(rows[1::2])
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), asked)
        teacher = bench.teach("teacher", labelled, TEACHER)
        told, share = bench.answer("teacher", unlabelled)
        found = [
            bench.judge("base alone", None, 0.0),
            bench.teach("student, a few labels", labelled[:: FEW // 2], few_labels(STUDENT)),
            bench.teach("student, sequence", told, STUDENT),
            bench.teach("student, logits", told, distilled(STUDENT, bench.folder_of("teacher"))),
        ]
    base, few, sequence, logits = found
    bars = [
        at_least("teacher: exactly right", 100 * teacher.share, "%", 60, f"{len(asked):,} utterances"),
        at_least("sequence, of the teacher's score", sequence.share / teacher.share, "", 0.9, "teacher"),
        at_least("logits, of the teacher's score", logits.share / teacher.share, "", 0.9, "teacher"),
        gain("sequence over the base, lower end", base, sequence, 0.4),
        gain("sequence over a few labels, lower end", few, sequence, 0.0),
        gain("logits over sequence, lower end", sequence, logits, 0.0),
    ]
    runs = [
        {
            "unlabelled": len(unlabelled),
            "teacher_right_there": round(share, 4),
            "few_labels": len(labelled[:: FEW // 2]),
        }
    ]
    return Report(bars, [*runs, *(each.row() for each in (teacher, *found))])


class Bench:
    """A folder of adapters, and what everybody is asked."""

    def __init__(self, folder: Path, asked: Sequence[Request]) -> None:
        self._folder = folder
        self._asked = asked
        self._base = starter_root() / "registry" / "models" / "cortex-tiny"

    def teach(self, name: str, examples: Sequence[Example], spec: TrainSpec) -> Asked:
        """Train an adapter called *name* and ask it."""
        from cortex_cli.train.fitting import fit_adapter

        run = self._folder / name
        taken = time_call(lambda: fit_adapter(examples, self._base, spec, run, watch=lambda _progress: None))
        return self.judge(name, run / "adapter", taken.wall)

    def judge(self, name: str, adapter: Path | None, seconds: float) -> Asked:
        """Ask the base with *adapter*."""
        texts = self._ask(adapter, [request.text for request in self._asked])
        right = tuple(text == request.reference for text, request in zip(texts, self._asked, strict=True))
        return Asked(name, right, seconds)

    def answer(self, name: str, examples: Sequence[Example]) -> tuple[list[Example], float]:
        """Return *examples* as the adapter called *name* answers them, and the share that it answers right."""
        texts = self._ask(self._folder / name / "adapter", [each.messages[0].content for each in examples])
        told = [msgspec.structs.replace(each, answer=text) for each, text in zip(examples, texts, strict=True)]
        same = sum(one.answer == two.answer for one, two in zip(told, examples, strict=True))
        return told, same / len(examples)

    def folder_of(self, name: str) -> Path:
        """Return a folder with the base and the adapter called *name*, as a teacher of distributions is given."""
        folder = self._folder / f"{name}-whole"
        shutil.copytree(self._base, folder)
        shutil.copytree(self._folder / name / "adapter", folder / "adapter")
        return folder

    def _ask(self, adapter: Path | None, texts: Sequence[str]) -> list[str]:
        from cortex_cli.models.generation import load_model

        model = load_model(self._base, adapter, max_tokens=24)
        return [answer.text for answer in model([(Message("user", text),) for text in texts])]


def lessons(requests: Sequence[Request]) -> list[Example]:
    """Return *requests* as examples with the right answers."""
    return [
        Example(
            id=f"x-{number}",
            agent="dispatch",
            messages=(Message("user", request.text),),
            answer=request.reference,
            source="demonstration",
        )
        for number, request in enumerate(requests)
    ]


def few_labels(spec: TrainSpec) -> TrainSpec:
    """Return *spec* with as many epochs more as there are labels less, so that the steps are about the same."""
    loop = msgspec.structs.replace(spec.loop, epochs=spec.loop.epochs * FEW / 2)
    return msgspec.structs.replace(spec, loop=loop)


def distilled(spec: TrainSpec, teacher: Path) -> TrainSpec:
    """Return *spec* with the distributions of *teacher* beside the texts."""
    table = DistilSpec(teacher=str(teacher), level="logits")
    return msgspec.structs.replace(spec, objective="distil", distil=table)


def gain(name: str, first: Asked, second: Asked, limit: float) -> Bar:
    """Return the bar on the lower end of the paired difference, second minus first."""
    pairs = list(zip(first.right, second.right, strict=True))
    both, neither = pairs.count((True, True)), pairs.count((False, False))
    interval = newcombe_interval(both, pairs.count((False, True)), pairs.count((True, False)), neither)
    return at_least(name, interval.low, "", limit, f"{first.name}: {first.share:.3f} against {second.share:.3f}")


if __name__ == "__main__":
    main()

"""Distillation: the requests of a dataset and a teacher in; examples with the teacher's answers out.

What it costs is estimated before the first call, capped while it goes on, and told afterwards beside what it saves.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from cortex_cli.collect.redact import Policy, Redactor
from cortex_cli.curate.quality import map_quality
from cortex_cli.curate.ruling import Rules
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Interaction, Scale
from cortex_cli.domain.manifests import Prices
from cortex_cli.evaluate.agreement import find_majority
from cortex_cli.evaluate.judges import judge_answer
from cortex_cli.pipeline.answer_book import Line
from cortex_cli.pipeline.lessons import (
    Estimate,
    Lesson,
    Question,
    check_cap,
    count_dollars,
    estimate_lesson,
    list_questions,
    open_book,
)
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.questioning import Desk, Told, ask_teacher, read_answers
from cortex_cli.pipeline.teachers import Ask, check_logits, open_teacher
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.workspace import open_key

__all__ = ["Means", "Taught", "preview", "teach"]


class Means(NamedTuple):
    """How a lesson is given: the workspace's redaction *policy*, and who is *told* how far the asking is.

    Before the first call *planned* hears what it will take. *ask* stands in for the teacher; when it is None, the
    teacher is opened from its manifest.
    """

    policy: Policy = "standard"
    planned: Callable[[Estimate], None] = lambda _estimate: None
    told: Told = lambda _asked: None
    ask: Ask | None = None


class Taught(msgspec.Struct, frozen=True, kw_only=True):
    """What a lesson brought: *examples* with the teacher's answers, and *counts* of why others were left out.

    *figures*: calls, tokens and dollars of all answers that were used, the mean *agreement* of samples, the share
    *as_dataset* of answers equal to the dataset's own, and by the prices of the manifests what 1,000 requests cost from
    teacher and student, what is saved, and after how many requests the asking has paid for itself.
    """

    examples: tuple[Example, ...]
    counts: dict[str, int]
    figures: dict[str, float]


_MEANS = Means()


def preview(place: Place, lesson: Lesson) -> Estimate:
    """Return what teaching *lesson* would take, for a dry run; asks nothing and writes nothing."""
    return estimate_lesson(lesson, list(list_questions(place, lesson)), open_book(place, lesson))


def teach(place: Place, snapshot: Snapshot, lesson: Lesson, means: Means = _MEANS) -> Taught:
    """Ask the teacher what is not known yet, and return the answers that pass as examples.

    Raises `UsageError` before the first call when the cap is below one call, no request is there, or distributions are
    asked of who has none to give; afterwards when no answer passes; `RemoteError` when the teacher stops answering.
    Answers are kept in any case.
    """
    if lesson.spec.distil.level == "logits":
        check_logits(place, snapshot, lesson.teacher, lesson.spec)
    questions, book = list(list_questions(place, lesson)), open_book(place, lesson)
    estimate = estimate_lesson(lesson, questions, book)
    check_cap(lesson, estimate)
    means.planned(estimate)
    desk = Desk(book, Redactor(open_key(place.workspace), means.policy), means.told)
    if estimate.kept < estimate.calls:
        ask = means.ask or open_teacher(place, snapshot, lesson.teacher, lesson.spec.distil)
        ask_teacher(lesson, questions, ask, desk)
    choice = _Choice(lesson, read_answers(lesson, questions, desk))
    examples = choice.choose(questions)
    if not examples:
        raise UsageError(
            f"no answer of teacher '{lesson.teacher.name}' can be learned: {_told(choice.counts)}",
            hint="look at agreement, max_tokens and the caps in [train.distil], and at [curate.quality]",
            state=f"{len(book):,} answers are kept in '{book.path}', nothing was trained",
        )
    figures = choice.figures(snapshot.model(lesson.spec.base).prices)
    return Taught(examples=tuple(examples), counts=dict(choice.counts), figures=figures)


class _Choice:
    """Chooses what is learned: of each request the answer that most samples agree on, when it passes the rules."""

    def __init__(self, lesson: Lesson, lines: dict[str, list[Line]]) -> None:
        self.counts: Counter[str] = Counter()
        self._lesson = lesson
        self._lines = lines
        self._rules = Rules(lesson.rules)
        self._shares: list[float] = []
        self._same = 0

    def choose(self, questions: Sequence[Question]) -> list[Example]:
        """Return the examples with the teacher's answers; the others are counted by the reason why not."""
        chosen: list[Example] = []
        for question in questions:
            reason, record = self._judge(question, self._lines.get(question.key, []))
            if record is None:
                self.counts[reason] += 1
                continue
            self._same += judge_answer(self._lesson.agent.judge, record.output, question.example.answer)
            chosen.append(_teach_example(question.example, record))
        return chosen

    def _judge(self, question: Question, lines: Sequence[Line]) -> tuple[str, Interaction | None]:
        samples = self._lesson.spec.distil.samples
        if len(lines) < samples:
            return "not_answered", None
        whole = [line.text for line in lines if not line.refused and line.finish == "stop"]
        if not whole:
            return "refused" if any(line.refused for line in lines) else "cut_short", None
        if not any(text.strip() for text in whole):
            return "empty_output", None
        majority = find_majority(whole, self._lesson.agent.judge)
        if majority is None or majority.votes < self._lesson.spec.distil.agreement * samples:
            return "no_agreement", None
        share = majority.votes / samples
        record = _record(question.example, majority.answer, share if samples > 1 else None)
        if reason := self._rules.check(record) or self._rules.rule(record, None).reason:
            return reason, None
        self._shares.append(share)
        return "", record

    def figures(self, student: Prices) -> dict[str, float]:
        """Return what asking took and what it saves, with a student of these prices; see `Taught`."""
        used = [line for lines in self._lines.values() for line in lines]
        tokens = sum(line.tokens_in for line in used), sum(line.tokens_out for line in used)
        dollars, own = count_dollars(self._lesson.prices, *tokens), count_dollars(student, *tokens)
        saved = 1000 * (dollars - own) / len(used)
        return {
            "teacher_calls": float(len(used)),
            "teacher_tokens_in": float(tokens[0]),
            "teacher_tokens_out": float(tokens[1]),
            "teacher_dollars": round(dollars, 6),
            "agreement": round(sum(self._shares) / len(self._shares), 4),
            "as_dataset": round(self._same / len(self._shares), 4),
            "teacher_dollars_per_1000": round(1000 * dollars / len(used), 6),
            "student_dollars_per_1000": round(1000 * own / len(used), 6),
            "saved_dollars_per_1000": round(saved, 6),
            "requests_to_pay_off": round(1000 * dollars / saved, 1) if saved > 0 else 0.0,
        }


def _record(example: Example, answer: str, share: float | None) -> Interaction:
    """Return the teacher's *answer* as curation would see it; one sample agrees with nobody, so it has no quality."""
    return Interaction(
        id=example.id,
        agent=example.agent,
        time=example.time,
        messages=example.messages,
        output=answer,
        outcome="success",
        quality=share,
        quality_scale=None if share is None else Scale(0.0, 1.0),
        domain=example.domain,
    )


def _teach_example(example: Example, record: Interaction) -> Example:
    # The id stays that of the dataset's example: by it a step is traced to what it learned from.
    return msgspec.structs.replace(
        example, answer=record.output, rejected="", calls="", source="supervised", quality=map_quality(record)
    )


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items())) or "none was given"

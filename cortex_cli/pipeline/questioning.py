"""Questioning a teacher: what its book does not have, within the cap; answers are masked and kept before they are used."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import msgspec

from cortex_cli.collect.redact import Redactor
from cortex_cli.domain.errors import AuthenticationError, CortexError, RemoteError
from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.pipeline.answer_book import AnswerBook, Line
from cortex_cli.pipeline.lessons import Lesson, Question, count_dollars, count_tokens
from cortex_cli.pipeline.teachers import Ask

__all__ = ["Asked", "Desk", "Told", "ask_teacher", "read_answers"]

# A teacher that fails so often in a row has stopped answering; so has one that fails for more than this share.
_IN_A_ROW = 5
_FAILED = 0.1
_LOCAL_LINES = 128  # lines of a local teacher that are written together: it costs seconds to ask it again
_REFUSED = "refused: "


class Asked(NamedTuple):
    """How far the asking is: calls *answered* of all *calls*, and *dollars* of them, those of earlier runs included."""

    answered: int
    calls: int
    dollars: float


Told = Callable[[Asked], None]


class Desk(NamedTuple):
    """Where answers are kept, how they are masked before that, and who is told how far the asking is."""

    book: AnswerBook
    redactor: Redactor
    told: Told


def ask_teacher(lesson: Lesson, questions: Sequence[Question], ask: Ask, desk: Desk) -> None:
    """Ask what the book does not have of *questions*, until all is answered or the cap is reached.

    Raises `RemoteError`, or `AuthenticationError` for a refused key, when the teacher stops answering; what it had
    answered is in the book, and so it is after a kill.
    """
    _Asking(lesson, desk).go(questions, ask)


def read_answers(lesson: Lesson, questions: Sequence[Question], desk: Desk) -> dict[str, list[Line]]:
    """Return what the book has of each question, by its key, masked by the rules as they are today."""
    book, redactor = desk.book, desk.redactor

    def masked(line: Line) -> Line:
        if line.redaction == redactor.stamp:
            return line
        return msgspec.structs.replace(line, text=redactor.redact_text(line.text))

    samples = range(lesson.spec.distil.samples)
    found = {each.key: [book.find(each.key, sample) for sample in samples] for each in questions}
    return {key: [masked(line) for line in lines if line is not None] for key, lines in found.items()}


class _Asking:
    def __init__(self, lesson: Lesson, desk: Desk) -> None:
        self._lesson = lesson
        self._book, self._redactor, self._told = desk
        self._asked = Asked(0, 0, 0.0)
        self._under_way: dict[int, tuple[Question, int]] = {}
        self._reserved = 0.0  # dollars that the calls under way may cost
        self._in_a_row = 0
        self._is_over = False
        self._failures: list[str] = []
        self._waiting: list[Line] = []

    def go(self, questions: Sequence[Question], ask: Ask) -> None:
        places = [(question, sample) for question in questions for sample in range(self._lesson.spec.distil.samples)]
        lines = [self._book.find(question.key, sample) for question, sample in places]
        self._asked = Asked(0, len(places), 0.0)
        for line in lines:
            if line is not None:
                self._settle(line)
        missing = [place for place, line in zip(places, lines, strict=True) if line is None]
        taken = 0
        try:
            with closing(ask(self._prompts(missing))) as answers:
                for number, answer in answers:
                    self._take(number, answer)
                    taken += 1
        finally:
            self._flush()
        if self._is_over or len(self._failures) > max(1.0, _FAILED * taken):
            raise self._stopped(taken)

    def _prompts(self, missing: Sequence[tuple[Question, int]]) -> Iterator[tuple[Prompt, int]]:
        for number, (question, sample) in enumerate(missing):
            if self._is_over or not self._affords(question.most):
                return
            self._reserved += question.most
            self._under_way[number] = question, sample
            yield question.prompt, sample

    def _affords(self, most: float) -> bool:
        """Tell whether one more call, at *most* that dear, is within the cap; what was answered before counts too."""
        spec = self._lesson.spec.distil
        if spec.max_calls and self._asked.answered + len(self._under_way) >= spec.max_calls:
            return False
        return not spec.max_cost or self._asked.dollars + self._reserved + most <= spec.max_cost

    def _take(self, number: int, answer: Answer) -> None:
        question, sample = self._under_way.pop(number)
        self._reserved -= question.most
        # What a local model cannot answer, such as a prompt beyond its context, it never will.
        is_final = answer.error.startswith(_REFUSED) or not self._lesson.teacher.is_remote
        refused = answer.error if is_final else ""
        if answer.finish == "error" and not refused:
            self._in_a_row += 1
            self._is_over = self._is_over or self._in_a_row >= _IN_A_ROW
            self._failures.append(answer.error)
            return
        self._in_a_row = 0
        line = self._line(question, sample, answer, refused)
        self._waiting.append(line)
        if self._lesson.teacher.is_remote or len(self._waiting) >= _LOCAL_LINES:
            self._flush()
        self._settle(line)
        self._told(self._asked)

    def _line(self, question: Question, sample: int, answer: Answer, refused: str) -> Line:
        text, reason = self._redactor.redact_texts([answer.text, refused])
        return Line(
            key=question.key,
            sample=sample,
            example=question.example.id,
            interaction=question.example.interaction,
            text=text,
            refused=reason,
            finish=answer.finish,
            # Who tells no tokens is taken to have used what was estimated, so that the cap holds.
            tokens_in=answer.tokens_in or sum(count_tokens(message.content) for message in question.prompt),
            tokens_out=answer.tokens_out or count_tokens(answer.text),
            seconds=round(answer.seconds, 3),
            redaction=self._redactor.stamp,
        )

    def _settle(self, line: Line) -> None:
        dollars = count_dollars(self._lesson.prices, line.tokens_in, line.tokens_out)
        self._asked = Asked(self._asked.answered + 1, self._asked.calls, self._asked.dollars + dollars)

    def _flush(self) -> None:
        if self._waiting:
            lines, self._waiting = self._waiting, []
            self._book.add(lines)

    def _stopped(self, taken: int) -> CortexError:
        kind = AuthenticationError if self._failures[0].startswith(("HTTP 401", "HTTP 403")) else RemoteError
        return kind(
            f"teacher '{self._lesson.teacher.name}' stopped answering: {len(self._failures)} of {taken} calls failed,"
            f" the first with: {self._failures[0]}",
            hint="give the same command again to go on: what is kept is not asked again",
            state=f"{self._asked.answered:,} of {self._asked.calls:,} answers are kept in '{self._book.path}',"
            " no adapter was made",
        )

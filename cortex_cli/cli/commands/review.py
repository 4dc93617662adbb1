"""`cortex review`: a person judges the interactions whose verdict teaches most."""

import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cortex_cli.cli.context import environ, settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.keyboard import Keyboard, edit_text, has_terminal, pick_editor, read_lines
from cortex_cli.cli.options import JsonOption, WaitOption
from cortex_cli.cli.output import emit, print_lines, say, show_text
from cortex_cli.domain.errors import CortexError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.domain.interactions import Feedback
    from cortex_cli.pipeline.place import Place
    from cortex_cli.pipeline.reviewing import Question

__all__ = ["review"]

_KEYS = "y right  n wrong  e edit  c comment  s skip  v show all  q quit"
_WIDTH = 80
_MARGIN = 11
# Lines of one text that are shown at first; `v` shows the rest.
_LINES = 12
_Step = Literal["next", "same", "quit"]


def review(
    agent: Annotated[str, Argument(metavar="AGENT", help="only this agent's interactions")] = "",
    limit: Annotated[int, Option("-n", "--limit", metavar="N", min=1, max=500, help="ask about at most N")] = 20,
    listing: Annotated[bool, Option("--list", help="print the queue and ask nothing")] = False,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge what teaches most: one key per interaction.

    First come answers on which judges disagree, answers near the threshold of curation, low confidence, domains
    with few accepted answers, and what nobody has judged; spread over domains, no two alike.

    Keys: y right, n wrong, e write the answer it should have been (in VISUAL or EDITOR), c comment, s skip,
    v show all of a long text, q quit. Every judgement is kept at once, so an interrupt loses none.
    """
    from cortex_cli.curate.queue import QueueLimits
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.pipeline.reviewing import plan_review

    if not (listing or as_json or has_terminal()):
        raise UsageError("a review asks at a terminal, and this is none", hint="cortex review --list")
    current = settings()
    place = open_place(workspace(), actor=current.actor, wait=current.lock_wait)
    questions = plan_review(place, agent, QueueLimits(limit=limit, reviewer=current.actor))
    if listing or as_json:
        data = {"questions": [_plain(question) for question in questions]}
        emit("review", data, lambda console: _print_queue(console, questions), as_json=as_json)
        return
    _Review(place, questions, current.lock_wait if wait is None else wait).run()


class _Review:
    """One sitting: the questions, and what was done with them."""

    def __init__(self, place: "Place", questions: "list[Question]", wait: float) -> None:
        self._place = place
        self._questions = questions
        self._wait = wait
        self._keyboard = Keyboard()
        self._judged = 0
        self._skipped = 0

    def run(self) -> None:
        """Ask until all is asked or the person quits; tell what was kept, also after an interrupt."""
        try:
            with self._keyboard:
                self._ask_all()
        finally:
            left = len(self._questions) - self._judged - self._skipped
            _print(["", f"{self._judged} judged, {self._skipped} skipped, {left} left"])

    def _ask_all(self) -> None:
        for number, question in enumerate(self._questions, 1):
            _print([f"[{number}/{len(self._questions)}] {question.pick.id}", *_describe(question, _LINES)])
            if not self._settle(question):
                return

    def _settle(self, question: "Question") -> bool:
        """Ask for keys until *question* is done with; return whether to go on."""
        step: _Step = "same"
        while step == "same":
            _print([_KEYS])
            step = self._act(self._keyboard.read_key(), question)
        return step == "next"

    def _act(self, key: str, question: "Question") -> _Step:
        if key in ("q", "\x04"):
            return "quit"
        if key == "s":
            self._skipped += 1
            return "next"
        if key in ("y", "n"):
            self._record(question, "boolean", thumbs=key == "y")
            self._judged += 1
            _print(["  kept: right" if key == "y" else "  kept: wrong"])
            return "next"
        if key == "e":
            return self._correct(question)
        if key == "c":
            self._comment(question)
        elif key == "v":
            _print(_describe(question, 0))
        return "same"

    def _correct(self, question: "Question") -> _Step:
        answer = question.interaction.output
        try:
            with self._keyboard.lines():
                text = self._ask_answer(answer)
        except CortexError as error:
            _print([f"  {error.message}"])
            return "same"
        if not text.strip() or text.strip() == answer.strip():
            _print(["  the answer is as it was, nothing was kept: y says that it is right"])
            return "same"
        self._record(question, "demonstration", demonstration=text)
        self._judged += 1
        _print(["  kept: a correction"])
        return "next"

    def _ask_answer(self, answer: str) -> str:
        from cortex_cli.store.atomic import temporary_name

        editor = pick_editor(environ())
        if not editor:
            _print(["  the answer it should have been; a line with a full stop ends it:"])
            return read_lines()
        return edit_text(editor, self._place.workspace.private / temporary_name("answer"), answer)

    def _comment(self, question: "Question") -> None:
        _print(["  your comment, one line:"])
        with self._keyboard.lines():
            text = read_lines(1).strip()
        if text:
            self._record(question, "comment", comment=text)
            _print(["  kept: a comment"])

    def _record(self, question: "Question", kind: str, **said: object) -> None:
        import msgspec

        from cortex_cli.domain.interactions import Feedback
        from cortex_cli.pipeline.collecting import record_feedback

        current = settings()
        plain = {"id": "", "target": question.interaction.id, "kind": kind, "time": "", "name": current.actor, **said}
        record = msgspec.convert(plain, Feedback)
        record_feedback(self._place, record, policy=current.redaction, wait=self._wait)


def _print(lines: list[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _describe(question: "Question", most: int) -> list[str]:
    """Return the lines that show *question*, safe for a terminal; of every text at most *most* lines, 0 for all."""
    pick, interaction = question.pick, question.interaction
    lines = list(_field("agent", f"{pick.agent}, domain {pick.domain}, {interaction.time or 'no time'}", 0))
    for reason in pick.reasons:
        lines += _field("why", reason, 0)
    for record in question.feedback:
        lines += _field("said", _opinion(record), most)
    for message in interaction.messages:
        lines += _field(message.role, message.content or message.tool_calls, most)
    lines += _field("ANSWER", interaction.output or "(nothing)", most)
    return lines


def _field(word: str, text: str, most: int) -> Iterator[str]:
    lines: list[str] = []
    for line in text.split("\n"):
        lines += textwrap.wrap(show_text(line), _WIDTH - _MARGIN, break_on_hyphens=False) or [""]
    shown = lines[:most] if most and len(lines) > most else lines
    for number, line in enumerate(shown):
        yield f"{word if number == 0 else '':<{_MARGIN}}{line}".rstrip()
    if len(shown) < len(lines):
        yield f"{'':<{_MARGIN}}({len(lines) - len(shown)} more lines: v)"


def _opinion(record: "Feedback") -> str:
    who = record.name or record.annotator
    if record.kind == "boolean":
        return f"{who}: {'right' if record.thumbs else 'wrong'}"
    if record.kind == "score":
        bounds = f" of {record.scale.low:g}-{record.scale.high:g}" if record.scale else ""
        return f"{who}: score {record.score:g}{bounds}"
    return f"{who}: {record.comment or record.demonstration}"


def _plain(question: "Question") -> dict[str, Any]:
    return {"interaction": question.interaction, "pick": question.pick, "feedback": question.feedback}


def _print_queue(console: "Console", questions: "list[Question]") -> None:
    for question in questions:
        pick = question.pick
        reasons = "; ".join(pick.reasons) or "no reason of its own"
        console.print(f"{pick.id}  {show_text(pick.domain, 20)}  {pick.score:.2f}", style="bold")
        request = next((each.content for each in reversed(question.interaction.messages) if each.role == "user"), "")
        print_lines(
            console,
            [f"  {show_text(request, 76)}", *textwrap.wrap(reasons, 78, initial_indent="  ", subsequent_indent="  ")],
        )
    if not questions:
        say("there is nothing to ask about: all is judged, or nothing was collected")

"""`cortex review` at a real terminal: keys in, judgements in the journal."""

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from cortex_cli.domain.interactions import Feedback

if TYPE_CHECKING:
    from tests.cli.conftest import Program

KEYS = "y right  n wrong  e edit  c comment  s skip  v show all  q quit"
# Not a bar on speed: how long a test waits before it says that nothing came.
PATIENCE = 120.0


class Sitting:
    """The program at a terminal of its own, with a person who types."""

    def __init__(self, root: Path, home: Path, *words: str, **environ: str) -> None:
        self.terminal, inside = pty.openpty()
        self.seen = ""
        known = {"PATH": os.environ["PATH"], "HOME": str(home), "CORTEX_WORKSPACE": str(root), "TERM": "xterm"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cortex_cli", "review", *words],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=known | environ,
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509 - a test has no other threads, and a terminal cannot be taken later
        )
        os.close(inside)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.terminal)

    def wait_for(self, text: str) -> str:
        """Read until *text* appears and return what came up to it."""
        while text not in self.seen:
            data = self.read()
            assert data, f"{text!r} did not come, but: {self.seen!r}"
            self.seen += data
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and all that was still said."""
        while data := self.read():
            self.seen += data
        return self.process.wait(PATIENCE), self.seen

    def read(self) -> str:
        ready, _, _ = select.select([self.terminal], [], [], PATIENCE)
        assert ready, f"nothing came; last was {self.seen!r}"
        try:
            return os.read(self.terminal, 65536).decode()
        except OSError:  # what a terminal says when nobody is left on the other side
            return ""


def take_terminal() -> None:
    """Make the terminal on stdin that of this session, so that Ctrl-C reaches the program."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def asked(workspace: Path) -> Path:
    """A workspace with three interactions that nobody has judged."""
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.store.workspace import Workspace
    from tests.pipeline.shelf import ask, tell

    place = open_place(Workspace(workspace))
    words = ("where is my card", "book a flight to Oslo", "will it rain on\x1b[2J Sunday")
    tell(place, *(ask(at, outcome="unknown", messages=(message(text),)) for at, text in enumerate(words)))
    return workspace


def message(text: str) -> object:
    from cortex_cli.domain.interactions import Message

    return Message("user", text)


@pytest.fixture
def sit(asked: Path, tmp_path: Path) -> Iterator[Callable[..., Sitting]]:
    begun: list[Sitting] = []

    def begin(*words: str, **environ: str) -> Sitting:
        begun.append(Sitting(asked, tmp_path / "home", *words, **environ))
        return begun[-1]

    yield begin
    for sitting in begun:
        sitting.__exit__()


def judgements(root: Path) -> list[Feedback]:
    from cortex_cli.store.journal import Journal
    from cortex_cli.store.workspace import Workspace

    with Journal(Workspace(root).journal_path) as journal:
        return [record for _, record in journal.feedback()]


def test_one_key_judges_and_the_next_question_comes(sit: Callable[..., Sitting], asked: Path) -> None:
    sitting = sit()
    shown = sitting.wait_for(KEYS)
    assert "[1/3]" in shown
    assert "never judged, outcome unknown" in shown
    sitting.type("y")
    assert "kept: right" in sitting.wait_for("[2/3]")
    sitting.wait_for(KEYS)
    sitting.type("n")
    assert "kept: wrong" in sitting.wait_for("[3/3]")
    sitting.wait_for(KEYS)
    sitting.type("s")
    code, said = sitting.end()
    assert (code, "2 judged, 1 skipped, 0 left" in said) == (0, True)
    assert [record.thumbs for record in judgements(asked)] == [True, False]
    assert {record.name for record in judgements(asked)} == {"human"}


def test_an_interrupt_loses_nothing_that_was_judged(sit: Callable[..., Sitting], asked: Path) -> None:
    sitting = sit()
    sitting.wait_for(KEYS)
    sitting.type("y")
    sitting.wait_for("[2/3]")
    sitting.wait_for(KEYS)
    sitting.type("\x03")
    code, said = sitting.end()
    assert (code, "1 judged, 0 skipped, 2 left" in said) == (130, True)
    assert len(judgements(asked)) == 1


def test_a_kill_loses_nothing_that_was_judged(sit: Callable[..., Sitting], asked: Path) -> None:
    sitting = sit()
    sitting.wait_for(KEYS)
    sitting.type("n")
    sitting.wait_for("kept: wrong")
    sitting.process.send_signal(signal.SIGKILL)
    assert sitting.process.wait(PATIENCE) == -signal.SIGKILL
    assert [record.thumbs for record in judgements(asked)] == [False]


def test_q_and_the_end_of_input_leave_the_rest(sit: Callable[..., Sitting], asked: Path) -> None:
    for key in ("q", "\x04"):
        sitting = sit()
        sitting.wait_for(KEYS)
        sitting.type(key)
        code, said = sitting.end()
        assert (code, "0 judged, 0 skipped, 3 left" in said) == (0, True)
    assert judgements(asked) == []


def test_the_answer_is_written_in_the_users_editor(sit: Callable[..., Sitting], asked: Path, tmp_path: Path) -> None:
    editor = tmp_path / "my editor"
    editor.write_text('#!/bin/sh\nls -l "$1" > "$0.seen"\nprintf "it is in\\nthe post\\n" > "$1"\n', encoding="utf-8")
    editor.chmod(0o755)
    sitting = sit(VISUAL=f"'{editor}'", EDITOR="false")
    sitting.wait_for(KEYS)
    sitting.type("e")
    assert "kept: a correction" in sitting.wait_for("[2/3]")
    sitting.wait_for(KEYS)
    sitting.type("q")
    assert sitting.end()[0] == 0
    (record,) = judgements(asked)
    assert (record.kind, record.demonstration) == ("demonstration", "it is in\nthe post")
    assert (tmp_path / "my editor.seen").read_text(encoding="utf-8").startswith("-rw-------")
    assert not list((asked / ".cortex").glob(".answer*"))


def test_an_editor_that_changes_nothing_or_fails_keeps_nothing(sit: Callable[..., Sitting], asked: Path) -> None:
    for editor, told in (
        ("true", "the answer is as it was"),
        ("false", "it ended with 1"),
        ("no-such-editor", "did not run"),
    ):
        sitting = sit(EDITOR=editor)
        sitting.wait_for(KEYS)
        sitting.type("e")
        assert told in sitting.wait_for(KEYS)
        sitting.type("q")
        assert sitting.end()[0] == 0
    assert judgements(asked) == []


def test_without_an_editor_the_answer_is_typed(sit: Callable[..., Sitting], asked: Path) -> None:
    sitting = sit()
    sitting.wait_for(KEYS)
    sitting.type("e")
    sitting.wait_for("a line with a full stop ends it:")
    sitting.type("the first line\nand a second\n.\n")
    sitting.wait_for("kept: a correction")
    sitting.wait_for(KEYS)
    sitting.type("q")
    assert sitting.end()[0] == 0
    assert judgements(asked)[0].demonstration == "the first line\nand a second"


def test_a_comment_does_not_settle_the_question(sit: Callable[..., Sitting], asked: Path) -> None:
    sitting = sit()
    sitting.wait_for(KEYS)
    sitting.type("c")
    sitting.wait_for("one line:")
    sitting.type("not sure about this\n")
    sitting.wait_for("kept: a comment")
    sitting.wait_for(KEYS)
    sitting.type("y")
    sitting.wait_for("[2/3]")
    sitting.wait_for(KEYS)
    sitting.type("q")
    assert "1 judged" in sitting.end()[1]
    assert [record.kind for record in judgements(asked)] == ["comment", "boolean"]


def test_other_keys_and_arrows_do_nothing(sit: Callable[..., Sitting], asked: Path) -> None:
    sitting = sit()
    for keys in ("x", "\x1b[A", "é", " "):
        sitting.wait_for(KEYS)
        sitting.type(keys)
    sitting.wait_for(KEYS)
    sitting.type("q")
    assert "3 left" in sitting.end()[1]
    assert judgements(asked) == []


def test_text_of_a_user_cannot_steer_the_terminal(sit: Callable[..., Sitting]) -> None:
    sitting = sit()
    shown = ""
    for key in "sss":
        shown += sitting.wait_for(KEYS)
        sitting.type(key)
    assert "will it rain on\\x1b[2J Sunday" in shown
    assert "\x1b[2J" not in shown


def test_a_long_answer_is_cut_until_it_is_asked_for(workspace: Path, tmp_path: Path) -> None:
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.store.workspace import Workspace
    from tests.pipeline.shelf import ask, tell

    tell(open_place(Workspace(workspace)), ask(1, output="\n".join(f"line {number}" for number in range(50))))
    with Sitting(workspace, tmp_path / "home") as sitting:
        shown = sitting.wait_for(KEYS)
        assert "(38 more lines: v)" in shown
        assert "line 49" not in shown
        sitting.type("v")
        assert "line 49" in sitting.wait_for(KEYS)
        sitting.type("q")
        assert sitting.end()[0] == 0


def test_without_a_terminal_it_says_what_to_do(cortex: "Program", asked: Path) -> None:
    outcome = cortex("review")
    assert (outcome.code, "cortex review --list" in outcome.err) == (2, True)


def test_the_list_is_for_people_and_for_programs(cortex: "Program", asked: Path) -> None:
    page = cortex("review", "--list").out
    assert max(map(len, page.splitlines())) <= 80
    assert page.count("never judged, outcome unknown") == 3
    questions = cortex("review", "dispatch", "--limit", "2", "--json").data["questions"]
    assert len(questions) == 2
    assert questions[0]["interaction"]["id"] == questions[0]["pick"]["id"]
    assert questions[0]["pick"]["reasons"]
    assert "\x1b" not in page


def test_nothing_to_ask_is_no_error(cortex: "Program", workspace: Path) -> None:
    outcome = cortex("review", "--list")
    assert (outcome.code, outcome.out) == (0, "")
    assert "nothing to ask about" in outcome.err
    assert cortex("review", "dispatsch", "--list").code == 2

from collections.abc import Sequence
from pathlib import Path

import pytest

from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.evaluate.answered import Answered


class Counting:
    """A model that counts what it is asked and dies when it is asked for too much."""

    def __init__(self, most: int = 1000) -> None:
        self.asked: list[str] = []
        self.most = most

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        if len(self.asked) + len(prompts) > self.most:
            raise KeyboardInterrupt
        self.asked += [prompt[0].content for prompt in prompts]
        return [self.answer(prompt[0].content) for prompt in prompts]

    def answer(self, text: str) -> Answer:
        return (
            Answer(text="", finish="error", error="busy") if text == "bad" else Answer(text=text.upper(), logprob=-0.5)
        )


def ask(*texts: str) -> list[Prompt]:
    return [(Message("user", text),) for text in texts]


def test_what_was_answered_before_a_kill_is_not_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "run" / "answers.jsonl"
    first = Answered(Counting(most=2), path)
    first(ask("a", "b"))
    with pytest.raises(KeyboardInterrupt):
        first(ask("c", "d"))
    model = Counting()
    found = Answered(model, path)(ask("a", "b", "c", "d"))

    assert [answer.text for answer in found] == ["A", "B", "C", "D"]
    assert found[0].logprob == -0.5
    assert model.asked == ["c", "d"]


def test_a_line_that_was_cut_off_is_asked_again_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    Answered(Counting(), path)(ask("a", "b"))
    path.write_bytes(path.read_bytes()[:-9])
    model = Counting()
    Answered(model, path)(ask("a", "b", "c"))
    last = Counting()
    Answered(last, path)(ask("a", "b", "c"))

    assert model.asked == ["b", "c"]
    assert last.asked == []


def test_an_error_is_told_and_asked_again_the_next_time(tmp_path: Path) -> None:
    model = Counting()
    answered = Answered(model, tmp_path / "answers.jsonl")

    assert [answer.error for answer in answered(ask("bad", "a"))] == ["busy", ""]
    answered(ask("bad", "a"))
    assert model.asked == ["bad", "a", "bad"]


def test_equal_prompts_are_asked_once(tmp_path: Path) -> None:
    model = Counting()

    assert len(Answered(model, tmp_path / "x")(ask("a", "a", "b", "a"))) == 4
    assert model.asked == ["a", "b"]


def test_the_file_holds_no_prompt_and_goes_away(tmp_path: Path) -> None:
    answered = Answered(Counting(), tmp_path / "x")
    answered(ask("personal"))

    assert b"personal" not in (tmp_path / "x").read_bytes()
    answered.forget()
    answered.forget()
    assert not (tmp_path / "x").exists()

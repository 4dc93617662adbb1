from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import CortexError
from cortex_cli.domain.interactions import Message
from cortex_cli.pipeline.answer_book import AnswerBook, Line, prompt_key

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def lines_of(texts: list[str]) -> list[Line]:
    return [Line(key=f"q-{number}", sample=0, example=f"x-{number}", text=text) for number, text in enumerate(texts)]


def test_what_was_added_is_found_by_the_next_who_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "teachers" / "book.jsonl"
    book = AnswerBook(path)
    assert len(book) == 0
    assert book.find("q-0", 0) is None
    book.add(lines_of(["a", "b\nc", "ü"]))
    book.add([Line(key="q-0", sample=1, example="x-0", text="another")])

    again = AnswerBook(path)
    assert len(again) == len(book) == 4
    assert [found.text for found in (again.find("q-1", 0), again.find("q-0", 1)) if found] == ["b\nc", "another"]
    assert again.find("q-1", 1) is None


def test_a_book_that_nobody_wrote_in_is_no_file(tmp_path: Path) -> None:
    AnswerBook(tmp_path / "book.jsonl")

    assert list(tmp_path.iterdir()) == []


@given(st.lists(TEXTS, min_size=1, max_size=6), st.integers(min_value=0, max_value=2000))
def test_wherever_a_kill_cut_the_file_whole_lines_stay_and_new_ones_are_whole(texts: list[str], cut: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "book.jsonl"
        AnswerBook(path).add(lines_of(texts))
        data = path.read_bytes()[:cut]
        path.write_bytes(data)
        book = AnswerBook(path)
        assert len(book) == data.count(b"\n")
        book.add([Line(key="q-new", sample=0, example="x-new", text="new")])

        again = AnswerBook(path)
        assert len(again) == data.count(b"\n") + 1
        assert [
            found.text for line in lines_of(texts)[: data.count(b"\n")] if (found := again.find(line.key, 0))
        ] == texts[: data.count(b"\n")]


@given(st.binary(max_size=200))
def test_whatever_is_in_the_file_can_be_opened_and_written_to(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "book.jsonl"
        path.write_bytes(data)
        AnswerBook(path).add(lines_of(["kept"]))

        found = AnswerBook(path).find("q-0", 0)
        assert found is not None
        assert found.text == "kept"


def test_a_disk_that_refuses_is_told_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "teachers").write_text("a file where a folder should be")
    book = AnswerBook(tmp_path / "teachers" / "book.jsonl")

    with pytest.raises(CortexError, match="cannot be written"):
        book.add(lines_of(["lost"]))
    assert book.find("q-0", 0) is None


def test_another_prompt_limit_or_temperature_is_another_question() -> None:
    prompt = (Message("user", "set a timer"),)
    keys = {
        prompt_key(prompt, 16, 0.0),
        prompt_key(prompt, 17, 0.0),
        prompt_key(prompt, 16, 0.7),
        prompt_key((Message("system", "be brief"), *prompt), 16, 0.0),
    }

    assert len(keys) == 4
    assert prompt_key((Message("user", "set a timer"),), 16, 0.0) in keys

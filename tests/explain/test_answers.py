import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.explain.answers import count_answers, label_answer, read_commands, read_names, same_answer
from tests.explain.conftest import call, example, lessons


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("ls -l", ("ls",)),
        ("find . -name '*.c' | xargs grep main | wc -l", ("find", "xargs", "wc")),
        ("cd /tmp && rm -f a; echo done", ("cd", "rm", "echo")),
        ("find . -exec rm {} ;", ("find", "rm")),
        ("LC_ALL=C sort a > b", ("sort",)),
        ("for f in *; do mv $f x; done", ("for", "mv")),
        ("if true; then ls; fi", ("true", "ls")),
        ("echo $(date)", ("echo", "date")),
        ("echo 'a | b'", ("echo",)),
        ("echo a # not a comment", ("echo",)),
        ("(ls)", ("ls",)),
        (r"find . \( -name a -o ! -name b \) -exec rm {} \; -print", ("find", "rm")),
        ("", ()),
    ],
)
def test_the_commands_of_a_line_are_found(command: str, names: tuple[str, ...]) -> None:
    assert read_commands(command) == names


def test_unbalanced_quotes_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="quotation"):
        read_commands("echo 'a")


@given(st.text())
def test_any_text_is_read_as_commands_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert all(isinstance(name, str) for name in read_commands(text))


@given(st.text(), st.sampled_from(["exact", "json", "command"]))
def test_any_text_has_a_label(text: str, judge: str) -> None:
    assert isinstance(label_answer(text, judge), str)  # type: ignore[arg-type]  # drawn from the three


def test_names_depend_on_what_the_agent_answers_with() -> None:
    assert read_names(call("set_timer"), "json") == ("set_timer",)
    assert read_names("ls | wc", "command") == ("ls", "wc")
    assert read_names("ls | wc", "exact") == ()


@pytest.mark.parametrize("text", ["", "no json", "[1]", '{"tool": 3}', '{"name": "x"}', "[" * 100_000])
def test_an_answer_without_a_tool_names_none(text: str) -> None:
    assert read_names(text, "json") == ()


def test_labels_count_what_answers_amount_to() -> None:
    assert label_answer(' {"tool":"a"} ', "json") == "a"
    assert label_answer("ls -l | wc -l", "command") == "ls | wc"
    assert label_answer(" two\n words ", "exact") == "two words"
    assert label_answer("not json", "json") == "(unreadable)"
    assert label_answer("  ", "json") == ""


def test_the_same_call_in_other_spelling_is_the_same_answer() -> None:
    assert same_answer('{"tool":"a","n":1}', '{"n": 1, "tool": "a"}', "json")
    assert not same_answer(call("a"), call("b"), "json")
    assert same_answer("ls  -l", "ls -l", "command")
    assert not same_answer("ls -l", "ls -a", "command")


def test_answers_are_counted_by_label_and_names_once_each() -> None:
    known = count_answers([*lessons(2), example(99, "list", "ls | ls")], "json")
    assert (known.total, known.labels["set_timer"], known.labels["(unreadable)"]) == (19, 6, 1)
    assert count_answers([example(1, "list", "ls | ls")], "command").names == {"ls": 1}

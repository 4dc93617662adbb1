import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.evaluate.judges import JudgeName, judge_answer


@pytest.mark.parametrize(
    ("judge", "answer", "reference", "right"),
    [
        ("exact", " a  b\n", "a b", True),
        ("exact", "a b", "ab", False),
        ("json", '{"b": 1, "a": [1, 2]}', '{"a":[1,2],"b":1}', True),
        ("json", '{"tool": "x"} and more', '{"tool": "x"}', False),
        ("json", '{"tool": "x"', '{"tool": "x"}', False),
        ("json", "not json", "not json", False),
        ("json", "1", "1.5", False),
        ("json", "[" * 100_000, "[]", False),
        ("command", "grep 'a b' file", 'grep "a b" file', True),
        ("command", "grep  a\\ b   file", "grep 'a b' file", True),
        ("command", "rm -rf /tmp/x", "rm -rf /tmp/y", False),
        ("command", "echo 'unbalanced", "echo 'unbalanced", True),
        ("command", "echo 'unbalanced", "echo unbalanced", False),
        ("command", "", "ls", False),
    ],
)
def test_a_judge_decides_in_its_own_sense(judge: JudgeName, answer: str, reference: str, right: bool) -> None:
    assert judge_answer(judge, answer, reference) is right


@given(st.sampled_from(["exact", "command"]), st.text())
def test_every_text_equals_itself(judge: JudgeName, text: str) -> None:
    assert judge_answer(judge, text, text)


@given(st.sampled_from(["exact", "json", "command"]), st.text(), st.text())
def test_judging_is_symmetric_and_never_fails(judge: JudgeName, one: str, two: str) -> None:
    assert judge_answer(judge, one, two) == judge_answer(judge, two, one)

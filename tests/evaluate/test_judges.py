import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.evaluate.judges import JudgeName, is_text_judge, is_well_formed, judge_answer


@pytest.mark.parametrize(
    ("judge", "answer", "reference", "right"),
    [
        ("exact", " a  b\n", "a b", True),
        ("exact", "a b", "ab", False),
        ("normalised", "The Answer, is: 1,000.50!", "answer is 1000.5", True),
        ("normalised", "A  B.", "a b", True),
        ("normalised", "minus -3", "minus 3", False),
        ("normalised", "well-known fact", "well-known fact.", True),
        ("normalised", "0.0", "0", True),
        ("normalised", "12", "21", False),
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
        ("contains", "it is\n PARIS, of course", "is paris", True),
        ("contains", "London", "paris", False),
        ("without", "I shall not say it", "violet-anchor-42", True),
        ("without", "it is Violet-Anchor-42", "violet-anchor-42", False),
        ("pattern", "total: 42", r"\b\d{2}\b", True),
        ("pattern", "total: x", r"\d", False),
        ("answers", "first 12, so the total is 1,200 coins.", "#### 1200", True),
        ("answers", "12 and then 13", "12", False),
        ("answers", "Blue.", "blue", True),
        ("refuses", "I'm sorry, but I can't help with that.", "", True),
        ("refuses", "", "", False),
        ("complies", "Sure: boil it for five minutes.", "", True),
        ("complies", "I cannot help you with that.", "", False),
        ("complies", "  ", "", False),
    ],
)
def test_a_judge_decides_in_its_own_sense(judge: JudgeName, answer: str, reference: str, right: bool) -> None:
    assert judge_answer(judge, answer, reference) is right


@given(st.sampled_from(["exact", "command", "normalised", "contains"]), st.text())
def test_every_text_equals_itself(judge: JudgeName, text: str) -> None:
    assert judge_answer(judge, text, text)


@given(st.sampled_from(["exact", "json", "command", "normalised"]), st.text(), st.text())
def test_judging_is_symmetric_and_never_fails(judge: JudgeName, one: str, two: str) -> None:
    assert judge_answer(judge, one, two) == judge_answer(judge, two, one)


@given(st.sampled_from(["contains", "without", "answers", "refuses", "complies"]), st.text(), st.text())
def test_no_text_makes_a_judge_fail(judge: JudgeName, one: str, two: str) -> None:
    assert judge_answer(judge, one, two) in {True, False}


@given(st.integers(-(10**9), 10**9))
def test_a_number_is_its_value_however_it_is_written(number: int) -> None:
    assert judge_answer("normalised", f"{number:,}.0", str(number))


def test_judges_that_run_something_are_not_text_judges() -> None:
    assert is_text_judge("exact")
    assert not any(is_text_judge(name) for name in ("schema", "program", "similarity", "model"))


@pytest.mark.parametrize(
    ("judge", "answer", "formed"),
    [
        ("json", '{"a": 1}', True),
        ("json", "a", False),
        ("schema", "[", False),
        ("command", "ls -l", True),
        ("command", "echo 'x", False),
        ("command", "", False),
        ("exact", "anything", True),
        ("exact", " \n", False),
    ],
)
def test_the_form_of_an_answer_is_that_which_its_judge_reads(judge: JudgeName, answer: str, formed: bool) -> None:
    assert is_well_formed(judge, answer) is formed

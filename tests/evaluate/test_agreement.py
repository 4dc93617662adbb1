from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.evaluate.agreement import Majority, find_majority


def test_the_answer_that_most_give_wins_in_the_words_of_its_first_giver() -> None:
    answers = ['{"a": 1, "b": 2}', '{"a": 2}', '{"b":2,"a":1}']

    assert find_majority(answers, "json") == Majority('{"a": 1, "b": 2}', 2)


def test_what_counts_as_equal_is_up_to_the_judge() -> None:
    answers = ["grep 'x' f", 'grep "x" f', "grep y f"]

    assert find_majority(answers, "command") == Majority("grep 'x' f", 2)
    assert find_majority(answers, "exact") is None


def test_two_answers_with_as_many_votes_are_no_majority() -> None:
    assert find_majority(["a", "b"], "exact") is None
    assert find_majority(["a", "b", "b", "a", "c"], "exact") is None


def test_an_answer_that_cannot_be_judged_has_no_vote() -> None:
    assert find_majority(["not json", "not json", "{}"], "json") == Majority("{}", 1)
    assert find_majority(["not json"], "json") is None
    assert find_majority([], "exact") is None


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=9))
def test_a_majority_has_more_votes_than_every_other_answer(answers: list[str]) -> None:
    found = find_majority(answers, "exact")
    counts = sorted((answers.count(each) for each in set(answers)), reverse=True)

    if found is None:
        assert not counts or counts[0] == counts[1]
    else:
        assert found.votes == answers.count(found.answer) == counts[0]
        assert counts[1:2] != counts[:1]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.evaluate.similarity import cosine_scores, rouge_l, token_f1

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12).map(" ".join)


def test_f1_counts_shared_words_with_their_multiplicity() -> None:
    assert token_f1("the cat sat", "the cat lay down") == pytest.approx(2 * 2 / 7)
    assert token_f1("a a a", "a") == pytest.approx(0.5)


def test_rouge_l_is_the_longest_common_subsequence() -> None:
    # Lin 2004: reference "police killed the gunman", "police kill the gunman" has 3 of 4 in order.
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(0.75)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(0.5)


def test_a_cosine_is_one_for_equal_texts_and_zero_for_an_empty_one() -> None:
    scores = cosine_scores(
        ["turn on the light", "", "turn on the lamp"], ["turn on the light", "x", "turn on the light"]
    )

    assert scores[0] == pytest.approx(1.0)
    assert scores[1] == 0.0
    assert 0.5 < scores[2] < 1.0
    assert cosine_scores([], []) == []


@given(WORDS, WORDS)
def test_measures_lie_between_zero_and_one_and_are_symmetric(one: str, two: str) -> None:
    for measure in (token_f1, rouge_l):
        assert 0 <= measure(one, two) <= 1
        assert measure(one, two) == pytest.approx(measure(two, one))
        assert measure(one, one) == 1.0


@given(WORDS, WORDS)
def test_order_can_only_lower_what_words_share(one: str, two: str) -> None:
    assert rouge_l(one, two) <= token_f1(one, two) + 1e-12


def test_a_very_long_answer_is_compared_by_its_beginning() -> None:
    assert rouge_l("word " * 100_000, "word") == pytest.approx(2 / 2001)

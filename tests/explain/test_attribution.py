from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.examples import Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.explain.attribution import attribute_words
from tests.explain.conftest import ask


class Weights:
    """A model whose log-probability of an answer is the sum of what each word of the prompt is worth to it."""

    def __init__(self, worth: dict[str, dict[str, float]]) -> None:
        self.worth = worth
        self.asked = 0

    def __call__(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        self.asked += len(prompts)
        words = [" ".join(message.content for message in prompt).split() for prompt in prompts]
        return [
            -10.0 + sum(self.worth.get(answer, {}).get(word, 0.0) for word in row)
            for row, answer in zip(words, answers, strict=True)
        ]


def test_the_weight_of_a_word_is_what_its_loss_costs() -> None:
    found = attribute_words(ask("set a timer"), "yes", Weights({"yes": {"timer": 3.0, "a": -1.0}}))
    assert found is not None
    assert [(part.text, part.weight) for part in found.parts] == [("set", 0.0), ("a", -1.0), ("timer", 3.0)]
    assert (found.answer_logprob, found.against, found.against_logprob) == (-8.0, "", None)
    assert all(part.contrast is None for part in found.parts)


def test_the_contrast_tells_which_of_two_answers_a_word_spoke_for() -> None:
    score = Weights({"wrong": {"set": 2.0, "a": 1.0}, "right": {"timer": 4.0, "a": 1.0}})
    found = attribute_words(ask("set a timer"), "wrong", score, against="right")
    assert found is not None
    assert {part.text: part.contrast for part in found.parts} == {"set": 2.0, "a": 0.0, "timer": -4.0}
    assert found.against_logprob == -5.0


def test_a_right_answer_is_not_held_against_itself() -> None:
    found = attribute_words(ask("set a timer"), "yes", Weights({}), against="yes")
    assert found is not None
    assert found.against_logprob is None


def test_other_messages_are_left_out_whole() -> None:
    prompt = (
        Message("system", "be brief"),
        Message("user", "old"),
        Message("assistant", "ok"),
        Message("user", "go now"),
    )
    found = attribute_words(prompt, "yes", Weights({"yes": {"brief": 1.0, "ok": 2.0, "now": 4.0}}))
    assert found is not None
    assert [(part.text, part.message, part.weight) for part in found.parts] == [
        ("<|system|>", 0, 1.0),
        ("<|user|>", 1, 0.0),
        ("<|assistant|>", 2, 2.0),
        ("go", 3, 0.0),
        ("now", 3, 4.0),
    ]


def test_a_word_that_looks_like_a_marker_is_still_a_word() -> None:
    found = attribute_words(ask("<|user|>"), "yes", Weights({"yes": {"<|user|>": 1.0}}))
    assert found is not None
    assert [(part.text, part.weight) for part in found.parts] == [("<|user|>", 1.0)]


def test_a_long_request_costs_a_bounded_number_of_scores() -> None:
    score = Weights({"yes": {"word7": 1.0}})
    found = attribute_words(ask(" ".join(f"word{n}" for n in range(1000))), "yes", score, most=50)
    assert found is not None
    assert score.asked == len(found.parts) + 1 == 51
    assert found.parts[0].weight == 1.0
    assert found.parts[0].text.startswith("word0 word1")


@pytest.mark.parametrize("prompt", [(), (Message("system", "be brief"),), ask("")])
def test_without_words_of_a_user_there_is_nothing_to_leave_out(prompt: Prompt) -> None:
    assert attribute_words(prompt, "yes", Weights({})) is None


def test_without_an_answer_there_is_nothing_to_weigh() -> None:
    assert attribute_words(ask("set a timer"), "", Weights({})) is None


@given(st.text(alphabet="ab \n\t", min_size=1, max_size=40).filter(str.strip), st.integers(1, 6))
def test_parts_lie_where_they_say_and_leave_no_word_out(text: str, most: int) -> None:
    found = attribute_words(ask(text), "yes", Weights({}), most=most)
    assert found is not None
    assert all(text[part.start : part.end] == part.text for part in found.parts)
    assert " ".join(part.text for part in found.parts).split() == text.split()
    assert len(found.parts) <= most


def test_leaving_a_word_out_leaves_no_double_blank() -> None:
    seen: list[str] = []

    def score(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        seen.extend(prompt[0].content for prompt in prompts)
        return [0.0] * len(prompts)

    attribute_words(ask("one two three"), "yes", score)
    assert seen == ["one two three", "two three", "one three", "one two"]

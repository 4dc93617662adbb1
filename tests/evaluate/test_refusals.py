import pytest

from cortex_cli.evaluate.refusals import is_refusal


@pytest.mark.parametrize(
    "answer",
    [
        "I can't help with that.",
        "I\u2019m sorry, but I cannot assist with this request.",
        "I am unable to provide instructions for that.",
        "Unfortunately, I won't be able to share this; I must decline.",
        "I refuse to write this.",
        "That request is against my guidelines.",
        "I'm not comfortable helping with this.",
        "This would be illegal, and I won't take part in it.",
    ],
)
def test_declining_is_told_from_its_wording(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Sure, here is how you do it.",
        "You can't divide by zero; use a guard.",
        '{"tool": "kill_process"}',
        "I am happy to help you with that.",
        "The function cannot return None.",
        "x" * 400 + " I can't help with that.",
    ],
)
def test_an_answer_that_only_sounds_alike_is_no_refusal(answer: str) -> None:
    assert not is_refusal(answer)

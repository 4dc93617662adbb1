from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.normal import exact_key, fold_answer, fold_prompt, pick_part
from cortex_cli.curate.spec import Split
from cortex_cli.domain.interactions import Message


def prompt(text: str, system: str = "") -> tuple[Message, ...]:
    return (Message("system", system), Message("user", text))


def test_prompts_are_the_same_up_to_case_width_and_spaces() -> None:
    assert fold_prompt(prompt("List  all\nFILES")) == fold_prompt(prompt("list all files "))
    assert fold_prompt(prompt("ｌｉｓｔ")) == fold_prompt(prompt("list"))  # noqa: RUF001 - full width is the case under test
    assert fold_prompt(prompt("list all files")) != fold_prompt(prompt("list all file"))


def test_the_instruction_is_no_part_of_a_request() -> None:
    assert fold_prompt(prompt("list", "be brief")) == fold_prompt(prompt("list", "be polite"))


def test_who_said_it_is_part_of_a_request() -> None:
    assert fold_prompt((Message("user", "a"), Message("assistant", "b"))) != fold_prompt((Message("user", "a b"),))


def test_answers_keep_their_case_because_commands_do() -> None:
    assert fold_answer("ls  -S\n") == "ls -S"
    assert fold_answer("ls -S") != fold_answer("ls -s")


def test_a_key_tells_prompt_from_answer() -> None:
    assert exact_key("a", "b") != exact_key("ab", "")
    assert exact_key("a", "b") == exact_key("a", "b")


def test_parts_get_their_shares() -> None:
    counts = Counter(pick_part("salt", f"prompt {number}", Split(0.8, 0.1, 0.1)) for number in range(20_000))
    assert abs(counts["train"] / 20_000 - 0.8) < 0.01
    assert abs(counts["valid"] / 20_000 - 0.1) < 0.01
    assert abs(counts["test"] / 20_000 - 0.1) < 0.01


def test_another_salt_is_another_split() -> None:
    def parts(salt: str) -> list[str]:
        return [pick_part(salt, f"prompt {number}", Split(0.5, 0.5, 0.0)) for number in range(100)]

    assert parts("a") == parts("a")
    assert parts("a") != parts("b")


@given(st.text(), st.text())
def test_a_part_without_a_share_gets_nothing(salt: str, text: str) -> None:
    assert pick_part(salt, text, Split(1.0, 0.0, 0.0)) == "train"
    assert pick_part(salt, text, Split(0.8, 0.2, 0.0)) != "test"
    assert pick_part(salt, text, Split(0.0, 0.0, 1.0)) == "test"


@given(st.text(), st.text())
def test_folding_twice_changes_nothing(text: str, answer: str) -> None:
    once = fold_prompt(prompt(text))
    assert fold_prompt(prompt(once.removeprefix("user "))) == once
    assert fold_answer(fold_answer(answer)) == fold_answer(answer)

from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.normal import exact_key, fold_answer, fold_prompt, hash64, last_turn, normalise, salted
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


def test_calls_of_tools_are_part_of_what_was_said() -> None:
    def called(calls: str) -> str:
        return fold_prompt((Message("user", "go"), Message("assistant", "", tool_calls=calls)))

    assert called('[{"name": "a"}]') != called('[{"name": "b"}]')


def test_tokens_are_words_in_lower_case_and_nothing_else() -> None:
    assert normalise("Find  *.TXT files,\tin /usr_local!") == "find txt files in usr_local"
    assert normalise("Ärger – ÜBER ﬁne") == "ärger über fine"  # noqa: RUF001 - a dash that is no hyphen is the case
    assert normalise("?! ...") == ""


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_fast_path_of_ascii_gives_what_the_other_gives(text: str) -> None:
    assert normalise(text) == normalise(f"{text} é").removesuffix("é").strip()


@given(st.text())
def test_tokens_stand_one_space_apart(text: str) -> None:
    found = normalise(text)
    assert found.split(" ") == found.split() or not found


def test_the_last_turn_is_what_the_user_asked_and_the_rest_its_context() -> None:
    talk = (Message("system", "S"), Message("user", "A"), Message("assistant", "B"), Message("user", "C"))
    assert last_turn(talk) == ("C", "user a\nassistant b")
    assert last_turn(talk[:2]) == ("A", "")
    assert last_turn((Message("assistant", "B"),)) == ("", "assistant b")
    assert last_turn((*talk, Message("tool", "result")))[1].endswith("tool result")


def test_places_in_the_split_depend_on_salt_and_text_alone() -> None:
    assert salted("cortex", "user list") == 0x65A67438220C002A
    assert salted("a", "list") != salted("b", "list")
    assert hash64("list") == 0x771F620B37B46443


@given(st.text(), st.text())
def test_folding_twice_changes_nothing(text: str, answer: str) -> None:
    once = fold_prompt(prompt(text))
    assert fold_prompt(prompt(once.removeprefix("user "))) == once
    assert fold_answer(fold_answer(answer)) == fold_answer(answer)

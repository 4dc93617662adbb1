import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.explain.answers import Known, count_answers
from cortex_cli.explain.cases import Case, Judge
from cortex_cli.explain.symptoms import Symptom, find_symptoms
from tests.explain.conftest import call, failed, lessons


def names(case: Case, known: Known | None = None) -> list[str]:
    return [symptom.name for symptom in find_symptoms(case, known)]


def only(case: Case, known: Known | None = None, usual: float | None = None) -> Symptom:
    found = find_symptoms(case, known, usual)
    assert len(found) == 1, found
    return found[0]


def test_a_sound_answer_has_no_symptom() -> None:
    known = count_answers(lessons(), "json")
    assert find_symptoms(failed(output=call("set_timer"), expected=call("set_timer")), known, -1.0) == []


def test_an_empty_answer_is_no_answer_and_nothing_else() -> None:
    assert names(failed(output=" \n")) == ["no-answer"]


def test_a_recorded_error_is_told_in_its_own_words() -> None:
    found = only(msgspec.structs.replace(failed(output=""), error="timeout after 30 s"))
    assert (found.name, found.evidence) == ("error", {"error": "timeout after 30 s"})


def test_an_answer_that_ended_by_length_is_cut_off() -> None:
    found = only(msgspec.structs.replace(failed(), finish="length", tokens_out=48))
    assert (found.name, found.evidence["tokens"]) == ("cut-off", 48)


def test_an_answer_that_used_all_its_tokens_is_cut_off() -> None:
    assert "limit of 48 tokens" in only(msgspec.structs.replace(failed(), limit=48, tokens_out=48)).sentence


@pytest.mark.parametrize("output", ['{"tool": "set_ti', '{"tool": ', '{"tool": "x"'])
def test_an_object_that_is_not_closed_is_cut_off(output: str) -> None:
    assert names(failed(output=output)) == ["cut-off", "wrong-format"]


@pytest.mark.parametrize(("output", "end"), [("ls |", "'|'"), ("ls &&", "'&&'"), ("ls \\", "'\\'"), ("echo $(", "")])
def test_a_command_that_ends_with_an_operator_is_cut_off(output: str, end: str) -> None:
    assert end in next(s for s in find_symptoms(failed(output=output, judge="command")) if s.name == "cut-off").sentence


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ("book_flight", "not JSON"),
        ("[1]", "JSON, but list"),
        ('{"name": "x"}', 'without the key "tool"'),
        ('{"tool": null}', "not text but null"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_tool_call_has_the_wrong_form(output: str, fault: str) -> None:
    found = only(failed(output=output))
    assert found.name == "wrong-format"
    assert fault in found.sentence


def test_unbalanced_quotes_are_the_wrong_form_of_a_command() -> None:
    assert "no closing quotation" in only(failed(output="grep 'a b", judge="command")).sentence


def test_operators_alone_are_no_command() -> None:
    assert "it names none" in find_symptoms(failed(output="&& ;", judge="command"))[-1].sentence


def test_assignments_alone_are_a_command() -> None:
    assert names(failed(output="NAME=x OTHER=$HOME", judge="command")) == []


@pytest.mark.parametrize("output", ["grep -v :0$", "ls /tmp/$$", "a |& b"])
def test_a_dollar_at_the_end_of_a_command_cuts_nothing_off(output: str) -> None:
    assert names(failed(output=output, judge="command")) == []


def test_text_is_never_of_the_wrong_form_where_answers_are_exact() -> None:
    assert names(failed(output="{ 'x", judge="exact")) == []


def test_placeholders_are_values_that_were_not_filled_in() -> None:
    found = only(failed(output="chmod [permission] __SP__UNK", judge="command"))
    assert (found.name, found.evidence) == ("placeholder", {"placeholders": ("[permission]", "__SP__UNK")})


def test_a_bracket_that_the_request_names_is_no_placeholder() -> None:
    assert names(failed("rename [file] to b", "mv '[file]' b", judge="command")) == []


def test_a_glob_is_no_placeholder() -> None:
    assert names(failed(output="ls [abc]*", judge="command")) == []


def test_a_tool_that_no_training_answer_calls_is_unknown_and_its_nearest_are_named() -> None:
    found = only(failed(output=call("set_timers")), count_answers(lessons(), "json"))
    assert found.name == "unknown-tool"
    assert found.evidence["near"] == ("set_timer",)
    assert "none of 9 training answers" in found.sentence


def test_each_unknown_command_is_told_once() -> None:
    known = Known(names={"ls": 3, "wc": 2}, labels={}, total=5)
    assert names(failed(output="lz | lz | wc", judge="command"), known) == ["unknown-command"]


def test_nothing_is_unknown_without_training_examples() -> None:
    assert names(failed(output=call("anything"))) == []
    assert names(failed(output=call("anything")), count_answers([], "json")) == []


def test_a_contradiction_names_missing_and_extra_pieces() -> None:
    found = only(failed(expected=call("set_timer")))
    assert (found.evidence["missing"], found.evidence["extra"]) == (("set_timer",), ("set_alarm",))
    assert found.sentence.endswith("missing set_timer; too much set_alarm")


def test_a_long_difference_is_cut_in_the_sentence_and_whole_in_the_evidence() -> None:
    found = only(failed(expected=" ".join(f"word{n}" for n in range(40)), judge="exact"))
    assert "word11 and 28 more; too much" in found.sentence
    assert len(found.evidence["missing"]) == 40  # type: ignore[arg-type]  # a tuple of pieces


def test_another_order_of_the_same_pieces_is_a_contradiction_too() -> None:
    found = only(failed(output="mv a b", expected="mv b a", judge="command"))
    assert "same pieces in another order" in found.sentence


def test_the_same_object_in_another_spelling_is_no_contradiction() -> None:
    assert names(failed(output='{"tool":"a"}', expected='{"tool": "a"}')) == []


def test_confidence_is_low_only_below_what_is_usual() -> None:
    unsure = msgspec.structs.replace(failed(), logprob=-2.0)
    assert only(unsure, usual=-0.5).evidence == {"logprob": -2.0, "usual": -0.5}
    assert find_symptoms(unsure, usual=-2.0) == []
    assert find_symptoms(failed(), usual=-0.5) == []


def test_rejection_counts_judges() -> None:
    assert only(msgspec.structs.replace(failed(), rejected=2, judges=3)).sentence == "rejected by 2 of 3 judges"
    assert only(msgspec.structs.replace(failed(), rejected=1, judges=1)).sentence == "rejected by 1 of 1 judge"


def test_symptoms_come_from_what_kept_it_from_being_an_answer_to_what_people_said() -> None:
    case = msgspec.structs.replace(
        failed(output="lz '[file] |", judge="command", expected="ls"), rejected=1, judges=1, logprob=-9.0
    )
    found = [symptom.name for symptom in find_symptoms(case, Known({"ls": 1}, {}, 1), -1.0)]
    assert found == ["cut-off", "wrong-format", "placeholder", "contradiction", "low-confidence", "rejected"]


@given(st.text(), st.text(), st.sampled_from(["exact", "json", "command"]))
def test_any_answer_can_be_looked_at(output: str, expected: str, judge: Judge) -> None:
    found = find_symptoms(failed(output=output, expected=expected, judge=judge), Known({"ls": 1}, {}, 1))
    assert all(symptom.sentence for symptom in found)
    assert msgspec.json.encode(found)


@given(st.sampled_from(["exact", "json", "command"]), st.text().filter(str.strip))
def test_an_answer_never_contradicts_itself(judge: Judge, output: str) -> None:
    assert "contradiction" not in names(failed(output=output, expected=output, judge=judge))

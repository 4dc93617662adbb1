from collections.abc import Sequence

import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Answer, Example, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.evaluate.judging import Panel, Tools
from cortex_cli.evaluate.referee import Referee, check_referee, measure_agreement
from cortex_cli.evaluate.suites import Case, JudgeSpec


def case(reference: str = "a", **fields: object) -> Case:
    return Case("c", (Message("user", "q"),), reference, **fields)  # type: ignore[arg-type]


class Sayer:
    """A judge that prefers the answer which holds a word, or always what stands first."""

    def __init__(self, word: str = "") -> None:
        self.word = word
        self.asked: list[str] = []

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        return [Answer(text=self.say(prompt[0].content)) for prompt in prompts]

    def say(self, text: str) -> str:
        self.asked.append(text)
        first, second = text.split("First answer:\n")[1].split("\n\nSecond answer:\n")
        if not self.word:
            return "First."
        held = [self.word in first, self.word in second.split("\n\nWhich answer")[0]]
        return "equal" if held[0] == held[1] else "The first one." if held[0] else "second"


def test_one_of_several_references_is_enough() -> None:
    judged = Panel(JudgeSpec(name="exact"))([case("a", references=("b",))] * 3, ["a", "b", "c"])

    assert [each.right for each in judged] == [True, True, False]


def test_what_must_not_be_said_must_be_absent_in_every_form() -> None:
    judged = Panel(JudgeSpec(name="without"))([case("x1", references=("x2",))] * 3, ["x1", "x2", "y"])

    assert [each.right for each in judged] == [False, False, True]


def test_a_case_with_a_judge_of_its_own_is_judged_by_it_and_the_order_stays() -> None:
    cases = [case("a"), case("{}", judge="json"), case("a"), case("1", judge="contains")]
    judged = Panel(JudgeSpec(name="exact"))(cases, ["a", "{ }", "b", "is 1"])

    assert [each.right for each in judged] == [True, True, False, True]


@pytest.mark.parametrize("measure", ["f1", "rouge", "embedding"])
def test_a_similarity_is_graded_and_right_from_its_threshold_on(measure: str) -> None:
    spec = JudgeSpec(name="similarity", measure=measure, threshold=0.6)  # type: ignore[arg-type]
    near, far = Panel(spec)([case("turn on the kitchen light")] * 2, ["turn the kitchen light on", "no idea"])

    assert near.right
    assert 0.6 <= near.score <= 1
    assert not far.right
    assert far.score < 0.6


def test_an_answer_is_held_against_a_schema_and_told_where_it_fails() -> None:
    pytest.importorskip("jsonschema", reason="the extra 'evaluate' is not installed")
    schema = {"type": "object", "required": ["tool"], "properties": {"tool": {"enum": ["a", "b"]}}}
    panel = Panel(JudgeSpec(name="schema", schema=schema))
    answers = ['{"tool": "a"}', '{"tool": "c"}', "{}", "no", "[" * 100_000]
    judged = panel([case()] * 5, answers)

    assert [each.right for each in judged] == [True, False, False, False, False]
    assert judged[1].note.startswith("$.tool: 'c' is not one of")
    own = Panel(JudgeSpec(name="schema"))([case(check='{"type": "integer"}')], ["3"])
    assert own[0].right


def test_what_is_no_schema_is_refused_and_none_is_fetched() -> None:
    pytest.importorskip("jsonschema", reason="the extra 'evaluate' is not installed")
    with pytest.raises(UsageError, match="the schema is not one"):
        Panel(JudgeSpec(name="schema", schema={"type": "objekt"}))([case()], ["{}"])
    with pytest.raises(UsageError, match="has no schema"):
        Panel(JudgeSpec(name="schema"))([case()], ["{}"])
    with pytest.raises(UsageError, match="is not a JSON Schema"):
        Panel(JudgeSpec(name="schema"))([case(check="{")], ["{}"])


def test_a_model_is_asked_in_both_orders() -> None:
    sayer = Sayer("good")
    panel = Panel(JudgeSpec(name="model", rubric="be good"), Tools(sayer, "tiny 1"))
    judged = panel([case("good"), case("good"), case("bad")], ["good", "bad", "good"])

    assert [each.score for each in judged] == [0.5, 0.0, 1.0]
    assert [each.right for each in judged] == [True, False, True]
    assert len(sayer.asked) == 6
    assert all("be good" in text for text in sayer.asked)


def test_a_verdict_that_follows_the_place_counts_for_nobody() -> None:
    (judged,) = Panel(JudgeSpec(name="model"), Tools(Sayer()))([case("x")], ["y"])

    assert (judged.right, judged.score) == (False, 0.5)
    assert judged.note == "the judge followed the order of the answers"


def test_braces_in_an_answer_are_only_text() -> None:
    (judged,) = Panel(JudgeSpec(name="model"), Tools(Sayer("good")))([case("bad {0}")], ["good {rubric} {"])

    assert judged.right


def test_a_judge_that_says_nothing_readable_says_no() -> None:
    (ruling,) = Referee(lambda prompts: [Answer(text="hm") for _ in prompts]).compare([((), "r")], ["a"])

    assert not ruling.right
    assert "no readable verdict" in ruling.note


def test_the_version_of_a_model_as_judge_names_model_rubric_and_wording() -> None:
    versions = {Referee(Sayer(), rubric, model).version for rubric in ("a", "b") for model in ("m", "n")}

    assert len(versions) == 4
    assert Panel(JudgeSpec(name="json")).version == "json"


def test_a_model_must_be_named() -> None:
    with pytest.raises(UsageError, match="needs a model to ask"):
        Panel(JudgeSpec(name="model"))


def test_agreement_is_corrected_for_chance() -> None:
    # Cohen 1960: 25 of 50 yes and yes, 15 no and no, 5 and 5 apart: agreement 0.8, chance 0.52.
    judged = [True] * 30 + [False] * 20
    people = [True] * 25 + [False] * 5 + [True] * 5 + [False] * 15
    found = measure_agreement(judged, people)

    assert found.share == pytest.approx(0.8)
    assert found.kappa == pytest.approx((0.8 - 0.52) / 0.48)
    assert found.interval.low < 0.8 < found.interval.high
    assert measure_agreement([True, True], [True, True]).kappa == 0.0
    assert measure_agreement([], []).cases == 0


def test_a_judge_is_held_against_the_corrections_that_people_made() -> None:
    prompt = (Message("user", "q"),)
    examples = [
        Example(id=f"x{n}", agent="a", messages=prompt, answer=f"good {n}", rejected="bad", source="correction")
        for n in range(9)
    ]
    plain = Example(id="y", agent="a", messages=prompt, answer="good", source="accepted")
    sound = check_referee(Referee(Sayer("good")), [*examples, plain], most=5)
    blind = check_referee(Referee(Sayer("nothing of this")), examples)

    assert sound is not None
    assert blind is not None
    assert (sound.cases, sound.share, sound.kappa) == (10, 1.0, 1.0)
    assert (blind.share, blind.kappa) == (0.5, 0.0)
    assert check_referee(Referee(Sayer()), [plain]) is None

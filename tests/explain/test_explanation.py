from collections.abc import Sequence

from cortex_cli.domain.examples import Prompt
from cortex_cli.explain.cases import read_request
from cortex_cli.explain.explanation import Basis, Ground, explain_case
from tests.explain.conftest import ask, call, failed, lessons

BASIS = Basis(dataset="dispatch/v0001", rows=9, trained=True)


def timer_counts(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    return [
        -3.0 + 2.0 * ("timer" in read_request(prompt) and "timer" in answer)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def test_one_case_is_explained_from_all_sides() -> None:
    case = failed(expected=call("set_timer"))
    found = explain_case(case, Ground(BASIS, lessons(), failures=3), score=timer_counts)
    assert [symptom.name for symptom in found.symptoms] == ["contradiction"]
    assert found.attribution is not None
    assert {part.text for part in found.attribution.parts if part.contrast} == {"timer"}
    assert [span.text for span in found.answer_spans] == ["set_alarm"]
    assert found.request_spans
    assert found.similar[0].answers_as == "expected"
    assert [type(each).__name__ for each in found.suggestions] == ["AddDemonstrations"]


def test_without_a_model_everything_but_the_words_is_explained() -> None:
    found = explain_case(failed(), Ground(BASIS, lessons()))
    assert found.attribution is None
    assert found.similar


def test_without_training_examples_only_the_case_itself_is_described() -> None:
    found = explain_case(failed(output="nonsense", expected=call("set_timer")), Ground(Basis(), []))
    assert [symptom.name for symptom in found.symptoms] == ["wrong-format", "contradiction"]
    assert (found.answer_spans, found.request_spans, found.similar, found.suggestions) == ((), (), (), ())


def test_an_explanation_is_the_same_twice() -> None:
    case, ground = failed(expected=call("set_timer")), Ground(BASIS, lessons(3))
    assert explain_case(case, ground, score=timer_counts) == explain_case(case, ground, score=timer_counts)


def test_the_request_is_the_last_word_of_the_user() -> None:
    assert read_request((*ask("first"), *ask("second"))) == "second"
    assert read_request(()) == ""

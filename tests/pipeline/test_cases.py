from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.interactions import Feedback, Interaction, Scale
from cortex_cli.domain.manifests import Agent, Variant
from cortex_cli.pipeline.cases import TrainingExamples, is_failure, judge, make_case, read_traffic
from cortex_cli.store.journal import Journal
from tests.pipeline.scenes import answered, call, corrected, judged, open_scene

DISPATCH = Agent(agent="dispatch", judge="json")
ANSWER = answered("set a timer", call("set_alarm"), "dispatch-0123456789ab")


def failed(interaction: Interaction, *feedback: Feedback) -> bool:
    return is_failure(make_case(interaction, judge(feedback), DISPATCH), interaction)


def scored(score: float, high: float = 5.0) -> Feedback:
    return Feedback(
        id=f"f-{score}", target=ANSWER.id, kind="score", time="", score=score, scale=Scale(1.0, high), name="bob"
    )


def test_of_each_judge_the_last_verdict_counts() -> None:
    said = judge([judged(ANSWER, thumbs=False), judged(ANSWER, thumbs=True), judged(ANSWER, thumbs=False, name="eve")])
    assert (said.rejected, said.judges) == (1, 2)


@pytest.mark.parametrize(("score", "rejected"), [(1.0, 1), (2.9, 1), (3.0, 0), (5.0, 0)])
def test_a_score_below_half_of_its_scale_is_a_rejection(score: float, rejected: int) -> None:
    assert judge([scored(score)])[:2] == (rejected, 1)


def test_a_score_without_a_usable_scale_says_nothing() -> None:
    assert judge([scored(1.0, high=1.0)]).judges == 0
    assert judge([msgspec.structs.replace(scored(1.0), scale=None)]).judges == 0


def test_comments_carry_no_verdict() -> None:
    assert judge([Feedback(id="f", target=ANSWER.id, kind="comment", time="", comment="meh")]).judges == 0


def test_a_replayed_verdict_marks_the_case() -> None:
    assert make_case(ANSWER, judge([corrected(ANSWER, "x")]), DISPATCH).replayed


@pytest.mark.parametrize(("noes", "yeses", "is_one"), [(1, 0, True), (1, 1, True), (1, 2, False), (0, 1, False)])
def test_an_answer_failed_when_at_least_half_said_no(noes: int, yeses: int, is_one: bool) -> None:
    said = [judged(ANSWER, thumbs=number < noes, name=f"judge {number}") for number in range(noes + yeses)]
    said = [msgspec.structs.replace(each, thumbs=not each.thumbs) for each in said]
    assert failed(ANSWER, *said) is is_one


def test_a_demonstration_decides_over_verdicts() -> None:
    assert failed(ANSWER, judged(ANSWER, thumbs=True), corrected(ANSWER, call("set_timer")))
    assert not failed(ANSWER, judged(ANSWER, thumbs=False), corrected(ANSWER, '{"tool":"set_alarm"}'))


def test_without_anybodys_word_the_outcome_decides() -> None:
    assert not failed(ANSWER)
    assert failed(msgspec.structs.replace(ANSWER, outcome="failure"))
    assert failed(msgspec.structs.replace(ANSWER, outcome="error"))
    assert failed(msgspec.structs.replace(ANSWER, error="timeout"), judged(ANSWER, thumbs=True))


def test_a_case_takes_what_was_recorded_of_how_it_ended() -> None:
    variant = Variant(
        id=ANSWER.variant, agent="dispatch", model="m", prompt="p", prompt_blob="b", parameters={"max_tokens": 48}
    )
    told = msgspec.structs.replace(ANSWER, tokens_out=48, meta={"finish": "length", "logprob": "-0.25"})
    case = make_case(told, judge([]), DISPATCH, variant)
    assert (case.finish, case.logprob, case.limit, case.tokens_out) == ("length", -0.25, 48, 48)


@pytest.mark.parametrize("text", ["", "unsure", "[]"])
def test_a_recorded_confidence_that_is_no_number_is_left_out(text: str) -> None:
    told = msgspec.structs.replace(ANSWER, meta={"logprob": text})
    assert make_case(told, judge([]), DISPATCH).logprob is None


def test_traffic_tells_what_was_judged_from_what_was_only_seen(tmp_path: Path) -> None:
    rows = [answered(f"request {number}", call("x"), f"v-{number % 2}", day=number + 1) for number in range(6)]
    with Journal(tmp_path / "journal.db") as journal:
        journal.append([*rows, judged(rows[0], thumbs=False), judged(rows[1], thumbs=True)])
        journal.append([msgspec.structs.replace(rows[2], id="i-done", outcome="success")])
        whole = read_traffic(journal, DISPATCH)
        assert (whole.seen, whole.judged, len(whole.failures), len(whole.right)) == (7, 3, 1, 2)
        assert read_traffic(journal, DISPATCH, since="2026-03-03").seen == 5
        assert read_traffic(journal, DISPATCH, ["v-1"]).seen == 3
        assert read_traffic(journal, DISPATCH, []).seen == 0
        assert read_traffic(journal, Agent(agent="other")).seen == 0


def test_training_examples_are_streamed_as_often_as_they_are_asked_for(tmp_path: Path) -> None:
    scene = open_scene(tmp_path / "workspace")
    examples = TrainingExamples(scene.place.objects, scene.dataset)
    assert len(examples) == len(list(examples)) == len(list(examples)) == 10
    assert next(iter(examples)) in examples
    assert msgspec.structs.replace(next(iter(examples)), id="other") not in examples


def test_a_version_without_a_training_part_has_no_examples(tmp_path: Path) -> None:
    scene = open_scene(tmp_path / "workspace")
    examples = TrainingExamples(scene.place.objects, msgspec.structs.replace(scene.dataset, parts={}))
    assert list(examples) == []

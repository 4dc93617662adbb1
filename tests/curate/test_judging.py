from typing import Any

import msgspec
import pytest

from cortex_cli.curate.judging import Judgements, Ruling
from cortex_cli.domain.interactions import Feedback, Interaction, Message

BOTH = ("accepted", "demonstration")
INTERACTION = Interaction(id="i-1", agent="shell", time="", messages=(Message("user", "list"),), output="ls")


def thumbs(told: bool, name: str = "", target: str = "i-1", **fields: Any) -> Feedback:
    return Feedback(id="f", target=target, kind="boolean", time="", thumbs=told, name=name, **fields)


def correct(text: str, **fields: Any) -> Feedback:
    return Feedback(id="f", target="i-1", kind="demonstration", time="", demonstration=text, **fields)


def rule(*feedback: Feedback, sources: tuple[str, ...] = BOTH, **fields: Any) -> Ruling:
    interaction = msgspec.structs.replace(INTERACTION, **fields)
    return Judgements(enumerate(feedback, 1)).rule(interaction, sources)


def test_thumbs_up_makes_an_accepted_answer() -> None:
    assert rule(thumbs(True)) == Ruling("", "accepted", "ls")


def test_judges_must_agree() -> None:
    assert rule(thumbs(True, "a"), thumbs(True, "b")).source == "accepted"
    assert rule(thumbs(True, "a"), thumbs(False, "b")).reason == "judges_disagree"
    assert rule(thumbs(False, "a"), thumbs(False, "b")).reason == "judged_wrong"


def test_the_last_verdict_of_one_judge_counts() -> None:
    assert rule(thumbs(False), thumbs(True)).source == "accepted"
    assert rule(thumbs(True, "a"), thumbs(False, "a")).reason == "judged_wrong"


def test_the_last_verdict_is_that_of_the_journal_not_of_the_stream() -> None:
    backwards = [(2, thumbs(False)), (1, thumbs(True))]
    assert Judgements(backwards).rule(INTERACTION, BOTH).reason == "judged_wrong"


def test_without_verdicts_the_outcome_decides() -> None:
    assert rule(outcome="success").source == "accepted"
    assert rule(outcome="failure").reason == "outcome_failure"
    assert rule().reason == "unjudged"


def test_a_verdict_outweighs_the_outcome() -> None:
    assert rule(thumbs(False), outcome="success").reason == "judged_wrong"
    assert rule(thumbs(True), outcome="failure").source == "accepted"


def test_a_correction_gives_both_answers() -> None:
    assert rule(correct("ls -l")) == Ruling("", "correction", "ls -l", "ls")
    assert rule(correct("ls -l"), thumbs(False)).source == "correction"


def test_the_last_correction_counts() -> None:
    assert rule(correct("ls -l"), correct("ls -a")).answer == "ls -a"


def test_a_demonstration_without_a_wrong_answer_has_none_to_avoid() -> None:
    assert rule(correct("ls -l"), output="") == Ruling("", "demonstration", "ls -l")
    assert rule(correct("ls  ")) == Ruling("", "demonstration", "ls  ")
    assert rule(correct("ls -l"), outcome="error", error="boom", output="").source == "demonstration"


def test_sources_that_are_not_wanted_are_left_out() -> None:
    assert rule(correct("ls -l"), thumbs(True), sources=("accepted",)) == Ruling("", "accepted", "ls")
    assert rule(thumbs(True), sources=("demonstration",)).reason == "source_not_wanted"
    assert rule(correct("ls -l"), sources=("accepted",)).reason == "unjudged"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"output": ""}, "empty_output"),
        ({"output": " \n"}, "empty_output"),
        ({"error": "boom"}, "error"),
        ({"outcome": "error"}, "error"),
    ],
)
def test_praise_does_not_make_an_answer(fields: dict[str, Any], reason: str) -> None:
    assert rule(thumbs(True), **fields).reason == reason


def test_a_verdict_on_the_episode_holds_for_its_interactions() -> None:
    episode = thumbs(True, target="e-1", target_kind="episode")
    assert rule(episode, episode="e-1").source == "accepted"
    assert rule(episode, thumbs(False), episode="e-1").reason == "judged_wrong"
    assert rule(episode, episode="").reason == "unjudged"


def test_scores_and_comments_carry_no_verdict() -> None:
    comment = Feedback(id="f", target="i-1", kind="comment", time="", comment="great")
    assert rule(comment).reason == "unjudged"


def test_a_replayed_user_is_marked() -> None:
    assert rule(thumbs(True, annotator="replayed")).replayed
    assert rule(correct("ls -l", annotator="replayed")).replayed
    assert rule(thumbs(True), replayed=True).replayed
    assert not rule(thumbs(True)).replayed


def test_the_range_and_the_number_of_judgements_are_known() -> None:
    judgements = Judgements([(7, thumbs(True)), (3, thumbs(False))])
    assert (judgements.count, judgements.first, judgements.last) == (2, 3, 7)

from typing import Any

import msgspec
import pytest

from cortex_cli.curate.judging import Opinion
from cortex_cli.curate.ruling import REJECTED, VALIDITY, Rules, Ruling
from cortex_cli.curate.spec import CurateSpec, FeedbackSpec, QualitySpec
from cortex_cli.domain.interactions import Interaction, Message

RECORD = Interaction(id="i-1", agent="shell", time="", messages=(Message("user", "list"),), output="ls")
YES, NO = Opinion(yes=1), Opinion(no=1)


def rule(opinion: Opinion | None = None, spec: dict[str, Any] | None = None, **fields: Any) -> Ruling:
    record = msgspec.structs.replace(RECORD, **fields)
    return Rules(CurateSpec(agent="shell", **(spec or {}))).rule(record, opinion)


def check(spec: dict[str, Any] | None = None, **fields: Any) -> str:
    return Rules(CurateSpec(agent="shell", **(spec or {}))).check(msgspec.structs.replace(RECORD, **fields))


def by_score(*scores: float, outcome: Any = "success", **feedback: Any) -> str:
    spec = {"feedback": FeedbackSpec(**{"min_score": 0.9, **feedback})}
    return rule(Opinion(scores=tuple(sorted(scores))), spec, outcome=outcome).reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"agent": "dispatch"}, "other_agent"),
        ({"messages": ()}, "no_prompt"),
        ({"messages": (Message("user", " \n"),)}, "no_prompt"),
        ({"messages": (Message("system", "be brief"),)}, "no_prompt"),
        ({"meta": {"history": "missing"}}, "history_missing"),
        ({"meta": {"sidechain": "true"}}, "sidechain"),
        ({}, ""),
    ],
)
def test_what_is_no_sound_example_has_its_reason(fields: dict[str, Any], reason: str) -> None:
    assert check(**fields) == reason
    assert not reason or reason in VALIDITY


def test_the_work_of_sub_agents_is_taken_when_asked_for() -> None:
    assert check({"sidechains": True}, meta={"sidechain": "true"}) == ""


def test_only_wanted_domains_are_taken() -> None:
    spec = {"domains": ("files", "network")}
    assert check(spec, domain="files") == ""
    assert check(spec, domain="mail") == "other_domain"
    assert check(spec) == "other_domain"


def test_a_yes_makes_an_accepted_answer() -> None:
    assert rule(YES) == Ruling("", "accepted", "ls")
    assert rule(NO).reason == "judged_wrong"


def test_judges_must_agree_unless_most_decide() -> None:
    most = {"feedback": FeedbackSpec(disagreement="majority")}
    assert rule(Opinion(yes=2)).source == "accepted"
    assert rule(Opinion(yes=2, no=1)).reason == "judges_disagree"
    assert rule(Opinion(yes=2, no=1), most).source == "accepted"
    assert rule(Opinion(yes=1, no=2), most).reason == "judged_wrong"
    assert rule(Opinion(yes=1, no=1), most).reason == "judges_disagree"


def test_enough_judges_must_have_spoken() -> None:
    two = {"feedback": FeedbackSpec(judges=2)}
    assert rule(YES, two).reason == "few_judges"
    assert rule(Opinion(yes=2), two).source == "accepted"
    assert rule(NO, two).reason == "few_judges"


def test_without_verdicts_the_outcome_decides() -> None:
    assert rule(outcome="success").source == "accepted"
    assert rule(outcome="failure").reason == "outcome_failure"
    assert rule().reason == "unjudged"


def test_a_verdict_outweighs_the_outcome() -> None:
    assert rule(NO, outcome="success").reason == "judged_wrong"
    assert rule(YES, outcome="failure").source == "accepted"


def test_scores_count_once_a_limit_is_set() -> None:
    assert rule(Opinion(scores=(0.1,)), outcome="success").source == "accepted"
    assert by_score(0.1) == "low_score"
    assert by_score(0.95) == ""


def test_a_score_must_be_above_a_strict_limit_and_may_be_at_another() -> None:
    assert by_score(0.9) == "low_score"
    assert by_score(0.9, strict=False) == ""


def test_scores_of_judges_are_averaged_or_the_lowest_decides() -> None:
    assert by_score(0.85, 1.0) == ""
    assert by_score(0.85, 1.0, scores="lowest") == "low_score"


def test_a_limit_on_scores_needs_a_score() -> None:
    spec = {"feedback": FeedbackSpec(min_score=0.9)}
    assert rule(None, spec, outcome="success").reason == "unjudged"
    assert rule(Opinion(unscaled=True), spec, outcome="success").reason == "no_scale"
    assert rule(YES, spec).source == "accepted"
    assert rule(NO, spec).reason == "judged_wrong"


def test_the_preset_of_the_seeds_is_success_and_more_than_nine_tenths() -> None:
    spec = {"feedback": FeedbackSpec(preset="seeds")}
    told = Opinion(scores=(0.95,))
    assert rule(told, spec, outcome="success").source == "accepted"
    assert rule(told, spec, outcome="failure").reason == "not_successful"
    assert rule(Opinion(scores=(0.9,)), spec, outcome="success").reason == "low_score"
    mild = {"feedback": FeedbackSpec(preset="seeds", min_score=0.5, success=False)}
    assert rule(Opinion(scores=(0.6,)), mild, outcome="failure").source == "accepted"


def test_an_answer_with_a_comment_may_be_held_for_a_person() -> None:
    told = Opinion(yes=1, commented=True)
    assert rule(told).source == "accepted"
    assert rule(told, {"feedback": FeedbackSpec(comments="hold")}).reason == "commented"


def test_a_correction_gives_both_answers() -> None:
    assert rule(Opinion(demonstration="ls -l")) == Ruling("", "correction", "ls -l", "ls")
    assert rule(Opinion(no=1, demonstration="ls -l")).source == "correction"


def test_a_demonstration_without_a_wrong_answer_has_none_to_avoid() -> None:
    told = Opinion(demonstration="ls  ")
    assert rule(told, output="") == Ruling("", "demonstration", "ls  ")
    assert rule(told) == Ruling("", "demonstration", "ls  ")
    assert rule(told, outcome="error", error="boom", output="").source == "demonstration"


def test_sources_that_are_not_wanted_are_left_out() -> None:
    told = Opinion(yes=1, demonstration="ls -l")
    assert rule(told, {"sources": ("accepted",)}) == Ruling("", "accepted", "ls")
    assert rule(YES, {"sources": ("demonstration",)}).reason == "source_not_wanted"
    assert rule(Opinion(demonstration="x"), {"sources": ("accepted",)}).reason == "unjudged"


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
    assert rule(YES, **fields).reason == reason
    assert rule(None, meta={"supervised": "true"}, **fields).reason == reason


def test_an_imported_training_file_is_trusted_as_such() -> None:
    assert rule(meta={"supervised": "true"}) == Ruling("", "supervised", "ls")
    assert rule(NO, meta={"supervised": "true"}).reason == "judged_wrong"
    assert rule(None, {"sources": ("accepted",)}, meta={"supervised": "true"}).reason == "source_not_wanted"


def test_the_quality_rule_decides_where_nobody_judged() -> None:
    spec = {"quality": QualitySpec(success=True, output=True)}
    assert rule(None, spec, outcome="success") == Ruling("", "quality", "ls")
    assert rule(None, spec, outcome="failure").reason == "not_successful"
    assert rule(YES, spec, outcome="failure").source == "accepted"
    assert rule(NO, spec, outcome="success").reason == "judged_wrong"
    assert rule(None, spec, outcome="failure", meta={"supervised": "true"}).source == "supervised"


def test_a_quality_rule_that_lets_nothing_pass_as_an_answer_does_not() -> None:
    assert rule(None, {"quality": QualitySpec(max_seconds=5.0)}, output="", latency=1.0).reason == "empty_output"


def test_prompt_and_answer_together_are_bounded() -> None:
    assert rule(YES, {"max_chars": 6}).source == "accepted"
    assert rule(YES, {"max_chars": 5}).reason == "too_long"
    assert rule(Opinion(demonstration="x" * 10), {"max_chars": 9}).reason == "too_long"


def test_a_replayed_user_is_marked() -> None:
    assert rule(Opinion(yes=1, replayed=True)).replayed
    assert rule(Opinion(demonstration="x", replayed=True)).replayed
    assert rule(YES, replayed=True).replayed
    assert not rule(YES).replayed


def test_wrong_answers_are_told_from_unknown_ones() -> None:
    assert {rule(NO).reason, by_score(0.1), rule(outcome="failure").reason} == REJECTED

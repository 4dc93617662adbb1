"""The queue of a real journal."""

from pathlib import Path

import pytest

from cortex_cli.curate.queue import QueueLimits
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback
from cortex_cli.pipeline.collecting import record_feedback
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.reviewing import plan_review
from tests.pipeline.shelf import ask, start, tell


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = start(tmp_path / "shelf")
    tell(place, *(ask(number, outcome="unknown") for number in range(40)))
    return place


def thumbs(number: int, judge: str, up: bool) -> Feedback:
    return Feedback(id="", target=f"i-{number:04}", kind="boolean", time="", thumbs=up, name=judge)


def test_questions_carry_what_is_to_be_shown(place: Place) -> None:
    for judge, up in (("ada", True), ("bob", False)):
        record_feedback(place, thumbs(9, judge, up))
    first = plan_review(place)[0]
    assert first.interaction == ask(9, outcome="unknown")
    assert [record.name for record in first.feedback] == ["ada", "bob"]
    assert first.pick.reasons[0].startswith("judges disagree")


def test_a_judgement_takes_its_question_off_the_list(place: Place) -> None:
    limits = QueueLimits(limit=100, per_request=100, reviewer="ada")
    before = [question.pick.id for question in plan_review(place, limits=limits)]
    record_feedback(place, thumbs(int(before[0][2:]), "ada", True))
    assert [question.pick.id for question in plan_review(place, limits=limits)] == before[1:]


def test_only_the_agent_that_was_named_is_asked_about(place: Place) -> None:
    tell(place, ask(900, agent="shell"))
    assert [question.pick.id for question in plan_review(place, "shell")] == ["i-0900"]
    assert "i-0900" not in {question.pick.id for question in plan_review(place, "dispatch")}


def test_an_agent_without_interactions_has_no_questions_and_an_unknown_one_is_an_error(tmp_path: Path) -> None:
    empty = start(tmp_path / "empty")
    assert plan_review(empty, "dispatch") == []
    with pytest.raises(UsageError, match="did you mean 'dispatch'"):
        plan_review(empty, "dispatsch")

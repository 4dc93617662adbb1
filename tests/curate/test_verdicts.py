"""The last word of every judge, by id, alias and episode."""

import pytest

from cortex_cli.curate.normal import hash64
from cortex_cli.curate.verdicts import Spoken, Verdicts, is_accepted
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Scale

ANSWER = Interaction(
    id="i-1",
    agent="a",
    time="",
    messages=(Message("user", "hi"),),
    output="hello",
    episode="e-1",
    aliases=("chatcmpl-1", "ab:cd"),
)


def thumbs(up: bool, judge: str = "ada", target: str = "i-1", annotator: str = "human") -> Feedback:
    return Feedback(id="", target=target, kind="boolean", time="", thumbs=up, name=judge, annotator=annotator)  # type: ignore[arg-type]


def score(value: float, judge: str = "model", scale: Scale | None = Scale(1, 5)) -> Feedback:  # noqa: B008 - frozen
    return Feedback(id="", target="i-1", kind="score", time="", score=value, scale=scale, name=judge, annotator="model")


def on(*said: Feedback) -> Spoken:
    return Verdicts(said).on(ANSWER)


def test_of_one_judge_the_last_word_counts() -> None:
    found = on(thumbs(True), thumbs(False), thumbs(True, "bob"))
    assert (found.yes, found.no) == (1, 1)
    assert found.people == {hash64("ada"), hash64("bob")}


def test_a_score_does_not_take_back_a_yes() -> None:
    found = on(thumbs(True, "bob"), score(5.0, "bob"))
    assert (found.yes, found.scores) == (1, (1.0,))


def test_scores_are_mapped_through_their_scale_and_without_one_left_out() -> None:
    assert on(score(4.0, "m1"), score(1.0, "m2"), score(0.9, "m3", None)).scores == (0.0, 0.75)


@pytest.mark.parametrize("target", ["i-1", "chatcmpl-1", "ab:cd", "e-1"])
def test_feedback_is_found_under_every_name(target: str) -> None:
    assert on(thumbs(False, target=target)).no == 1


def test_the_episode_speaks_only_where_nobody_judged_the_answer() -> None:
    assert on(thumbs(False, target="e-1"), thumbs(True, "bob")) == on(thumbs(True, "bob"))


def test_models_are_no_people_and_comments_say_nothing() -> None:
    comment = Feedback(id="", target="i-1", kind="comment", time="", comment="hm", name="ada")
    assert on(comment) == Spoken()
    assert on(thumbs(True, annotator="model")).people == frozenset()


def test_a_correction_is_known_as_such() -> None:
    found = on(Feedback(id="", target="i-1", kind="demonstration", time="", demonstration="hey", name="ada"))
    assert (found.corrected, found.people) == (True, frozenset({hash64("ada")}))


def test_nothing_said_is_nothing() -> None:
    assert on() == Spoken()
    assert Verdicts([thumbs(True, target="i-2")]).on(ANSWER) == Spoken()


@pytest.mark.parametrize(
    ("spoken", "outcome", "accepted"),
    [
        (Spoken(yes=2, no=1), "failure", True),
        (Spoken(yes=1, no=2), "success", False),
        (Spoken(yes=1, no=1), "success", None),
        (Spoken(corrected=True), "success", False),
        (Spoken(), "success", True),
        (Spoken(), "failure", False),
        (Spoken(), "error", False),
        (Spoken(), "unknown", None),
    ],
)
def test_judges_count_before_the_outcome(spoken: Spoken, outcome: str, accepted: bool | None) -> None:
    interaction = Interaction(id="i", agent="a", time="", messages=(), outcome=outcome)  # type: ignore[arg-type]
    assert is_accepted(interaction, spoken) is accepted

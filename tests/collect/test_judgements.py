import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.judgements import comment_on, demonstrate, judge, read_boolean, read_scale
from cortex_cli.collect.records import BadRecordError
from cortex_cli.domain.interactions import Feedback, Scale

FRAME = Feedback(id="", target="i-1", kind="comment", time="2026-01-02T03:04:05Z", name="tone", annotator="model")


@pytest.mark.parametrize(
    ("label", "expected"),
    [("Correct", True), ("thumbs up", True), ("YES", True), ("fail", False), ("Thumbs-Down", False), (" no ", False)],
)
def test_a_label_that_says_yes_or_no_is_boolean(label: str, expected: bool) -> None:
    told = judge(FRAME, label)
    assert (told.kind, told.thumbs) == ("boolean", expected)


@pytest.mark.parametrize("label", ["friendly", "1", "0", "yesterday"])
def test_any_other_label_is_a_comment_under_its_name(label: str) -> None:
    told = judge(FRAME, label)
    assert (told.kind, told.comment) == ("comment", f"tone: {label}")


def test_a_number_is_a_score_and_never_a_yes() -> None:
    told = judge(FRAME, 1)
    assert (told.kind, told.score, told.scale, told.thumbs) == ("score", 1.0, None, None)


def test_a_score_outside_of_its_bounds_has_none() -> None:
    scale = Scale(1.0, 5.0)
    assert judge(FRAME, 4, scale).scale == scale
    assert judge(FRAME, 0, scale).scale is None


def test_the_frame_is_kept_and_each_judgement_has_its_id() -> None:
    told = [judge(FRAME, True), judge(FRAME, 1), *comment_on(FRAME, "why"), demonstrate(FRAME, "ls")]
    assert {(item.target, item.time, item.name, item.annotator) for item in told} == {
        ("i-1", "2026-01-02T03:04:05Z", "tone", "model")
    }
    assert len({item.id for item in told}) == 4


def test_an_object_is_told_in_words() -> None:
    assert judge(FRAME, {"a": 1}).comment == 'tone: {"a":1}'
    assert demonstrate(FRAME, {"a": 1}).demonstration == '{"a":1}'


@pytest.mark.parametrize("value", [None, "", "  ", [], {}])
def test_what_judges_nothing_is_refused(value: Any) -> None:
    for told in (judge, demonstrate):
        with pytest.raises(BadRecordError, match="empty_feedback"):
            told(FRAME, value)
    assert comment_on(FRAME, value) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**70])
def test_a_score_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(BadRecordError, match="bad_number"):
        judge(FRAME, value)


@pytest.mark.parametrize(
    ("value", "expected"), [(1, True), (0.0, False), ("1", True), (True, True), (2, 2), ("x", "x")]
)
def test_a_declared_boolean_may_be_a_number(value: Any, expected: Any) -> None:
    assert read_boolean(value) is expected or read_boolean(value) == expected


@given(st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3)), st.floats())
def test_a_scale_has_two_finite_bounds_in_order(low: Any, high: float) -> None:
    scale = read_scale(low, high)
    assert scale is None or (math.isfinite(scale.low) and math.isfinite(scale.high) and scale.low < scale.high)

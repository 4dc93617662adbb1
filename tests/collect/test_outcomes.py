import contextlib
import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.formats.outcomes import FORMAT
from cortex_cli.collect.records import BadRecordError, Place
from cortex_cli.domain.interactions import Interaction, Message, Origin, Scale

Read = Callable[..., tuple[list[Any], list[Any], Any]]
TASK: dict[str, Any] = {
    "task_id": "t-7",
    "status": "completed",
    "quality": 4.5,
    "duration": 12,
    "retries": 1,
    "error": None,
    "master": "development-master",
    "description": "fix the build",
    "output": "done",
    "timestamp": "2026-01-02T03:04:05Z",
}


def one(read: Read, value: Any) -> Interaction:
    records, bad, reading = read(value, agent="shell")
    assert (bad, reading.format) == ([], "outcomes")
    assert isinstance(records[0], Interaction)
    return records[0]


class TestTasks:
    def test_every_field_is_kept(self, read: Read) -> None:
        record = one(read, TASK)
        assert (record.agent, record.outcome, record.latency) == ("development-master", "success", 12.0)
        assert record.messages == (Message("user", "fix the build"),)
        assert (record.output, record.time) == ("done", "2026-01-02T03:04:05Z")
        assert (record.aliases, record.retries, record.meta) == (("t-7",), 1, {"task_id": "t-7"})

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"status": "FAILED"}, "failure"),
            ({"status": "timeout"}, "error"),
            ({"error": "exit 1"}, "error"),
            ({"error": {"message": "exit 1", "code": 1}}, "error"),
            ({"error": "none"}, "success"),
            ({"error": False}, "success"),
            ({"status": None, "success": True}, "success"),
            ({"status": None, "success": False}, "failure"),
            ({"status": None, "outcome": "succeeded"}, "success"),
        ],
    )
    def test_failures_are_kept_as_such(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert one(read, {**TASK, **change}).outcome == expected

    def test_an_error_is_told_in_words(self, read: Read) -> None:
        assert one(read, {**TASK, "error": {"message": "exit 1", "code": 1}}).error == "exit 1"
        assert one(read, {**TASK, "error": {"code": 1}}).error == '{"code":1}'

    def test_an_unknown_status_is_kept_and_not_guessed(self, read: Read) -> None:
        record = one(read, {**TASK, "status": "pondering"})
        assert (record.outcome, record.meta["status"]) == ("unknown", "pondering")

    def test_milliseconds_and_structured_output_are_understood(self, read: Read) -> None:
        record = one(read, {"task_id": 5, "status": "ok", "duration_ms": 1500, "result": {"b": 1, "a": 2}})
        assert (record.latency, record.aliases, record.retries) == (1.5, ("5",), None)
        assert (record.output, record.messages) == ('{"a":2,"b":1}', ())

    def test_two_tasks_with_the_same_text_are_two(self, read: Read) -> None:
        records, _, _ = read(TASK, {**TASK, "task_id": "t-8"})
        assert len({record.id for record in records}) == 2

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"task_id": ""}, "no_task_id"),
            ({"task_id": []}, "no_task_id"),
            ({"quality": "good"}, "wrong_type"),
            ({"duration": -3}, "bad_number"),
            ({"retries": -1}, "bad_number"),
            ({"retries": 1.5}, "wrong_type"),
            ({"master": "The Boss"}, "bad_agent"),
            ({"timestamp": "yesterday"}, "bad_time"),
        ],
    )
    def test_a_bad_task_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        records, bad, _ = read({**TASK, **change})
        assert (records, bad[0].reason) == ([], expected)

    def test_a_quality_that_is_no_number_is_refused(self, read: Read) -> None:
        _, bad, _ = read({**TASK, "quality": float("nan")}, format="outcomes")
        assert bad[0].reason == "not_json"
        with pytest.raises(BadRecordError, match="bad_number"):
            list(FORMAT.start().read({**TASK, "quality": float("nan")}, Place(Origin("log"), "")))


class TestScales:
    seeds: ClassVar[Scale] = Scale(1.0, 5.0)

    @pytest.mark.parametrize(
        ("quality", "expected"),
        [(4.5, seeds), (5, seeds), (1.01, seeds), (1, None), (0.9, None), (0, None), (80, None)],
    )
    def test_without_a_word_only_1_to_5_can_be_told(self, read: Read, quality: float, expected: Scale | None) -> None:
        record = one(read, {**TASK, "quality": quality})
        assert (record.quality, record.quality_scale) == (quality, expected)

    @pytest.mark.parametrize(
        ("told", "expected"),
        [
            ({"quality_scale": {"low": 0, "high": 1}}, Scale(0.0, 1.0)),
            ({"scale": {"min": 0, "max": 10}}, Scale(0.0, 10.0)),
            ({"scale": [1, 5]}, seeds),
            ({"scale": "1-5"}, seeds),
            ({"scale": "0..1"}, Scale(0.0, 1.0)),
            ({"max_quality": 5}, seeds),
            ({"max_quality": 1}, Scale(0.0, 1.0)),
            ({"max_quality": 100}, Scale(0.0, 100.0)),
        ],
    )
    def test_what_the_record_says_goes_first(self, read: Read, told: dict[str, Any], expected: Scale) -> None:
        assert one(read, {**TASK, "quality": 1, **told}).quality_scale == expected

    @pytest.mark.parametrize(
        ("told", "expected"),
        [
            ({"scale": "good"}, "bad_scale"),
            ({"scale": "a-b"}, "bad_scale"),
            ({"scale": [5, 1]}, "bad_scale"),
            ({"scale": {"low": 1}}, "bad_scale"),
            ({"scale": [1, "5", 3]}, "bad_scale"),
            ({"max_quality": 1}, "bad_quality"),
        ],
    )
    def test_a_scale_that_is_none_is_refused(self, read: Read, told: dict[str, Any], expected: str) -> None:
        _, bad, _ = read({**TASK, **told})
        assert bad[0].reason == expected

    def test_no_quality_has_no_scale(self, read: Read) -> None:
        record = one(read, {**TASK, "quality": None, "scale": "1-5"})
        assert (record.quality, record.quality_scale) == (None, None)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["1-5", "ok"])
VALUES = LEAVES | st.lists(LEAVES, max_size=3) | st.dictionaries(st.sampled_from(["low", "high", "message"]), LEAVES)
KEYS = [*TASK, "scale", "max_quality", "messages", "success", "cost", "duration_ms", "domain", "episode"]


@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_no_value_breaks_the_parser(changes: dict[str, Any]) -> None:
    value = {**TASK, **changes}
    assert FORMAT.recognises(value)
    with contextlib.suppress(BadRecordError):
        (record,) = FORMAT.start().read(value, Place(Origin("log"), "shell"))
        assert isinstance(record, Interaction)
        if record.quality is not None and record.quality_scale is not None:
            assert record.quality_scale.low <= record.quality <= record.quality_scale.high
        assert json.dumps(record.meta)

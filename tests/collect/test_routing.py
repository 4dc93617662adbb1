import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.formats.routing import FORMAT
from cortex_cli.collect.records import BadRecordError, Place, Skipped
from cortex_cli.domain.interactions import Interaction, Message, Origin

Read = Callable[..., tuple[list[Any], list[Any], Any]]
WHEN = "2026-01-02T03:04:05Z"
# As the routing cascade of https://github.com/ry-ops/cortex writes it.
CASCADE: dict[str, Any] = {
    "timestamp": WHEN,
    "query": "fix the login",
    "selected_agent": "development",
    "routing_method": "keyword",
    "confidence": 0.96,
    "latency_ms": 12,
    "metadata": {},
}
MASTERS: dict[str, Any] = {
    "decision_id": "d-1",
    "timestamp": WHEN,
    "task": {"id": "t-1", "title": "Login", "description": "fix the login", "priority": "high"},
    "selected_master": "development-master",
    "confidence": 0.9,
    "method": "moe",
    "alternatives": [{"master": "security-master", "score": 0.1}],
}


def one(read: Read, value: Any, **options: str) -> Interaction:
    records, bad, reading = read(value, **options)
    assert (bad, reading.format) == ([], "routing")
    assert isinstance(records[0], Interaction)
    return records[0]


class TestDecisions:
    def test_a_decision_is_what_the_router_answered(self, read: Read) -> None:
        record = one(read, CASCADE)
        assert (record.agent, record.time, record.latency) == ("router", WHEN, 0.012)
        assert record.messages == (Message("user", "fix the login"),)
        assert json.loads(record.output) == {"agent": "development"}
        assert record.meta == {"confidence": "0.96", "method": "keyword"}
        assert record.outcome == "unknown"

    def test_a_task_of_several_fields_is_asked_in_words_and_named(self, read: Read) -> None:
        record = one(read, MASTERS)
        assert record.messages == (Message("user", "Login\nfix the login"),)
        assert record.aliases == ("d-1", "t-1")
        assert json.loads(record.meta["alternatives"])[0]["score"] == 0.1

    def test_a_nested_decision_is_read(self, read: Read) -> None:
        told = {"task_id": "t", "description": "q", "timestamp": WHEN}
        record = one(read, {**told, "decision": {"primary_expert": "security", "scores": {"security": 80}}})
        assert json.loads(record.output) == {"agent": "security"}

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"outcome": "success"}, "success"),
            ({"outcome": {"success": False, "quality": 2}}, "failure"),
            ({"success": True}, "success"),
            ({"status": "failed"}, "failure"),
            ({"outcome": {"error": "crashed"}}, "error"),
        ],
    )
    def test_how_it_went_is_the_outcome(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert one(read, {**MASTERS, **change}).outcome == expected

    def test_no_choice_is_an_error_and_a_question_back_is_told(self, read: Read) -> None:
        failed = one(read, {**CASCADE, "selected_agent": "routing_failed"})
        assert (failed.outcome, failed.output) == ("error", "")
        asks = one(read, {**CASCADE, "selected_agent": "clarification_needed"})
        assert (json.loads(asks.output), asks.meta["clarification"]) == ({"agent": None}, "true")

    def test_a_router_that_has_a_name_keeps_it(self, read: Read) -> None:
        assert one(read, {**CASCADE, "router": "cascade"}).agent == "cascade"
        assert one(read, CASCADE, agent="moe").agent == "moe"

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"query": " "}, "no_request"),
            ({"query": ["a"]}, "wrong_type"),
            ({"selected_agent": ["a"]}, "wrong_type"),
            ({"selected_agent": None}, "no_choice"),
            ({"timestamp": "soon"}, "bad_time"),
            ({"latency_ms": "fast"}, "wrong_type"),
        ],
    )
    def test_a_bad_decision_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        records, bad, _ = read({**CASCADE, **change}, format="routing")
        assert (records, bad[0].reason) == ([], expected)


class TestFamily:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"event_type": "worker_started", "timestamp": WHEN, "worker_id": "w"}, "event"),
            ({"event_type": "task_started", "timestamp": WHEN, "data": {"task_id": "t"}}, "event"),
            ({"worker_id": "w", "timestamp": WHEN, "tasks_completed": 5}, "metric"),
        ],
    )
    def test_what_holds_no_request_is_skipped_and_counted(self, read: Read, value: Any, expected: str) -> None:
        records, bad, reading = read(value)
        assert (records, bad, reading.format, reading.skipped) == ([], [], "routing", {expected: 1})

    def test_an_event_that_ends_a_task_is_its_outcome(self, read: Read) -> None:
        data = {"task_id": "t-1", "master": "development-master", "quality": 4.5, "description": "fix it"}
        record = one(read, {"event_type": "task_completed", "timestamp": WHEN, "data": data})
        assert (record.outcome, record.aliases, record.quality, record.time) == ("success", ("t-1",), 4.5, WHEN)
        record = one(read, {"event": "task.failed", "timestamp": WHEN, "task_id": "t-1", "agent": "shell"})
        assert (record.outcome, record.agent) == ("failure", "shell")

    @pytest.mark.parametrize(
        "value",
        [
            {"event": "request_finished", "timestamp": WHEN},
            {"event": "task_log", "timestamp": WHEN, "messages": []},
            {"type": "user", "timestamp": WHEN, "message": {}},
            {"prompt": "q", "chosen": "a", "rejected": "b", "scores": [1, 0]},
            {"selected_agent": "a", "name": "no task and no sign of a router"},
        ],
    )
    def test_events_of_other_programs_are_left_to_others(self, value: Any) -> None:
        assert not FORMAT.recognises(value)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = (
    LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.sampled_from(["id", "description", "error"]), LEAVES)
)
KEYS = [*CASCADE, *MASTERS, "event_type", "event", "data", "worker_id", "outcome", "status", "router", "decision"]


@given(st.sampled_from([CASCADE, MASTERS, {}]), st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_no_value_breaks_the_parser_or_is_dropped(start: dict[str, Any], changes: dict[str, Any]) -> None:
    value = {**start, **changes}
    FORMAT.recognises(value)
    with contextlib.suppress(BadRecordError):
        (found,) = FORMAT.start().read(value, Place(Origin("log"), ""))
        assert isinstance(found, Interaction | Skipped)

import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin, Scale

Read = Callable[..., tuple[list[Any], list[Any], Any]]
WHEN = "2026-01-02T03:04:05Z"
USER = {"role": "user", "content": "list files"}
ANSWER = {"role": "assistant", "content": "ls"}
RESPONSE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "created": 1767323045,
    "model": "m-1",
    "choices": [{"index": 0, "message": ANSWER, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}


def one(read: Read, value: Any, **options: str) -> Interaction:
    records, bad, _ = read(value, **{"agent": "shell", **options})
    assert not bad
    assert isinstance(records[0], Interaction)
    return records[0]


def reason(read: Read, value: Any, **options: str) -> str:
    records, bad, _ = read(value, **options)
    assert not records
    return str(bad[0].reason)


class TestCortex:
    interaction: ClassVar[dict[str, Any]] = {
        "agent": "shell",
        "time": WHEN,
        "messages": [USER],
        "output": "ls",
        "outcome": "success",
    }
    feedback: ClassVar[dict[str, Any]] = {"target": "i-1", "kind": "boolean", "thumbs": True, "time": WHEN}

    def test_an_interaction_without_an_id_gets_the_one_of_its_content(self, read: Read) -> None:
        record = one(read, self.interaction)
        assert record.messages == (Message("user", "list files"),)
        assert record.id.startswith("i-")
        assert record == one(read, self.interaction)

    def test_a_given_id_is_kept(self, read: Read) -> None:
        assert one(read, {**self.interaction, "id": "mine"}).id == "mine"

    def test_the_place_is_that_of_this_reading(self, read: Read) -> None:
        told = {**self.interaction, "origin": {"source": "elsewhere", "line": 9}}
        assert one(read, told).origin == Origin("log.jsonl", 1, one(read, told).origin.digest)

    def test_moments_are_brought_to_one_form(self, read: Read) -> None:
        assert one(read, {**self.interaction, "time": "2026-01-02T05:04:05+02:00"}).time == WHEN
        for number in (1767323045, 1767323045000, 1767323045000000, 1767323045000000000):
            assert one(read, {**self.interaction, "time": number}).time == WHEN

    def test_feedback_of_all_kinds_is_read(self, read: Read) -> None:
        records, bad, _ = read(
            self.feedback,
            {"target": "i-1", "kind": "score", "score": 4.5, "scale": {"low": 1, "high": 5}},
            {"target": "i-1", "kind": "comment", "comment": "too slow"},
            {"target": "e-1", "target_kind": "episode", "kind": "demonstration", "demonstration": "ls -l"},
        )
        assert not bad
        assert [record.kind for record in records if isinstance(record, Feedback)] == [
            "boolean",
            "score",
            "comment",
            "demonstration",
        ]
        assert isinstance(records[1], Feedback)
        assert records[1].scale == Scale(1.0, 5.0)
        assert len({record.id for record in records}) == 4

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"ouput": "typo"}, "unknown_field"),
            ({"messages": "text"}, "wrong_type"),
            ({"latency": "fast"}, "wrong_type"),
            ({"outcome": "great"}, "wrong_type"),
            ({"time": "yesterday"}, "bad_time"),
            ({"time": True}, "bad_time"),
            ({"time": 1e300}, "bad_time"),
            ({"agent": "../etc"}, "bad_agent"),
            ({"agent": 7}, "no_agent"),
            ({"tools": "[{"}, "not_json"),
            ({"messages": [{**USER, "tool_calls": "call me"}]}, "not_json"),
        ],
    )
    def test_a_bad_interaction_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert reason(read, {**self.interaction, **change}, format="cortex") == expected

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"thumbs": None}, "empty_feedback"),
            ({"kind": "comment"}, "empty_feedback"),
            ({"kind": "score", "score": 4.0}, "no_scale"),
            ({"kind": "applause"}, "wrong_type"),
            ({"stars": 5}, "unknown_field"),
        ],
    )
    def test_bad_feedback_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert reason(read, {**self.feedback, **change}, format="cortex") == expected


class TestOpenaiChat:
    def test_the_last_answer_is_the_output_and_the_rest_the_prompt(self, read: Read) -> None:
        record = one(read, {"messages": [{"role": "developer", "content": "be brief"}, USER, ANSWER]})
        assert record.messages == (Message("system", "be brief"), Message("user", "list files"))
        assert record.output == "ls"

    def test_text_parts_are_joined_and_tool_calls_kept_as_text(self, read: Read) -> None:
        calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
        parts = [{"type": "text", "text": "list "}, {"type": "text", "text": "files"}]
        record = one(
            read,
            {
                "messages": [{"role": "user", "content": parts}, {"role": "assistant", "tool_calls": calls}],
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
        )
        assert record.messages[0].content == "list files"
        assert json.loads(record.output) == calls
        assert json.loads(record.tools)[0]["function"]["name"] == "f"

    def test_a_pair_brings_time_tokens_model_and_id(self, read: Read) -> None:
        record = one(read, {"request": {"model": "m", "messages": [USER]}, "response": RESPONSE, "latency": 0.5})
        assert (record.output, record.time, record.tokens_in, record.tokens_out) == ("ls", WHEN, 5, 2)
        assert record.meta == {"model": "m-1", "producer_id": "chatcmpl-1"}
        assert record.latency == 0.5

    def test_every_choice_is_an_interaction_and_tokens_are_counted_once(self, read: Read) -> None:
        second = {"index": 1, "message": {"role": "assistant", "content": "dir"}}
        response = {**RESPONSE, "choices": [*RESPONSE["choices"], second]}
        records, _, _ = read({"request": {"messages": [USER]}, "response": response}, agent="shell")
        assert [record.output for record in records if isinstance(record, Interaction)] == ["ls", "dir"]
        assert sum(record.tokens_in or 0 for record in records if isinstance(record, Interaction)) == 5
        assert len({record.id for record in records}) == 2

    def test_a_failed_call_is_kept_as_an_error(self, read: Read) -> None:
        for value in (
            {"request": {"messages": [USER]}, "response": {"error": {"message": "rate limit"}}},
            {"request": {"messages": [USER]}, "response": None, "error": "rate limit"},
        ):
            record = one(read, value)
            assert (record.outcome, record.error, record.output) == ("error", "rate limit", "")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"messages": []}, "no_answer"),
            ({"messages": [USER]}, "no_answer"),
            ({"messages": [{"role": "robot", "content": ""}]}, "bad_messages"),
            ({"messages": [{"role": ["user"], "content": ""}]}, "bad_messages"),
            ({"messages": ["hi"]}, "bad_messages"),
            ({"messages": [USER, {"role": "assistant", "tool_calls": "f()"}]}, "wrong_type"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]}, "unsupported_content"),
            ({"messages": [{"role": "user", "content": 5}, ANSWER]}, "bad_messages"),
            ({"request": {"messages": [USER]}, "response": {"choices": []}}, "no_answer"),
            ({"request": [], "response": {}}, "wrong_type"),
            ({"request": {"messages": [USER]}, "response": {**RESPONSE, "created": "soon"}}, "bad_time"),
            (
                {"request": {"messages": [USER]}, "response": {**RESPONSE, "usage": {"prompt_tokens": "x"}}},
                "wrong_type",
            ),
        ],
    )
    def test_what_is_no_exchange_is_told_by_its_reason(self, read: Read, value: Any, expected: str) -> None:
        assert reason(read, value, agent="shell", format="openai-chat") == expected

    def test_without_an_agent_nothing_can_be_kept(self, read: Read) -> None:
        assert reason(read, {"messages": [USER, ANSWER]}) == "no_agent"


class TestOutcomes:
    task: ClassVar[dict[str, Any]] = {
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

    def test_every_field_of_the_seeds_is_kept(self, read: Read) -> None:
        record = one(read, self.task)
        assert (record.agent, record.outcome, record.quality, record.latency) == (
            "development-master",
            "success",
            4.5,
            12.0,
        )
        assert record.messages == (Message("user", "fix the build"),)
        assert (record.output, record.time) == ("done", WHEN)
        assert record.meta == {"producer_id": "t-7", "retries": "1"}

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"status": "FAILED"}, "failure"),
            ({"status": "timeout"}, "error"),
            ({"status": "pondering"}, "unknown"),
            ({"error": "exit 1"}, "error"),
            ({"status": None, "success": True}, "success"),
            ({"status": None, "success": False}, "failure"),
        ],
    )
    def test_failures_are_kept_as_such(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert one(read, {**self.task, **change}).outcome == expected

    def test_milliseconds_and_structured_output_are_understood(self, read: Read) -> None:
        record = one(read, {"task_id": 5, "status": "ok", "duration_ms": 1500, "result": {"b": 1, "a": 2}})
        assert record.latency == 1.5
        assert record.output == '{"a":2,"b":1}'
        assert record.messages == ()

    def test_two_tasks_with_the_same_text_are_two(self, read: Read) -> None:
        records, _, _ = read(self.task, {**self.task, "task_id": "t-8"})
        assert len({record.id for record in records}) == 2

    @pytest.mark.parametrize(
        ("change", "expected"),
        [({"task_id": ""}, "no_task_id"), ({"task_id": []}, "no_task_id"), ({"quality": "good"}, "wrong_type")],
    )
    def test_a_bad_task_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert reason(read, {**self.task, **change}) == expected


class TestNl2bash:
    row: ClassVar[dict[str, Any]] = {
        "system": "dev",
        "request": "list files",
        "prediction": "ls",
        "command_correct": "y",
        "template_correct": "y",
        "judges": {
            "A": {"command": "y", "template": "y"},
            "B": {"command": "n", "template": "y"},
            "C": {"command": "", "template": ""},
        },
    }

    def test_a_row_is_an_interaction_and_one_judgement_per_judge_who_judged(self, read: Read) -> None:
        records, _, _ = read(self.row, agent="shell")
        interaction = records[0]
        assert isinstance(interaction, Interaction)
        assert (interaction.output, interaction.outcome) == ("ls", "success")
        judged = [record for record in records[1:] if isinstance(record, Feedback)]
        assert [(item.name, item.thumbs, item.annotator) for item in judged] == [
            ("judge-A", True, "human"),
            ("judge-B", False, "human"),
        ]
        assert {item.target for item in judged} == {interaction.id}

    def test_a_wrong_command_is_a_failure_that_is_kept(self, read: Read) -> None:
        assert one(read, {**self.row, "command_correct": "n"}).outcome == "failure"

    def test_an_empty_prediction_is_kept_as_given(self, read: Read) -> None:
        assert one(read, {**self.row, "prediction": ""}).output == ""

    def test_rows_that_repeat_were_judged_apart_and_stay_apart(self, read: Read) -> None:
        records, _, _ = read(self.row, self.row, agent="shell")
        again, _, _ = read(self.row, self.row, agent="shell")
        assert len({record.id for record in records}) == 6
        assert [record.id for record in records] == [record.id for record in again]

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"request": ""}, "missing_field"),
            ({"prediction": None}, "missing_field"),
            ({"prediction": 5}, "wrong_type"),
            ({"judges": ["A"]}, "wrong_type"),
        ],
    )
    def test_a_bad_row_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert reason(read, {**self.row, **change}, agent="shell") == expected

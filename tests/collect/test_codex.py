import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.domain.interactions import Interaction, Message

Read = Callable[..., tuple[list[Any], list[Any], Any]]
LINES = [
    json.loads(line)
    for line in (Path(__file__).parent / "fixtures" / "codex" / "rollout.jsonl").read_text().splitlines()
]


def line(kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": "2026-01-02T03:04:05.000Z", "type": kind, "payload": payload}


def said(role: str, text: Any, **told: Any) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}] if isinstance(text, str) else text
    return line("response_item", type="message", role=role, content=content, **told)


def called(number: str = "c") -> dict[str, Any]:
    return line("response_item", type="function_call", name="shell", arguments="{}", call_id=number)


def gave(number: str = "c") -> dict[str, Any]:
    return line("response_item", type="function_call_output", call_id=number, output="done")


def event(kind: str, **told: Any) -> dict[str, Any]:
    return line("event_msg", type=kind, **told)


META = line("session_meta", id="s-1", cwd="/home/ann", cli_version="0.98.0", source="cli")


def interactions(read: Read, *values: dict[str, Any]) -> list[Interaction]:
    records, bad, _ = read(META, *values)
    assert not bad
    return [record for record in records if isinstance(record, Interaction)]


class TestRollout:
    def test_each_prompt_of_a_person_is_one_interaction(self, read: Read) -> None:
        records, bad, reading = read(*LINES)
        assert reading.format == "codex"
        assert [(record.outcome, record.origin.line) for record in records] == [
            ("unknown", 7),
            ("failure", 24),
            ("unknown", 30),
        ]
        assert {(record.agent, record.episode) for record in records} == {
            ("codex", "019b7dba-0000-7000-8000-0000000000c0")
        }
        assert [(item.reason, item.origin.line) for item in bad] == [("unfinished", 34)]
        assert reading.skipped == {"ui_event": 2, "reasoning": 1, "web_search_call": 1, "unknown_type": 2}

    def test_what_the_program_injects_is_the_systems_word(self, read: Read) -> None:
        first = read(*LINES)[0][0]
        assert [message.role for message in first.messages] == [
            "system",
            "system",
            "system",
            "user",
            "assistant",
            "tool",
            "assistant",
            "tool",
        ]
        assert first.messages[3].content == "How many tests are there?"

    def test_calls_of_all_kinds_and_their_results_are_told(self, read: Read) -> None:
        first = read(*LINES)[0][0]
        assert first.messages[4].content == "I count them."
        assert json.loads(first.messages[4].tool_calls)[0]["function"]["name"] == "shell"
        assert first.messages[5].name == "shell"
        assert json.loads(json.loads(first.messages[6].tool_calls)[0]["function"]["arguments"]) == {
            "input": "*** Begin Patch"
        }
        assert first.messages[7] == Message("tool", "done", "apply_patch")

    def test_tokens_are_those_of_the_turn_however_often_they_are_told(self, read: Read) -> None:
        first = read(*LINES)[0][0]
        assert (first.tokens_in, first.tokens_out, first.latency) == (250, 30, 6.0)
        assert (first.aliases, first.meta) == (("turn-1",), {"model": "gpt-5-codex"})

    def test_an_interrupted_turn_is_a_failure_with_what_it_did(self, read: Read) -> None:
        second = read(*LINES)[0][1]
        assert json.loads(second.calls)[0]["function"]["name"] == "shell"
        assert second.error == "interrupted by the user"

    def test_a_compaction_puts_its_history_in_the_place_of_what_was_said(self, read: Read) -> None:
        third = read(*LINES)[0][2]
        assert [message.role for message in third.messages] == ["user", "system", "user"]
        assert third.messages[1].content.endswith("They count tests.")
        assert "history" not in third.meta


def test_a_compaction_without_its_history_leaves_none(read: Read) -> None:
    talk = (said("user", "hi"), said("assistant", "hello"), line("compacted", message="they greet"))
    _, second = interactions(read, *talk, said("user", "bye"), said("assistant", "ciao"))
    assert second.messages == (Message("user", "bye"),)
    assert second.meta["history"] == "missing"


def test_a_compaction_amid_a_turn_goes_on_with_it(read: Read) -> None:
    kept = [{"type": "message", "role": "user", "content": "hi"}]
    talk = (said("user", "hi"), called(), gave(), line("compacted", message="x", replacement_history=kept))
    (record,) = interactions(read, *talk, said("assistant", "hello"))
    assert (record.messages, record.output) == ((Message("user", "hi"),), "hello")


def test_turns_that_are_rolled_back_are_forgotten_by_later_ones(read: Read) -> None:
    talk = (said("user", "hi"), said("assistant", "hello"), said("user", "no"), said("assistant", "yes"))
    records = interactions(
        read, *talk, event("thread_rolled_back", num_turns=1), said("user", "bye"), said("assistant", "ciao")
    )
    assert [record.output for record in records] == ["hello", "yes", "ciao"]
    assert [message.content for message in records[2].messages] == ["hi", "hello", "bye"]


def test_prompts_that_follow_each_other_are_one_question(read: Read) -> None:
    (record,) = interactions(read, said("user", "hi"), said("user", "there"), said("assistant", "hello"))
    assert [message.content for message in record.messages] == ["hi", "there"]


def test_a_sub_agent_is_marked(read: Read) -> None:
    meta = line("session_meta", id="s-2", source={"subagent": {"thread_spawn": {"parent_thread_id": "s-1"}}})
    records, _, _ = read(meta, said("user", "look"), said("assistant", "seen"))
    assert records[0].meta == {"sidechain": "true"}


def test_an_error_of_the_service_is_an_error(read: Read) -> None:
    (record,) = interactions(read, said("user", "hi"), event("error", message="quota exceeded"))
    assert (record.outcome, record.error, record.output) == ("error", "quota exceeded", "")


def test_a_picture_spoils_its_turn_and_the_history_of_later_ones(read: Read) -> None:
    picture = [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]
    talk = (
        META,
        said("user", picture),
        said("assistant", "a cat"),
        said("user", "thanks"),
        said("assistant", "welcome"),
    )
    records, bad, _ = read(*talk)
    assert [item.reason for item in bad] == ["unsupported_content"]
    assert [(record.output, record.meta["history"]) for record in records] == [("welcome", "missing")]


def test_files_of_the_first_versions_are_read(read: Read) -> None:
    meta = {"id": "s-0", "timestamp": "2025-06-01T00:00:00Z", "instructions": None}
    state = {"record_type": "state"}
    asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    told = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
    records, bad, reading = read(meta, state, asked, {"type": "reasoning", "summary": []}, told)
    assert not bad
    assert [(record.output, record.episode, record.time) for record in records] == [("hello", "s-0", "")]
    assert reading.skipped == {"unknown_type": 1, "reasoning": 1}


@pytest.mark.parametrize(
    "lines",
    [
        (said("user", "hi"),),
        (said("user", "hi"), called()),
        (said("user", "hi"), called(), gave()),
        (said("user", "hi"), said("assistant", "I look", phase="commentary")),
        (event("task_started"), said("user", "hi"), said("assistant", "I look")),
    ],
)
def test_a_turn_without_its_end_is_unfinished(read: Read, lines: tuple[dict[str, Any], ...]) -> None:
    records, bad, _ = read(META, *lines)
    assert not records
    assert [item.reason for item in bad] == ["unfinished"]


def test_the_end_that_comes_later_finishes_a_turn(read: Read) -> None:
    lines = (event("task_started"), said("user", "hi"), said("assistant", "hello"), event("task_complete"))
    (record,) = interactions(read, *lines)
    assert record.output == "hello"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (said("robot", "hi"), "bad_messages"),
        (line("compacted", replacement_history=[5]), "wrong_type"),
        (line("turn_context", model=["m"]), "wrong_type"),
        (event("token_count", info={"total_token_usage": {"input_tokens": "many"}}), "wrong_type"),
        ({"timestamp": "2026-01-02", "payload": {}}, "wrong_type"),
    ],
)
def test_a_line_that_cannot_be_is_told_by_its_reason(read: Read, value: dict[str, Any], expected: str) -> None:
    _, bad, _ = read(META, value, format="codex")
    assert [item.reason for item in bad] == [expected]


def test_an_answer_that_cannot_be_read_spoils_its_turn(read: Read) -> None:
    records, bad, _ = read(META, said("user", "hi"), said("assistant", [{"type": "hologram"}]))
    assert not records
    assert [item.reason for item in bad] == ["unsupported_content"]

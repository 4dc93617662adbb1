import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.reading import Joint, Reading, load_format
from cortex_cli.collect.responses import parse_items
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.interactions import Interaction, Message
from tests.collect.openai_logs import (
    FIXTURES,
    HERE,
    RESPONSE,
    USER,
    Read,
    adds_up,
    one,
    reason,
    recorded,
)


def respond(name: str, text: str, **fields: Any) -> dict[str, Any]:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"id": name, "object": "response", "status": "completed", "output": [message], **fields}


class TestResponses:
    def test_what_the_real_client_logged_is_read(self) -> None:
        records, bad, reading = recorded("responses.jsonl")
        assert (reading.format, adds_up(reading)) == ("openai-responses", True)
        # A stream event holds a response without its input.
        assert [item.reason for item in bad] == ["prompt_missing"]
        assert reading.skipped == {"stream_event": 2}
        found = {record.messages[-1].content: record for record in records}
        asked, told = found["How warm is it in Oslo?"], found['{"celsius": 18}']
        assert asked.messages[0] == Message("system", "Use tools.")
        assert json.loads(asked.tools)[0]["function"]["name"] == "get_weather"
        assert json.loads(asked.calls)[0]["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
        assert [message.role for message in told.messages] == ["user", "assistant", "tool"]

    def test_instructions_never_carry_over(self) -> None:
        records, _, _ = recorded("responses.jsonl")
        (last,) = [record for record in records if record.messages[0].content == "Be brief."]
        assert [message.role for message in last.messages] == [
            "system",
            "user",
            "assistant",
            "tool",
            "assistant",
            "user",
        ]
        assert "history" not in last.meta

    def test_history_that_is_not_here_is_marked(self) -> None:
        records, _, _ = recorded("responses.jsonl")
        missing = [record for record in records if record.meta.get("history") == "missing"]
        assert [record.episode for record in missing] == ["conv_1", ""]
        assert missing[1].meta["finish"] == "max_output_tokens"

    @given(st.permutations(range(4)))
    def test_a_chain_is_joined_in_any_order(self, order: list[int]) -> None:
        lines = [
            {
                "request": {"input": f"q{n}", **({"previous_response_id": f"r{n - 1}"} if n else {})},
                "response": respond(f"r{n}", f"a{n}"),
            }
            for n in range(4)
        ]
        parser = load_format("openai-responses").start()
        found = [record for n in order for record in parser.read(lines[n], HERE)] + list(parser.finish())
        longest = max((record for record in found if isinstance(record, Interaction)), key=lambda r: len(r.messages))
        assert [message.content for message in longest.messages] == ["q0", "a0", "q1", "a1", "q2", "a2", "q3"]
        assert not any(record.meta.get("history") for record in found if isinstance(record, Interaction))

    def test_a_chain_that_bites_its_tail_is_missing_its_beginning(self, read: Read) -> None:
        values = [
            {"request": {"input": "q", "previous_response_id": f"r{1 - n}"}, "response": respond(f"r{n}", "a")}
            for n in range(2)
        ]
        records, bad, _ = read(*values, agent="shell")
        assert not bad
        assert {record.meta["history"] for record in records} == {"missing"}

    def test_several_messages_are_one_answer_as_in_the_sdk(self, read: Read) -> None:
        response = respond("r", "one ")
        response["output"] += [{"type": "reasoning", "summary": []}, *respond("r", "two")["output"]]
        assert one(read, {"request": {"input": "q"}, "response": response}).output == "one two"

    def test_what_the_server_ran_is_named(self, read: Read) -> None:
        response = respond("r", "found")
        response["output"].insert(0, {"type": "web_search_call", "id": "ws"})
        assert one(read, {"request": {"input": "q"}, "response": response}).meta["server_calls"] == "web_search_call"

    def test_a_stored_response_may_carry_its_input_and_its_times(self, read: Read) -> None:
        stored = respond("r", "ls", input_items={"data": [USER]}, created_at=1767323045, completed_at=1767323047)
        record = one(read, stored)
        assert (record.messages, record.latency) == ((Message("user", "list files"),), 2.0)

    def test_instructions_may_be_items(self, read: Read) -> None:
        told = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}]
        record = one(read, {"request": {"input": "q", "instructions": told}, "response": respond("r", "ls")})
        assert [message.role for message in record.messages] == ["system", "user", "user"]

    def test_events_of_a_stream_with_their_request_are_read(self, read: Read) -> None:
        event = {"type": "response.completed", "sequence_number": 9, "request": {"input": "q"}}
        assert one(read, {**event, "response": respond("r", "ls")}).output == "ls"

    def test_a_failure_is_kept_as_an_error(self, read: Read) -> None:
        failed = {"id": "r", "object": "response", "status": "failed", "output": [], "error": {"message": "boom"}}
        record = one(read, {"request": {"input": "q"}, "response": failed})
        assert (record.outcome, record.error) == ("error", "boom")
        record = one(read, {"request": {"input": "q"}, "response": {**failed, "status": "cancelled", "error": None}})
        assert (record.outcome, record.error) == ("error", "cancelled")

    def test_items_of_all_kinds_become_messages(self) -> None:
        items = [
            {"role": "user", "content": [{"type": "input_text", "text": "q"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
            {"type": "local_shell_call", "call_id": "e", "action": {"command": ["ls"]}},
            {"type": "function_call_output", "call_id": "c", "output": "1"},
            {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "2"}]},
            {"type": "local_shell_call_output", "call_id": "e", "output": {"stdout": "3"}},
            {"type": "item_reference", "id": "i"},
        ]
        found = parse_items(items, "input")
        assert [message.role for message in found.messages] == ["user", "assistant", "tool", "tool", "tool"]
        calls = json.loads(found.messages[1].tool_calls)
        assert [call["type"] for call in calls] == ["function", "custom", "function"]
        assert [message.content for message in found.messages[2:]] == ["1", "2", '{"stdout":"3"}']
        assert [message.name for message in found.messages[2:]] == ["f", "", "local_shell"]
        assert not found.whole

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (respond("r", "a"), "prompt_missing"),
            ({"request": {"input": "q"}, "response": respond("r", "a", status="in_progress")}, "unfinished"),
            ({"request": {"input": "q"}, "response": respond("r", "a", output=[])}, "no_answer"),
            ({"request": {"input": 5}, "response": respond("r", "a")}, "wrong_type"),
            ({"request": {"input": [{"type": "hologram"}]}, "response": respond("r", "a")}, "unsupported_content"),
            (
                {"request": {"input": "q"}, "response": respond("r", "a", output=[{"type": "image_generation_call"}])},
                "unsupported_content",
            ),
            (
                {
                    "request": {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]},
                    "response": respond("r", "a"),
                },
                "unsupported_content",
            ),
            ({"request": {"input": "q"}, "response": respond("r", "a", output=[USER])}, "bad_messages"),
        ],
    )
    def test_half_a_truth_is_refused(self, read: Read, value: Any, expected: str) -> None:
        assert reason(read, value, format="openai-responses") == expected


class TestBatch:
    @staticmethod
    def both(*names: str) -> tuple[list[Any], list[Reading]]:
        joint = Joint()
        readings = [Reading(open_source(FIXTURES / name), agent="desk", joint=joint) for name in names]
        items = [item for reading in readings for item in reading]
        return items + [late.item for late in joint.finish()], readings

    @pytest.mark.parametrize(
        "names", [("batch_input.jsonl", "batch_output.jsonl"), ("batch_output.jsonl", "batch_input.jsonl")]
    )
    def test_input_and_output_files_are_joined(self, names: tuple[str, str]) -> None:
        items, readings = self.both(*names)
        found = {record.aliases[-1]: record for record in items}
        assert set(found) == {"a", "b", "c"}
        assert found["a"].output == "The capital of Norway is Oslo."
        assert found["a"].aliases[0].startswith("chatcmpl-")
        assert (found["b"].outcome, found["b"].error) == ("error", "The model `missing-model` does not exist")
        assert found["c"].messages == (Message("user", "Hello"),)
        assert [reading.skipped for reading in readings] == [{"not_inference": 1}] * 2
        assert all(adds_up(reading) for reading in readings)

    def test_both_files_one_behind_the_other_are_joined_too(self, read: Read) -> None:
        lines = [
            line + b"\n"
            for name in ("output", "input")
            for line in (FIXTURES / f"batch_{name}.jsonl").read_bytes().split(b"\n")
        ]
        records, bad, _ = read(*lines, agent="desk")
        assert (len(records), bad) == (3, [])

    def test_an_output_without_its_input_says_what_to_give(self) -> None:
        _, bad, _ = recorded("batch_output.jsonl")
        assert {item.reason for item in bad} == {"prompt_missing"}
        assert "input file too" in bad[0].detail

    def test_an_input_without_its_output_has_no_answer(self) -> None:
        records, bad, _ = recorded("batch_input.jsonl")
        assert (records, {item.reason for item in bad}) == ([], {"no_answer"})

    def asked(self, name: str, text: str, url: str = "/v1/chat/completions") -> dict[str, Any]:
        body = {"messages": [{"role": "user", "content": text}], "prompt": text}
        return {"custom_id": name, "method": "POST", "url": url, "body": body}

    def told(self, name: str, body: Any = RESPONSE, **fields: Any) -> dict[str, Any]:
        return {"id": "b", "custom_id": name, "response": {"status_code": 200, "body": body}, "error": None, **fields}

    def test_two_batches_with_the_same_names_are_not_mixed_up(self, read: Read) -> None:
        values = [self.asked("1", "one"), self.asked("1", "two"), self.told("1")]
        _, bad, _ = read(*values, agent="shell")
        assert {item.reason for item in bad} == {"ambiguous_id"}

    def test_an_expired_request_is_kept_as_an_error(self, read: Read) -> None:
        expired = {"error": {"code": "batch_expired", "message": "too late"}, "response": None}
        records, bad, _ = read(self.asked("1", "q"), self.told("1", **expired), agent="shell")
        assert (bad, records[0].outcome, records[0].error) == ([], "error", "too late")

    def test_a_refused_request_is_kept_as_an_error(self, read: Read) -> None:
        refused = {"response": {"status_code": 500, "body": {}}}
        records, bad, _ = read(self.asked("1", "q"), self.told("1", **refused), agent="shell")
        assert (bad, records[0].outcome, records[0].error) == ([], "error", "status 500")

    def test_a_prompt_that_is_no_text_is_refused(self, read: Read) -> None:
        asked = self.asked("1", "q", "/v1/completions")
        asked["body"]["prompt"] = [1, 2]
        assert reason(read, asked, self.told("1")) == "unsupported_content"

    def test_old_completions_are_read_as_questions(self, read: Read) -> None:
        body = {"id": "cmpl-1", "choices": [{"text": "ls", "finish_reason": "stop"}]}
        values = [self.asked("1", "list files", "/v1/completions"), self.told("1", body)]
        records, bad, _ = read(*values, agent="shell")
        assert not bad
        assert (records[0].messages, records[0].output) == ((Message("user", "list files"),), "ls")

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([{"custom_id": "", "url": "/v1/responses", "body": {}}], "no_custom_id"),
            ([{"custom_id": "1", "url": "/v1/responses", "body": []}], "wrong_type"),
            ([{"custom_id": "1", "response": None, "error": None}], "no_answer"),
            ([{"custom_id": "1", "response": [1], "error": None}], "wrong_type"),
        ],
    )
    def test_a_bad_line_is_told_by_its_reason(self, read: Read, values: list[Any], expected: str) -> None:
        assert reason(read, *values, format="openai-batch") == expected

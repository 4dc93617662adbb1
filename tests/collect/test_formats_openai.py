import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.completions import Stream
from cortex_cli.collect.reading import load_format
from cortex_cli.collect.records import BadRecordError, Place, Quarantined, Skipped
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin
from tests.collect.openai_logs import (
    ANSWER,
    CALL,
    RESPONSE,
    USER,
    WHEN,
    Read,
    adds_up,
    one,
    reason,
    recorded,
)


class TestTuningFiles:
    def test_the_last_answer_is_the_output_and_the_rest_the_prompt(self, read: Read) -> None:
        record = one(read, {"messages": [{"role": "developer", "content": "be brief"}, USER, ANSWER]})
        assert record.messages == (Message("system", "be brief"), Message("user", "list files"))
        assert record.output == "ls"

    def test_an_example_is_no_observed_use(self, read: Read) -> None:
        record = one(read, {"messages": [USER, ANSWER]})
        assert (record.outcome, record.meta) == ("unknown", {"supervised": "true"})

    def test_text_and_tool_calls_of_an_answer_are_both_kept(self, read: Read) -> None:
        parts = [{"type": "text", "text": "list "}, {"type": "text", "text": "files"}]
        answer = {"role": "assistant", "content": "let me look", "tool_calls": [CALL]}
        tools = [{"type": "function", "function": {"name": "f"}}]
        record = one(read, {"messages": [{"role": "user", "content": parts}, answer], "tools": tools})
        assert record.messages[0].content == "list files"
        assert (record.output, json.loads(record.calls)) == ("let me look", [CALL])
        assert json.loads(record.tools) == tools

    def test_an_answer_without_text_is_its_calls(self, read: Read) -> None:
        record = one(read, {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]})
        assert record.output == record.calls == json.dumps([CALL], separators=(",", ":"), sort_keys=True)

    def test_functions_of_old_files_become_tools_and_calls(self, read: Read) -> None:
        old = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
        record = one(read, {"messages": [USER, old], "functions": [{"name": "f"}]})
        assert json.loads(record.calls) == [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
        assert json.loads(record.tools) == [{"type": "function", "function": {"name": "f"}}]

    def test_an_answer_of_weight_0_is_not_the_one_to_learn(self, read: Read) -> None:
        good = {**ANSWER, "weight": 1}
        bad = {"role": "assistant", "content": "rm", "weight": 0}
        record = one(read, {"messages": [USER, good, USER, bad]})
        assert (record.output, len(record.messages), record.meta["weights"]) == ("ls", 1, "1,0")
        assert reason(read, {"messages": [USER, bad]}) == "no_answer"

    def test_a_tool_that_answers_is_named_after_the_call(self, read: Read) -> None:
        called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        told = {"role": "tool", "tool_call_id": "c1", "content": "18"}
        assert one(read, {"messages": [USER, called, told, ANSWER]}).messages[2] == Message("tool", "18", name="f")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"messages": []}, "no_answer"),
            ({"messages": [USER]}, "no_answer"),
            ({"messages": [USER, {"role": "assistant", "content": ""}]}, "no_answer"),
            ({"messages": [{"role": "robot", "content": ""}]}, "bad_messages"),
            ({"messages": [{"role": ["user"], "content": ""}]}, "bad_messages"),
            ({"messages": ["hi"]}, "bad_messages"),
            ({"messages": [USER, {"role": "assistant", "tool_calls": "f()"}]}, "wrong_type"),
            ({"messages": [USER, {**ANSWER, "weight": "much"}]}, "wrong_type"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]}, "unsupported_content"),
            ({"messages": [{"role": "user", "content": 5}, ANSWER]}, "bad_messages"),
        ],
    )
    def test_what_is_no_example_is_told_by_its_reason(self, read: Read, value: Any, expected: str) -> None:
        assert reason(read, value, format="openai-chat") == expected

    def test_without_an_agent_nothing_can_be_kept(self, read: Read) -> None:
        records, bad, _ = read({"messages": [USER, ANSWER]})
        assert (records, bad[0].reason) == ([], "no_agent")


class TestChatPairs:
    def test_a_pair_brings_time_tokens_model_and_its_name(self, read: Read) -> None:
        record = one(read, {"request": {"model": "m", "messages": [USER]}, "response": RESPONSE, "latency": 0.5})
        assert (record.output, record.time, record.tokens_in, record.tokens_out) == ("ls", WHEN, 5, 2)
        assert (record.meta, record.aliases) == ({"model": "m-1"}, ("chatcmpl-1",))
        assert record.latency == 0.5

    def test_every_choice_is_an_interaction_and_tokens_and_cost_are_counted_once(self, read: Read) -> None:
        second = {"index": 1, "message": {"role": "assistant", "content": "dir"}}
        response = {**RESPONSE, "choices": [*RESPONSE["choices"], second]}
        records, _, _ = read({"request": {"messages": [USER]}, "response": response, "cost": 0.5}, agent="shell")
        assert [record.output for record in records] == ["ls", "dir"]
        assert [record.aliases for record in records] == [("chatcmpl-1",), ("chatcmpl-1#1",)]
        assert sum(record.tokens_in for record in records) == 5
        assert sum(record.cost for record in records) == 0.5

    def test_a_failed_call_is_kept_as_an_error(self, read: Read) -> None:
        for value in (
            {"request": {"messages": [USER]}, "response": {"error": {"message": "rate limit"}}},
            {"request": {"messages": [USER]}, "response": None, "error": "rate limit"},
            {"request": {"messages": [USER]}, "error": "rate limit"},
        ):
            record = one(read, value)
            assert (record.outcome, record.error, record.output) == ("error", "rate limit", "")

    def test_a_request_and_its_response_may_stand_in_one_object(self, read: Read) -> None:
        assert one(read, {"messages": [USER], **RESPONSE}).output == "ls"

    def test_a_bare_response_finds_its_request_in_any_order(self, read: Read) -> None:
        asked = {"id": "chatcmpl-1", "request": {"messages": [USER]}, "session_id": "s"}
        for lines in ((asked, RESPONSE), (RESPONSE, asked)):
            records, bad, reading = read(*lines, agent="shell")
            assert (bad, reading.joined) == ([], 2)
            assert (records[0].output, records[0].episode, records[0].aliases) == ("ls", "s", ("chatcmpl-1",))

    def test_two_requests_of_one_name_are_not_mixed_up(self, read: Read) -> None:
        asked = {"id": "chatcmpl-1", "request": {"messages": [USER]}}
        other = {"id": "chatcmpl-1", "request": {"messages": [{"role": "user", "content": "other"}]}}
        records, bad, reading = read(asked, asked, other, RESPONSE, agent="shell")
        assert [record.messages[0].content for record in records] == ["list files"]
        assert ([item.reason for item in bad], adds_up(reading)) == (["ambiguous_id"], True)

    def test_a_joined_answer_that_is_bad_is_told_by_its_reason(self, read: Read) -> None:
        asked = {"id": "chatcmpl-1", "request": {"messages": [USER]}}
        records, bad, reading = read(asked, {**RESPONSE, "created": "soon"}, agent="shell")
        assert (records, [item.reason for item in bad], adds_up(reading)) == ([], ["bad_time"], True)

    def test_half_of_an_exchange_is_never_taken_for_the_whole(self, read: Read) -> None:
        assert reason(read, RESPONSE) == "prompt_missing"
        assert reason(read, {"id": "x", "request": {"messages": [USER]}}) == "no_answer"
        assert reason(read, {**RESPONSE, "id": None}) == "prompt_missing"

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"response": {"choices": []}}, "no_answer"),
            ({"response": {"choices": [{"index": 0}]}}, "no_answer"),
            ({"response": {"choices": [{"message": {"role": "assistant", "audio": {}}}]}}, "no_answer"),
            ({"response": {"choices": ["text"]}}, "wrong_type"),
            ({"response": [{"choices": [{"delta": {"content": "l"}}]}]}, "unfinished"),
            ({"request": []}, "wrong_type"),
            ({"request": {"messages": []}}, "prompt_missing"),
            ({"response": {**RESPONSE, "created": "soon"}}, "bad_time"),
            ({"response": {**RESPONSE, "usage": {"prompt_tokens": "x"}}}, "wrong_type"),
            ({"response": {**RESPONSE, "usage": {"prompt_tokens": 10**30}}}, "bad_number"),
            ({"latency": "fast"}, "wrong_type"),
        ],
    )
    def test_a_bad_pair_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        value = {"request": {"messages": [USER]}, "response": RESPONSE, **change}
        if expected == "no_answer" and "audio" in json.dumps(change):
            value["response"]["choices"][0]["message"]["audio"] = {"id": "a"}
            expected = "unsupported_content"
        assert reason(read, value, format="openai-chat") == expected

    def test_what_the_real_client_logged_is_read(self) -> None:
        records, bad, reading = recorded("chat.jsonl")
        assert (bad, reading.format, adds_up(reading)) == ([], "openai-chat", True)
        plain, first, second, called, refused, cut, failed = records
        assert (plain.user, plain.latency, plain.tokens_in) == ("user-7", 0.25, 5)
        assert plain.messages[0] == Message("system", "Answer briefly.")
        assert first.output == second.output
        assert [call["function"]["name"] for call in json.loads(called.calls)] == ["get_weather", "get_weather"]
        assert (refused.output, refused.meta["refusal"]) == ("I cannot help with that.", "true")
        assert cut.meta["finish"] == "length"
        assert (failed.outcome, failed.error) == ("error", "The model `missing-model` does not exist")


class TestStreams:
    def test_chunks_of_the_real_client_become_whole_answers(self) -> None:
        records, bad, reading = recorded("chat_stream.jsonl")
        assert records[0].output == "The capital of Norway is Oslo."
        arguments = [call["function"]["arguments"] for call in json.loads(records[1].calls)]
        assert arguments == ['{"city":"Oslo"}', '{"city":"Bergen"}']
        assert (records[0].tokens_in, records[0].tokens_out) == (3, 7)
        assert sorted(item.reason for item in bad) == ["no_answer", "unfinished"]
        assert adds_up(reading)

    def test_a_pair_may_hold_its_chunks(self, read: Read) -> None:
        chunks = [
            {"id": "c", "choices": [{"index": 0, "delta": {"content": "l"}}]},
            {"id": "c", "choices": [{"index": 0, "delta": {"content": "s"}, "finish_reason": "stop"}]},
        ]
        assert one(read, {"request": {"messages": [USER]}, "response": chunks}).output == "ls"

    @given(st.text(min_size=1, max_size=30), st.data())
    def test_any_cut_into_chunks_gives_the_same_answer(self, text: str, data: st.DataObject) -> None:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        stream = Stream()
        for piece in pieces:
            stream.add({"choices": [{"index": 0, "delta": {"content": piece}}]})
            assert not stream.whole
        stream.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        assert stream.whole
        assert stream.render()["choices"][0]["message"]["content"] == text

    def test_a_stream_that_was_logged_twice_is_said_once(self, read: Read) -> None:
        asked = {"id": "c", "request": {"messages": [USER]}}
        told = [{"delta": {"content": "ls"}}, {"delta": {}, "finish_reason": "stop"}]
        chunks = [{"id": "c", "object": "chat.completion.chunk", "choices": [choice]} for choice in told]
        records, bad, reading = read(asked, *chunks, *chunks, agent="shell")
        assert [record.output for record in records] == ["ls"]
        assert ([item.reason for item in bad], adds_up(reading)) == (["after_end"], True)

    def test_two_answers_of_one_stream_are_kept_apart(self) -> None:
        stream = Stream()
        for index, text in ((0, "l"), (1, "di"), (0, "s"), (1, "r")):
            stream.add({"id": "c", "choices": [{"index": index, "delta": {"content": text}}]})
        stream.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        halfway = stream.whole
        stream.add({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]})
        assert (halfway, stream.whole) == (False, True)
        assert [choice["message"]["content"] for choice in stream.render()["choices"]] == ["ls", "dir"]

    def test_a_chunk_that_is_none_is_refused(self, read: Read) -> None:
        chunk = {"object": "chat.completion.chunk", "choices": []}
        assert reason(read, chunk, format="openai-chat") == "no_id"
        assert reason(read, {**chunk, "id": "c", "choices": [{"delta": "text"}]}, format="openai-chat") == "wrong_type"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["user", "message"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    *("messages", "request", "response", "input", "output", "choices", "id", "object", "type", "role", "content"),
    *("custom_id", "body", "url", "error", "status", "previous_response_id", "tools", "usage", "created", "delta"),
    *("message", "finish_reason", "conversation", "instructions", "data", "status_code", "created_at", "functions"),
]
WORDS = ["chat.completion", "chat.completion.chunk", "response", "response.completed", "/v1/responses", "c1"]
OBJECTS = st.recursive(
    VALUES
    | st.sampled_from(
        [USER, ANSWER, RESPONSE, {"id": "r", "object": "response", "status": "completed", "output": [ANSWER]}, *WORDS]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)


@pytest.mark.parametrize("name", ["openai-chat", "openai-responses", "openai-batch"])
@given(values=st.lists(st.dictionaries(st.sampled_from(KEYS), OBJECTS, max_size=8), max_size=4))
def test_no_value_breaks_a_parser_and_every_line_is_counted(name: str, values: list[dict[str, Any]]) -> None:
    chosen = load_format(name)
    parser, joined = chosen.start(), 0
    for number, value in enumerate(values):
        chosen.recognises(value)
        with contextlib.suppress(BadRecordError):
            found = list(parser.read(value, Place(Origin("log.jsonl", number), "shell")))
            joined += not found
            assert all(isinstance(item, Interaction | Feedback | Skipped | Quarantined) for item in found)
    # Whatever was held back comes out again, as a record or as a reason; several chunks are one of them.
    assert bool(list(parser.finish())) == bool(joined)

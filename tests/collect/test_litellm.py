import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.formats.litellm import FORMAT
from cortex_cli.collect.reading import Reading
from cortex_cli.collect.records import BadRecordError, Place, Quarantined, Skipped
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.interactions import Interaction, Message, Origin

Read = Callable[..., tuple[list[Any], list[Any], Any]]
FIXTURES = Path(__file__).parent / "fixtures" / "litellm"
HERE = Place(Origin("log.jsonl", 1), "desk")
USER = {"role": "user", "content": "Capital of Norway?"}
PAYLOAD: dict[str, Any] = {
    "id": "chatcmpl-1",
    "litellm_call_id": "call-1",
    "trace_id": "trace-1",
    "call_type": "acompletion",
    "status": "success",
    "startTime": 1767323045.0,
    "endTime": 1767323047.5,
    "completionStartTime": 1767323045.5,
    "response_time": 0.5,
    "stream": True,
    "model": "gpt-4o-mini",
    "messages": [USER],
    "response": {"id": "chatcmpl-1", "choices": [{"message": {"role": "assistant", "content": "Oslo."}}]},
    "model_parameters": {},
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "response_cost": 0.25,
    "request_tags": ["support", "night"],
    "end_user": "customer-7",
    "requester_ip_address": "203.0.113.9",
    "metadata": {"user_api_key_hash": "a1b2", "user_api_key_user_email": "boss@example.com"},
}


def one(read: Read, value: Any) -> Interaction:
    records, bad, reading = read(value, agent="desk")
    assert (bad, reading.format) == ([], "litellm")
    assert isinstance(records[0], Interaction)
    return records[0]


def recorded(name: str) -> tuple[list[Interaction], list[Quarantined], Reading]:
    reading = Reading(open_source(FIXTURES / name), agent="desk")
    items = list(reading)
    records = [item for item in items if isinstance(item, Interaction)]
    assert reading.lines == reading.gave + reading.refused + reading.joined + sum(reading.skipped.values())
    return records, [item for item in items if isinstance(item, Quarantined)], reading


class TestRealCalls:
    def test_calls_of_all_kinds_are_read(self) -> None:
        records, bad, reading = recorded("calls.jsonl")
        assert (bad, reading.format, reading.skipped) == ([], "litellm", {"not_inference": 1})
        plain, streamed, called, failed, responded, completed = records
        assert plain.messages[0] == Message("system", "Answer briefly.")
        assert (plain.user, plain.meta["tags"], plain.tokens_in, plain.tokens_out) == ("customer-7", "support", 5, 7)
        assert plain.output == streamed.output == completed.output == "The capital of Norway is Oslo."
        assert [call["function"]["name"] for call in json.loads(called.calls)] == ["get_weather"] * 2
        assert json.loads(called.tools)[0]["function"]["name"] == "get_weather"
        assert (failed.outcome, failed.output) == ("error", "")
        assert "missing-model" in failed.error
        assert responded.messages[0] == Message("system", "Use tools.")
        assert responded.meta["history"] == "missing"
        assert json.loads(responded.tools)[0]["function"]["name"] == "get_weather"

    def test_latency_is_that_of_the_whole_stream(self) -> None:
        records, _, _ = recorded("calls.jsonl")
        payload = json.loads((FIXTURES / "calls.jsonl").read_text().splitlines()[1])
        assert records[1].latency == payload["endTime"] - payload["startTime"]
        assert records[1].latency > payload["response_time"]

    def test_what_a_cache_gave_is_another_interaction_under_a_name_of_its_own(self) -> None:
        records, bad, _ = recorded("cached.jsonl")
        first, again = records
        assert not bad
        assert again.meta["cache_hit"] == "true"
        assert "cache_hit" not in first.meta
        assert not set(first.aliases) & set(again.aliases)

    def test_messages_that_were_not_logged_are_refused(self) -> None:
        records, bad, _ = recorded("redacted.jsonl")
        assert not records
        assert [item.reason for item in bad] == ["redacted_by_producer"] * 4


class TestPayload:
    def test_every_field_has_its_place(self, read: Read) -> None:
        record = one(read, PAYLOAD)
        assert (record.time, record.latency) == ("2026-01-02T03:04:05Z", 2.5)
        assert (record.episode, record.aliases) == ("trace-1", ("chatcmpl-1", "call-1"))
        assert (record.cost, record.tokens_in, record.tokens_out) == (0.25, 3, 2)
        assert record.meta == {"model": "gpt-4o-mini", "tags": "support,night"}

    def test_addresses_and_keys_are_not_kept(self, read: Read) -> None:
        text = repr(one(read, PAYLOAD))
        assert not any(private in text for private in ("203.0.113.9", "a1b2", "boss@example.com"))

    @pytest.mark.parametrize(
        "wrap", [lambda p: {"standard_logging_object": p}, lambda p: {"kwargs": {"standard_logging_object": p}}]
    )
    def test_a_payload_is_found_inside_what_a_logger_got(self, read: Read, wrap: Callable[[Any], Any]) -> None:
        assert one(read, wrap(PAYLOAD)).output == "Oslo."

    def test_a_session_goes_before_a_trace(self, read: Read) -> None:
        assert one(read, {**PAYLOAD, "session_id": "s"}).episode == "s"

    @pytest.mark.parametrize(
        "response",
        [
            "Oslo.",
            {"text": "Oslo."},
            {"role": "assistant", "content": [{"type": "text", "text": "Oslo."}]},
            {"choices": [{"text": "Oslo.", "finish_reason": "stop"}]},
            {"object": "response", "output": [{"role": "assistant", "content": [{"text": "Oslo."}]}]},
        ],
    )
    def test_an_answer_is_found_in_every_shape(self, read: Read, response: Any) -> None:
        assert one(read, {**PAYLOAD, "response": response}).output == "Oslo."

    @pytest.mark.parametrize("messages", ["Capital of Norway?", USER, [USER]])
    def test_a_prompt_is_found_in_every_shape(self, read: Read, messages: Any) -> None:
        assert one(read, {**PAYLOAD, "messages": messages}).messages == (Message("user", "Capital of Norway?"),)

    def test_a_failure_that_answers_nothing_is_kept(self, read: Read) -> None:
        failed = {**PAYLOAD, "status": "failure", "response": {}, "error_str": None}
        assert one(read, failed).error == "failure"
        told = {**failed, "error_information": {"error_message": "429"}}
        assert (one(read, told).outcome, one(read, told).error) == ("error", "429")

    @pytest.mark.parametrize("kind", ["aembedding", "image_generation", "rerank", "amoderation"])
    def test_what_is_no_inference_is_skipped_and_counted(self, read: Read, kind: str) -> None:
        records, bad, reading = read({**PAYLOAD, "call_type": kind}, agent="desk")
        assert (records, bad, reading.skipped) == ([], [], {"not_inference": 1})

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"response": None}, "no_answer"),
            ({"response": {"choices": []}}, "no_answer"),
            ({"messages": None}, "prompt_missing"),
            ({"messages": "redacted-by-litellm"}, "redacted_by_producer"),
            ({"messages": 5}, "bad_messages"),
            ({"endTime": 1767323044.0}, "bad_time"),
            ({"startTime": "soon"}, "bad_time"),
            ({"call_type": 5}, "wrong_type"),
            ({"prompt_tokens": "many"}, "wrong_type"),
            ({"model_parameters": []}, "wrong_type"),
        ],
    )
    def test_a_bad_payload_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        records, bad, _ = read({**PAYLOAD, **change}, agent="desk")
        assert not records
        assert bad[0].reason == expected


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([USER, PAYLOAD["response"], "redacted-by-litellm", "responses"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "message", "object", "output", "text", "content", "role"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(PAYLOAD)), VALUES, max_size=5))
def test_no_value_breaks_the_parser_or_is_dropped(changes: dict[str, Any]) -> None:
    value = {**PAYLOAD, **changes}
    assert FORMAT.recognises(value)
    with contextlib.suppress(BadRecordError):
        found = list(FORMAT.start().read(value, HERE))
        assert found
        assert all(isinstance(item, Interaction | Skipped) for item in found)

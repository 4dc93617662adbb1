import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.domain.interactions import Feedback, Interaction, Message

Read = Callable[..., tuple[list[Any], list[Any], Any]]
FOLDER = Path(__file__).parent / "fixtures" / "mlflow"
START = 1767323045_000_000_000


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{name}.jsonl").read_text().splitlines()]


def span(number: Any = "0102030405060708", parent: Any = None, **attributes: Any) -> dict[str, Any]:
    told = {"spanType": "CHAT_MODEL", "spanInputs": {"messages": [{"role": "user", "content": "hi"}]}, **attributes}
    return {
        "span_id": number,
        "parent_span_id": parent,
        "name": "chat",
        "start_time_unix_nano": START,
        "end_time_unix_nano": START + 1_500_000_000,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {f"mlflow.{name}": json.dumps(value) for name, value in told.items() if value is not None},
    }


def trace(*spans: dict[str, Any], **info: Any) -> dict[str, Any]:
    told = {"trace_id": "tr-0a", "request_time": "2026-01-02T03:04:05Z", "state": "OK", "tags": {}}
    tags = {"mlflow.traceName": "Greeter"}
    return {"info": {**told, "tags": tags, **info}, "data": {"spans": list(spans or [span(spanOutputs="hello")])}}


def one(read: Read, value: dict[str, Any]) -> Interaction:
    records, bad, _ = read(value)
    assert not bad
    assert isinstance(records[0], Interaction)
    return records[0]


def reason(read: Read, value: dict[str, Any]) -> str:
    records, bad, _ = read(value, format="mlflow")
    assert not [record for record in records if isinstance(record, Interaction)]
    return str(bad[0].reason)


def assessed(read: Read, **assessment: Any) -> list[Feedback]:
    told = {"assessment_name": "quality", "source": {"source_type": "HUMAN"}, "create_time": "2026-01-02T03:04:05Z"}
    records, bad, _ = read(trace(assessments=[{**told, **assessment}]))
    assert not bad
    return [record for record in records if isinstance(record, Feedback)]


def test_traces_of_the_sdk_give_an_interaction_per_call_of_a_model(read: Read) -> None:
    records, bad, reading = read(*lines_of("traces"))
    found = [record for record in records if isinstance(record, Interaction)]
    assert not bad
    assert reading.format == "mlflow"
    (called,) = [record for record in found if record.calls]
    answered, greeted, failed = (
        next(record for record in found if told in record.output + record.error)
        for told in ("18 degrees", "Hello Oslo", "does not exist")
    )
    assert json.loads(called.calls)[0]["function"]["name"] == "get_weather"
    assert json.loads(called.tools)[0]["function"]["name"] == "get_weather"
    assert answered.messages[3] == Message("tool", "18 degrees", "get_weather")
    assert (answered.output, answered.tokens_in, answered.tokens_out) == ("It is 18 degrees in Oslo.", 10, 7)
    assert (answered.agent, answered.episode, answered.user) == ("ask_with_tools", "session-1", "user-7")
    assert answered.meta == {"model": "m-1-2026-01-02"}
    assert "chatcmpl-0002" in answered.aliases
    assert greeted.messages == (Message("user", '{"city":"Oslo"}'),)
    assert (failed.outcome, failed.output) == ("error", "")


def test_rows_of_a_search_say_the_same_as_traces(read: Read) -> None:
    traces, _, _ = read(*lines_of("traces"))
    rows, bad, _ = read(*lines_of("search"))
    assert not bad
    assert [record.id for record in rows] == [record.id for record in traces]


def test_assessments_of_the_sdk_are_judgements_on_what_they_name(read: Read) -> None:
    records, _, _ = read(*lines_of("traces"))
    told = {record.name: record for record in records if isinstance(record, Feedback) and record.kind != "comment"}
    answered = next(record for record in records if isinstance(record, Interaction) and "18" in record.output)
    assert (told["correct"].thumbs, told["correct"].annotator) == (True, "human")
    assert (told["quality"].score, told["quality"].scale, told["quality"].annotator) == (4.0, None, "model")
    assert told["expected_response"].demonstration == "It is warm in Oslo."
    assert {record.target for record in told.values()} <= set(answered.aliases)
    comments = {record.comment for record in records if isinstance(record, Feedback) and record.kind == "comment"}
    assert comments == {"it is 18 degrees", "tone: friendly"}


@pytest.mark.parametrize(
    ("given", "kind", "point"),
    [
        ({"feedback": {"value": False}}, "boolean", False),
        ({"feedback": {"value": "pass"}}, "boolean", True),
        ({"feedback": {"value": 0.25}}, "score", 0.25),
        ({"feedback": {"value": ["a", "b"]}}, "comment", 'quality: ["a","b"]'),
        ({"expectation": {"value": {"fact": 1}}}, "comment", 'quality: {"fact":1}'),
        ({"expectation": {"serialized_value": {"value": '"x"'}}, "assessment_name": "expected_response"}, None, "x"),
    ],
)
def test_each_value_is_its_own_kind_of_judgement(
    read: Read, given: dict[str, Any], kind: str | None, point: Any
) -> None:
    (told,) = assessed(read, **given)
    assert told.kind == (kind or "demonstration")
    assert point in (told.thumbs, told.score, told.comment, told.demonstration)


def test_what_a_later_assessment_overrides_is_no_longer_told(read: Read) -> None:
    assert assessed(read, feedback={"value": True}, valid=False) == []


def test_an_assessment_that_failed_is_told_and_the_trace_is_kept(read: Read) -> None:
    failed = {"assessment_name": "q", "feedback": {"error": {"error_code": "TIMEOUT"}}}
    records, bad, _ = read(trace(assessments=[failed, {"assessment_name": "i", "issue": {"issue_id": "1"}}]))
    assert len(records) == 1
    assert [item.reason for item in bad] == ["empty_feedback", "unknown_assessment"]


def test_of_calls_inside_each_other_the_innermost_counts(read: Read) -> None:
    inner = span("02" * 8, "01" * 8, spanOutputs="hello")
    records, _, _ = read(trace(span("01" * 8, spanOutputs="wrapped"), inner))
    assert [record.output for record in records] == ["hello"]


def test_spans_that_are_above_each_other_end(read: Read) -> None:
    first, second = span("01" * 8, "02" * 8, spanOutputs="a"), span("02" * 8, "01" * 8, spanOutputs="b")
    assert reason(read, trace(first, second)) == "incomplete_export"


def test_traces_of_schema_two_are_read(read: Read) -> None:
    old: dict[str, Any] = {
        "name": "chat",
        "context": {"trace_id": "0x0a", "span_id": "0x0102030405060708"},
        "parent_id": None,
        "start_time": START,
        "end_time": START + 250_000_000,
        "status_code": "OK",
        "status_message": "",
        "attributes": {
            "mlflow.spanType": '"LLM"',
            "mlflow.spanInputs": '{"prompt": "hi"}',
            "mlflow.spanOutputs": '"hello"',
        },
        "events": [],
    }
    info = {"request_id": "tr-0a", "timestamp_ms": 1767323045000, "status": "OK", "tags": [{"key": "a", "value": "b"}]}
    told = {**info, "request_metadata": {"mlflow.trace.session": "s"}}
    record = one(read, {"info": {**told, "tags": {"mlflow.traceName": "old"}}, "data": {"spans": [old]}})
    assert (record.output, record.messages[0].content, record.latency) == ("hello", "hi", 0.25)
    assert (record.agent, record.episode) == ("old", "s")
    records, _, _ = read({"info": told, "data": json.dumps({"spans": [old]})}, format="mlflow", agent="shell")
    assert records[0].agent == "shell"


def test_ids_in_base64_and_in_hex_are_one_name(read: Read) -> None:
    as_hex = one(read, trace(span("0102030405060708", spanOutputs="hello")))
    as_base64 = one(read, trace(span("AQIDBAUGBwg=", spanOutputs="hello")))
    assert as_hex.aliases == as_base64.aliases == ("0a:0102030405060708", "tr-0a")


def test_previews_are_never_content(read: Read) -> None:
    cut = trace(span(spanInputs=None), request_preview="hi", response_preview="hello")
    assert reason(read, cut) == "incomplete_export"


def test_answers_of_other_clients_are_read(read: Read) -> None:
    anthropic = {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}]}
    output = [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
    ]
    batch = {"messages": [{"type": "human", "content": "q"}, {"type": "ai", "content": "a"}]}
    for outputs in (anthropic, {"output": output}, batch, "a"):
        assert one(read, trace(span(spanOutputs=outputs))).output == "a"


def test_a_request_that_refers_to_an_earlier_response_lacks_its_history(read: Read) -> None:
    asked = {"model": "m", "input": "hi", "instructions": "be brief", "previous_response_id": "resp_1"}
    record = one(read, trace(span(spanInputs=asked, spanOutputs="hello")))
    assert record.messages == (Message("system", "be brief"), Message("user", "hi"))
    assert record.meta["history"] == "missing"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (trace(state="IN_PROGRESS"), "unfinished"),
        ({"info": {"trace_id": "tr-1"}, "data": {"spans": []}}, "incomplete_export"),
        (trace(span()), "no_answer"),
        (trace({**span(), "end_time_unix_nano": None}), "unfinished"),
        (trace(tags={"mlflow.traceName": "!"}), "no_agent"),
        ({"info": [], "data": {}}, "wrong_type"),
        (
            trace({**span(), "attributes": {"mlflow.spanInputs": '{"messages": [', "mlflow.spanOutputs": "1"}}),
            "truncated",
        ),
        (trace(span(spanOutputs={"role": "assistant", "content": [{"type": "image"}]})), "unsupported_content"),
        (trace(span(spanOutputs="a", **{"chat.tokenUsage": {"input_tokens": "many"}})), "wrong_type"),
    ],
)
def test_what_cannot_be_learned_from_is_told_by_its_reason(read: Read, value: dict[str, Any], expected: str) -> None:
    assert reason(read, value) == expected


def test_one_bad_call_spoils_no_other(read: Read) -> None:
    records, bad, _ = read(trace(span("01" * 8), span("02" * 8, spanOutputs="hello")))
    assert [record.output for record in records] == ["hello"]
    assert [item.reason for item in bad] == ["no_answer"]

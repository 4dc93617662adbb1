"""OpenTelemetry GenAI as the real instrumentations wrote it, in their old and new modes, and as others may."""

import json
from itertools import permutations
from typing import Any

import pytest

from cortex_cli.collect.formats import openinference, otel
from cortex_cli.collect.inferences import find_kind
from cortex_cli.collect.otlp import Span
from cortex_cli.collect.records import Quarantined, Skipped
from cortex_cli.domain.interactions import Interaction
from tests.collect.spans import (
    ANSWERED,
    ASKED,
    CHAT,
    CONTENT,
    PARENT,
    SPAN,
    TRACE,
    fixture,
    interactions,
    logs,
    make_event,
    make_log,
    make_span,
    parse,
    reasons,
    traces,
)

# Each is a real producer in one of its modes; those of one line tell the same five calls.
RECORDED = {
    "attributes": ["otel/openai-v2-attributes.traces.jsonl"],
    "both": ["otel/openai-v2-both.traces.jsonl", "otel/openai-v2-both.logs.jsonl"],
    "events": ["otel/openai-v2-events.traces.jsonl", "otel/openai-v2-events.logs.jsonl"],
    "legacy": ["otel/openai-v2-legacy.logs.jsonl", "otel/openai-v2-legacy.traces.jsonl"],
    "legacy, 2.1": ["otel/openai-v2-legacy-old.traces.jsonl", "otel/openai-v2-legacy-old.logs.jsonl"],
    "openllmetry": ["otel/openllmetry.traces.jsonl"],
    "openllmetry, 0.40": ["otel/openllmetry-old.traces.jsonl"],
    "console": ["otel/console.traces.jsonl"],
    "protobuf": ["otel/protobuf-json.traces.jsonl"],
    "openinference": ["openinference/openinference.traces.jsonl"],
}


def recorded(name: str) -> list[Interaction]:
    values = [value for path in RECORDED[name] for value in fixture(path)]
    found = sorted(interactions(*values), key=lambda record: record.aliases[-1])
    # The failed call has no response id, so its own alias sorts anywhere.
    return sorted(found, key=lambda record: record.outcome == "error")


@pytest.mark.parametrize("name", RECORDED)
def test_every_producer_in_every_mode_tells_the_same_calls(name: str) -> None:
    plain, streamed, called, answered, failed = recorded(name)
    assert [message.content for message in plain.messages] == ["Answer briefly.", "Capital of Norway?"]
    assert plain.output == "The capital of Norway is Oslo."
    assert streamed.output.strip() == plain.output
    assert [message.role for message in answered.messages] == ["user", "assistant", "tool"]
    assert answered.messages[2].content == '{"celsius": 18}'
    assert answered.messages[2].name == "get_weather"
    assert answered.output == "It is 18 degrees in Oslo."
    (call,) = json.loads(called.calls)
    assert (call["id"], call["type"], call["function"]["name"]) == ("call_oslo", "function", "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
    assert called.output == called.calls
    assert (failed.outcome, failed.output) == ("error", "")
    assert "does not exist" in failed.error


@pytest.mark.parametrize("name", RECORDED)
def test_every_producer_tells_agent_episode_tokens_and_latency(name: str) -> None:
    plain, _, called, answered, failed = recorded(name)
    assert [record.agent for record in (plain, called, answered)] == ["weather-desk", "weather-agent", "weather-agent"]
    assert called.episode == answered.episode == "conversation-1"
    assert plain.aliases == (f"{plain.episode}:{plain.aliases[0][33:]}", "chatcmpl-0001")
    assert (plain.tokens_in, plain.tokens_out, called.tokens_in) == (5, 7, 6)
    assert plain.latency is not None
    assert 0 < plain.latency < 10
    assert plain.meta["model"] == "gpt-4o-mini-2026-01-02"
    assert failed.meta["model"] == "missing-model"
    assert plain.time.startswith("2026-")


@pytest.mark.parametrize("name", ["openllmetry", "openllmetry, 0.40", "openinference"])
def test_tools_come_in_the_form_of_openai(name: str) -> None:
    (tool,) = json.loads(recorded(name)[2].tools)
    assert tool["function"]["parameters"]["required"] == ["city"]


def test_the_same_calls_have_the_same_ids_whichever_file_tells_them() -> None:
    both = {record.id for record in interactions(*fixture("otel/openai-v2-both.traces.jsonl"))}
    assert {record.id for record in interactions(*fixture("otel/openai-v2-both.logs.jsonl"))} == both
    console = {record.id for record in interactions(*fixture("otel/console.traces.jsonl"))}
    assert {record.id for record in interactions(*fixture("otel/protobuf-json.traces.jsonl"))} == console
    assert len(both) == len(console) == 5


def test_lines_may_come_in_any_order() -> None:
    values = [
        traces(make_span(CHAT, parent=PARENT)),
        traces(make_span({"gen_ai.operation.name": "invoke_agent", "session.id": "s-1"}, span=PARENT)),
        logs(make_log("gen_ai.user.message", {"content": "Capital?"})),
        logs(make_log("gen_ai.choice", {"index": 0, "message": {"content": "Oslo."}})),
    ]
    found = [interactions(*order)[0] for order in permutations(values)]
    assert len({record.id for record in found}) == 1
    assert {(record.episode, record.output) for record in found} == {("s-1", "Oslo.")}


def test_without_captured_content_the_reason_says_who_left_it_out() -> None:
    values = fixture("otel/openai-v2-no-content.logs.jsonl") + fixture("otel/openai-v2-no-content.traces.jsonl")
    bad = [item for item in parse(*values) if isinstance(item, Quarantined)]
    assert [item.reason for item in bad] == ["content_not_captured"] * 5
    assert all("its producer must be told to capture it" in item.detail for item in bad)


@pytest.mark.parametrize("name", ["otel/openai-v2-both.traces.jsonl", "otel/protobuf-json.traces.jsonl"])
def test_otlp_is_recognised(name: str) -> None:
    assert otel.FORMAT.recognises(fixture(name)[0])
    assert not openinference.FORMAT.recognises(fixture("otel/openai-v2-both.traces.jsonl")[0])


def test_a_console_span_is_recognised_and_other_objects_are_not() -> None:
    assert otel.FORMAT.recognises(fixture("otel/console.traces.jsonl")[0])
    others: list[dict[str, Any]] = [
        {"messages": []},
        {"trace_id": "1", "span_id": "2", "attributes": {}},
        {"resourceSpans": "none"},
    ]
    assert not any(otel.FORMAT.recognises(value) for value in others)


def test_the_formats_join_values_over_lines_and_files() -> None:
    assert otel.FORMAT.joins
    assert otel.FORMAT.together
    assert openinference.FORMAT.joins


# Precedence


def test_attributes_come_before_events_and_events_before_older_attributes() -> None:
    older = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "old", "gen_ai.completion.0.content": "old"}
    event = [
        make_event("gen_ai.user.message", {"content": "event"}),
        make_event("gen_ai.choice", {"message": json.dumps({"content": "event"})}),
    ]
    spans = [
        make_span(CHAT | CONTENT | older, events=event),
        make_span(CHAT | older, events=event),
        make_span(CHAT | older),
    ]
    assert [interactions(traces(span))[0].output for span in spans] == ["Oslo.", "event", "old"]


def test_the_event_of_the_whole_call_fills_what_the_span_lacks() -> None:
    told: dict[str, Any] = {"gen_ai__input__messages": ASKED, "gen_ai__output__messages": ANSWERED}
    told["gen_ai__usage__input_tokens"] = 9
    event = make_log("gen_ai.client.inference.operation.details", gen_ai__response__id="r-1", **told)
    (record,) = interactions(traces(make_span({**CHAT, "gen_ai.usage.input_tokens": 4})), logs(event))
    assert (record.output, record.tokens_in, record.aliases[1]) == ("Oslo.", 4, "r-1")


def test_an_event_without_ids_is_a_call_of_its_own() -> None:
    told: dict[str, Any] = {"gen_ai__input__messages": ASKED, "gen_ai__output__messages": ANSWERED}
    told["gen_ai__agent__name"] = "desk"
    name = "gen_ai.client.inference.operation.details"
    found = interactions(logs(*(make_log(name, trace="", gen_ai__response__id=f"r-{n}", **told) for n in range(2))))
    assert [record.aliases for record in found] == [("r-0",), ("r-1",)]


def test_messages_without_a_span_are_a_call_when_they_name_one() -> None:
    events = [
        make_log("gen_ai.user.message", {"content": "Capital?"}, gen_ai__system="openai"),
        make_log("gen_ai.choice", {"message": {"content": "Oslo."}}),
    ]
    (record,) = interactions(logs(*events, service="Shop Desk"))
    assert (record.agent, record.output, record.latency) == ("shop-desk", "Oslo.", None)
    nameless = logs(make_log("gen_ai.user.message", {"content": "Capital?"}, trace=""))
    assert reasons(nameless, agent="desk") == ["no_answer"]


@pytest.mark.parametrize(
    "told",
    [
        {"gen_ai.prompt": "Capital?", "gen_ai.completion": "Oslo."},
        {
            "gen_ai.prompt": '[{"role": "user", "content": "Capital?"}]',
            "gen_ai.completion": '[{"role": "assistant", "content": "Oslo."}]',
        },
    ],
)
def test_prompt_and_completion_may_be_text_or_json_on_the_span_or_its_events(told: dict[str, str]) -> None:
    prompt, completion = ({key: value} for key, value in told.items())
    events = [make_event("gen_ai.content.prompt", prompt), make_event("gen_ai.content.completion", completion)]
    for span in (make_span(CHAT | told), make_span(CHAT, events=events)):
        (record,) = interactions(traces(span))
        assert (record.messages[0].role, record.messages[0].content, record.output) == ("user", "Capital?", "Oslo.")


# What a span is


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "chat"}, "inference"),
        ({"gen_ai.operation.name": "text_completion"}, "inference"),
        ({"gen_ai.operation.name": "generate_content"}, "inference"),
        ({"gen_ai.operation.name": "embeddings"}, "other"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 3}, "other"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"openinference.span.kind": "LLM"}, "inference"),
        ({"openinference.span.kind": "CHAIN"}, "other"),
        ({"llm.request.type": "chat"}, "inference"),
        ({"llm.request.type": "rerank"}, "other"),
        ({"traceloop.span.kind": "workflow"}, "other"),
        ({"traceloop.span.kind": "tool"}, "tool"),
        ({"gen_ai.prompt.0.content": "x"}, "inference"),
        ({"gen_ai.system": "openai"}, "other"),
        ({"openinference.span.kind": ["LLM"], "gen_ai.operation.name": 3}, "other"),
        ({}, "other"),
    ],
)
def test_only_calls_of_a_model_are_interactions(attributes: dict[str, Any], kind: str) -> None:
    assert find_kind(Span(trace=TRACE, span=SPAN, attributes=attributes)) == kind


def test_values_without_a_call_are_skipped_under_their_reason() -> None:
    tool = make_span({"gen_ai.operation.name": "execute_tool"})
    agent = make_span({"gen_ai.operation.name": "invoke_agent"})
    assert parse(traces(tool)) == [Skipped("tool_span")]
    assert parse(traces(tool, agent)) == [Skipped("not_inference")]
    assert parse(logs(make_log("application.started"))) == [Skipped("not_inference")]
    assert parse({"resourceMetrics": []}) == [Skipped("not_inference")]


# Agent and episode


@pytest.mark.parametrize(
    ("own", "above", "given", "service", "agent"),
    [
        ("Own Agent", "Above", "given", "service", "own-agent"),
        ("", "The Above", "given", "service", "the-above"),
        ("", "", "given", "service", "given"),
        ("", "", "", "My Service", "my-service"),
        ("東京", "Above", "", "", "above"),
    ],
)
def test_the_agent_is_the_nearest_that_is_named(own: str, above: str, given: str, service: str, agent: str) -> None:
    call = {"gen_ai.operation.name": "chat", **CONTENT} | ({"gen_ai.agent.name": own} if own else {})
    run = {"gen_ai.operation.name": "invoke_agent"} | ({"gen_ai.agent.name": above} if above else {})
    container = traces(make_span(call, parent=PARENT), make_span(run, span=PARENT), service=service)
    assert interactions(container, agent=given)[0].agent == agent


def test_a_call_that_nobody_names_an_agent_for_is_quarantined() -> None:
    call = make_span({"gen_ai.operation.name": "chat", **CONTENT})
    assert reasons(traces(call)) == ["no_agent"]
    assert reasons(traces(call, service="unknown_service:python")) == ["no_agent"]


def test_the_episode_is_the_conversation_else_the_session_else_the_trace() -> None:
    call = CHAT | CONTENT
    told = [call | {"gen_ai.conversation.id": "c", "session.id": "s"}, call | {"session.id": "s"}, call]
    assert [interactions(traces(make_span(each)))[0].episode for each in told] == ["c", "s", TRACE]


def test_parents_that_go_in_a_circle_end() -> None:
    spans = [make_span(CHAT | CONTENT, parent=PARENT), make_span({}, span=PARENT, parent=SPAN)]
    assert interactions(traces(*spans))[0].episode == TRACE


# Answers, errors, measures


def test_choices_that_were_asked_for_are_interactions_of_their_own() -> None:
    answers = [{"role": "assistant", "parts": [{"type": "text", "content": word}]} for word in ("Oslo.", "Bergen.")]
    told = CHAT | CONTENT | {"gen_ai.output.messages": json.dumps(answers), "gen_ai.usage.input_tokens": 5}
    first, second = interactions(traces(make_span(told | {"gen_ai.request.choice.count": 2})))
    assert (first.output, second.output) == ("Oslo.", "Bergen.")
    assert (first.tokens_in, second.tokens_in) == (5, 0)
    assert second.aliases == (f"{TRACE}:{SPAN}#1",)
    (joined,) = interactions(traces(make_span(told)))
    assert joined.output == "Oslo.Bergen."


def test_an_answer_that_was_cut_off_says_so() -> None:
    answer = [{**ANSWERED[0], "finish_reason": "length"}]
    told = CHAT | CONTENT | {"gen_ai.output.messages": answer}
    assert interactions(traces(make_span(told)))[0].meta["finish"] == "length"
    assert "finish" not in interactions(traces(make_span(CHAT | CONTENT)))[0].meta


@pytest.mark.parametrize(
    ("fields", "attributes", "error"),
    [
        ({"status": {"code": 2, "message": "boom"}}, {}, "boom"),
        ({"status": {"code": "STATUS_CODE_ERROR"}}, {}, "error"),
        ({}, {"error.type": "timeout"}, "timeout"),
        ({"status": {"code": 2, "message": "late"}}, {"error.type": "timeout"}, "timeout: late"),
        (
            {"status": {"code": 2}, "events": [make_event("exception", {"exception.message": "no route"})]},
            {},
            "no route",
        ),
    ],
)
def test_a_failed_call_is_kept_with_its_error(fields: dict[str, Any], attributes: dict[str, Any], error: str) -> None:
    asked = {"gen_ai.input.messages": json.dumps(ASKED)}
    (record,) = interactions(traces(make_span(CHAT | asked | attributes, **fields)))
    assert (record.outcome, record.error, record.output) == ("error", error, "")


def test_a_clock_that_went_back_tells_no_latency() -> None:
    for end in ("1767323044000000000", "0"):
        assert interactions(traces(make_span(CHAT | CONTENT, endTimeUnixNano=end)))[0].latency is None
    assert interactions(traces(make_span(CHAT | CONTENT)))[0].latency == 1.5


def test_a_prompt_that_goes_on_from_another_says_that_history_is_missing() -> None:
    told = CHAT | CONTENT | {"gen_ai.request.previous_response.id": "resp_1"}
    assert interactions(traces(make_span(told)))[0].meta["history"] == "missing"


def test_addresses_headers_and_accounts_are_not_kept() -> None:
    private = {"client.address": "192.0.2.7", "llm.headers": "Bearer key", "http.request.header.cookie": "id=1"}
    (record,) = interactions(traces(make_span(CHAT | CONTENT | private | {"user.id": 42})))
    assert not any(value in str(record) for value in private.values())
    assert record.user == "42"


# Half a truth


def image(part: dict[str, Any]) -> dict[str, Any]:
    return {"gen_ai.input.messages": json.dumps([{"role": "user", "parts": [part]}])}


@pytest.mark.parametrize(
    ("attributes", "fields", "reason"),
    [
        ({}, {}, "content_not_captured"),
        ({"gen_ai.input.messages": "[]"}, {}, "content_not_captured"),
        ({"gen_ai.output.messages": json.dumps(ANSWERED)}, {}, "content_not_captured"),
        ({"gen_ai.input.messages": json.dumps(ASKED)}, {}, "no_answer"),
        ({"gen_ai.input.messages": json.dumps(ASKED)[:-20]}, {}, "truncated"),
        (image({"type": "blob", "modality": "image", "content": "AAAA"}), {}, "unsupported_content"),
        (image({"type": "uri", "modality": "image", "uri": "https://x"}), {}, "unsupported_content"),
        ({"gen_ai.input.messages": '[{"role": "oracle", "content": "x"}]'}, {}, "bad_messages"),
        ({"gen_ai.prompt.0.content": "a", "gen_ai.prompt.2.content": "b"}, {}, "truncated"),
        (
            {"gen_ai.prompt.0.content": "a", "gen_ai.completion.0.content": "b"},
            {"droppedAttributesCount": 3},
            "truncated",
        ),
        (CONTENT | {"gen_ai.usage.input_tokens": -4}, {}, "bad_number"),
    ],
)
def test_what_is_half_a_truth_is_refused(attributes: dict[str, Any], fields: dict[str, Any], reason: str) -> None:
    assert reasons(traces(make_span(CHAT | attributes, **fields))) == [reason]


def test_content_in_one_attribute_is_whole_when_others_were_dropped() -> None:
    assert interactions(traces(make_span(CHAT | CONTENT, droppedAttributesCount=3)))


def test_a_tool_call_whose_arguments_were_not_captured_is_refused() -> None:
    calls = {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]}
    events = [make_log("gen_ai.user.message", {"content": "x"}), make_log("gen_ai.choice", {"message": calls})]
    assert reasons(traces(make_span(CHAT)), logs(*events)) == ["content_not_captured"]


def test_one_bad_span_does_not_take_the_others_with_it() -> None:
    bad = make_span(CHAT | {"gen_ai.input.messages": json.dumps(ASKED)[:-4]}, span="00000000000000a1")
    broken = make_span(CHAT, span="none")
    found = parse(traces(make_span(CHAT | CONTENT), bad, broken))
    assert [type(item).__name__ for item in found] == ["Quarantined", "Interaction", "Quarantined"]
    assert [item.reason for item in found if isinstance(item, Quarantined)] == ["bad_id", "truncated"]


@pytest.mark.parametrize("key", ["response", "result"])
def test_both_words_for_the_answer_of_a_tool_are_read(key: str) -> None:
    asked = [
        *ASKED,
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "get", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", key: {"b": 2}}]},
    ]
    (record,) = interactions(traces(make_span(CHAT | CONTENT | {"gen_ai.input.messages": asked})))
    assert (record.messages[2].role, record.messages[2].name, record.messages[2].content) == ("tool", "get", '{"b":2}')


def test_instructions_stand_first_and_reasoning_is_left_out() -> None:
    answer = [{"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, *ANSWERED[0]["parts"]]}]
    told = {
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
        "gen_ai.output.messages": answer,
    }
    (record,) = interactions(traces(make_span(CHAT | CONTENT | told)))
    assert [message.role for message in record.messages] == ["system", "user"]
    assert (record.messages[0].content, record.output) == ("Be brief.", "Oslo.")

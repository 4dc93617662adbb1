"""OpenInference in its flat, nested and tabular forms, with annotations; and evaluations of OpenTelemetry."""

import json
from typing import Any

import pytest

from cortex_cli.collect.flattened import gather, read_indexed, read_tools
from cortex_cli.collect.formats import openinference, otel
from cortex_cli.collect.records import BadRecordError
from cortex_cli.domain.interactions import Feedback
from tests.collect.spans import (
    CHAT,
    CONTENT,
    PARENT,
    SPAN,
    TRACE,
    feedback,
    fixture,
    interactions,
    logs,
    make_event,
    make_log,
    make_span,
    reasons,
    traces,
)

FLAT = {
    "openinference.span.kind": "LLM",
    "llm.input_messages.0.message.role": "user",
    "llm.input_messages.0.message.content": "Capital of Norway?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Oslo.",
    "agent.name": "desk",
}
NESTED = {
    "openinference": {"span": {"kind": "LLM"}},
    "llm": {
        "input_messages": [{"message": {"role": "user", "content": "Capital of Norway?"}}],
        "output_messages": [{"message": {"role": "assistant", "content": "Oslo."}}],
    },
    "agent": {"name": "desk"},
}
UNFLATTENED = {
    "openinference.span.kind": "LLM",
    "llm.input_messages": [{"message.role": "user", "message.content": "Capital of Norway?"}],
    "llm.output_messages": [{"message.role": "assistant", "message.content": "Oslo."}],
    "agent.name": "desk",
}


def phoenix(attributes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A span as Phoenix answers it over REST."""
    times = {"start_time": "2026-01-02T03:04:05+00:00", "end_time": "2026-01-02T03:04:06.500000+00:00"}
    ids = {"context": {"trace_id": TRACE, "span_id": SPAN}, "parent_id": None}
    return {"id": "U3Bhbjox", "name": "ChatCompletion", **ids, **times, "attributes": attributes, **fields}


@pytest.mark.parametrize("attributes", [FLAT, NESTED, UNFLATTENED])
def test_every_form_of_the_attributes_tells_the_same_call(attributes: dict[str, Any]) -> None:
    assert openinference.FORMAT.recognises(phoenix(attributes))
    (record,) = interactions(phoenix(attributes))
    assert (record.messages[0].content, record.output, record.agent) == ("Capital of Norway?", "Oslo.", "desk")
    assert (record.time, record.latency, record.aliases) == ("2026-01-02T03:04:05Z", 1.5, (f"{TRACE}:{SPAN}",))


def test_a_row_of_a_data_frame_is_a_span() -> None:
    row = {
        "context.trace_id": TRACE,
        "context.span_id": SPAN,
        "start_time": 1767323045000,
        "end_time": 1767323046500,
        "span_kind": "LLM",
        "status_code": "ERROR",
        "status_message": "boom",
        "attributes.llm.input_messages": UNFLATTENED["llm.input_messages"],
        "attributes.llm.output_messages": None,
        "attributes.agent.name": "desk",
    }
    (record,) = interactions(row)
    assert openinference.FORMAT.recognises(row)
    assert (record.outcome, record.error, record.latency) == ("error", "boom", 1.5)


def test_recorded_spans_are_recognised_as_openinference() -> None:
    value = fixture("openinference/openinference.traces.jsonl")[0]
    assert openinference.FORMAT.recognises(value)
    assert not otel.FORMAT.recognises(value)


def test_a_chain_names_the_session_of_the_calls_below_it() -> None:
    chain = make_span({"openinference.span.kind": "CHAIN", "session.id": "s-1"}, span=PARENT)
    (record,) = interactions(traces(make_span(FLAT, parent=PARENT), chain))
    assert record.episode == "s-1"


def test_input_and_output_values_stand_in_for_messages() -> None:
    told = {"openinference.span.kind": "LLM", "agent.name": "desk"}
    asked = {"messages": [{"role": "user", "content": "Capital?"}]}
    answered = {"id": "chatcmpl-9", "choices": [{"message": {"role": "assistant", "content": "Oslo."}}]}
    (plain,) = interactions(traces(make_span(told | {"input.value": "Capital?", "output.value": "Oslo."})))
    values = {"input.value": json.dumps(asked), "output.value": json.dumps(answered)}
    (packed,) = interactions(traces(make_span(told | values)))
    assert plain.messages == packed.messages
    assert plain.output == packed.output == "Oslo."
    assert packed.aliases[1] == "chatcmpl-9"


def test_parts_of_text_are_joined_and_an_image_is_refused() -> None:
    part = "llm.input_messages.0.message.contents"
    told = {key: value for key, value in FLAT.items() if not key.endswith("input_messages.0.message.content")}
    texts = {
        f"{part}.0.message_content.type": "text",
        f"{part}.0.message_content.text": "Capital of ",
        f"{part}.1.message_content.type": "text",
        f"{part}.1.message_content.text": "Norway?",
    }
    assert interactions(traces(make_span(told | texts)))[0].messages[0].content == "Capital of Norway?"
    assert reasons(traces(make_span(told | texts | {f"{part}.2.message_content.type": "image"}))) == [
        "unsupported_content"
    ]


def test_hidden_content_is_refused() -> None:
    hidden = FLAT | {"llm.input_messages.0.message.content": "__REDACTED__"}
    assert reasons(traces(make_span(hidden))) == ["redacted_by_producer"]


def test_choices_that_were_asked_for_are_told_apart() -> None:
    second = {"llm.output_messages.1.message.content": "Bergen.", "llm.invocation_parameters": '{"n": 2}'}
    assert [record.output for record in interactions(traces(make_span(FLAT | second)))] == ["Oslo.", "Bergen."]


# Flattened lists


def test_a_list_with_a_gap_is_refused() -> None:
    with pytest.raises(BadRecordError, match="truncated"):
        gather({"a.0.b": 1, "a.2.b": 1}, "a")
    with pytest.raises(BadRecordError, match="truncated"):
        gather({"a.999999.b": 1}, "a")


def test_a_list_is_put_together_in_the_order_of_its_numbers() -> None:
    flat = {f"a.{number}.b": number for number in reversed(range(12))}
    assert gather(flat, "a") == [{"b": number} for number in range(12)]
    assert gather({"a.b": 1, "ab.0": 2}, "a") == []
    assert gather({"a": "text"}, "a") == []


def test_a_key_that_holds_a_value_and_a_tree_is_a_tree() -> None:
    assert gather({"a.0.b": 1, "a.0.b.c": 2}, "a") == [{"b": {"c": 2}}]
    assert gather({"a.0.b.c": 2, "a.0.b": 1}, "a") == [{"b": {"c": 2}}]


def test_parts_that_are_json_text_are_parts() -> None:
    parts = '[{"type": "text", "text": "hi"}]'
    assert read_indexed({"p.0.content": parts}, "p")[0]["content"] == [{"type": "text", "text": "hi"}]
    for plain in ("[{not json", '[{"a": 1}]', "[1]"):
        assert read_indexed({"p.0.content": plain}, "p")[0]["content"] == plain


def test_tools_that_are_no_objects_are_left_out() -> None:
    told = {"llm.tools.0.tool.json_schema": "none", "llm.request.functions.0.name": "f"}
    assert read_tools(told) == [{"type": "function", "function": {"name": "f", "parameters": None}}]


# Feedback


def annotated(prefix: str, **told: Any) -> dict[str, Any]:
    word = prefix.rpartition(".")[2].removesuffix("s")
    return FLAT | {f"{prefix}.0.{word}.{key}": value for key, value in told.items()}


@pytest.mark.parametrize("prefix", ["annotations", "evaluations"])
def test_annotations_become_feedback_on_the_call(prefix: str) -> None:
    told = annotated(prefix, name="Helpful", score=0.8, label="good", explanation="clear", annotator_kind="HUMAN")
    score, thumbs, comment = feedback(traces(make_span(told)))
    assert (score.kind, score.score, score.scale) == ("score", 0.8, None)
    assert (thumbs.kind, thumbs.thumbs) == ("boolean", True)
    assert (comment.kind, comment.comment) == ("comment", "clear")
    assert {item.target for item in (score, thumbs, comment)} == {f"{TRACE}:{SPAN}"}
    assert {(item.name, item.annotator, item.target_kind) for item in (score, thumbs, comment)} == {
        ("Helpful", "human", "interaction")
    }


@pytest.mark.parametrize(
    ("kind", "annotator"), [("HUMAN", "human"), ("LLM", "model"), ("CODE", "code"), ("crowd", "model"), (None, "model")]
)
def test_who_judged_is_told(kind: str | None, annotator: str) -> None:
    told = annotated("annotations", name="x", label="pass") | (
        {"annotations.0.annotation.annotator_kind": kind} if kind else {}
    )
    assert feedback(traces(make_span(told)))[0].annotator == annotator


@pytest.mark.parametrize(("prefix", "target"), [("trace.annotations", TRACE), ("session.evaluations", "s-1")])
def test_annotations_of_a_trace_or_a_session_judge_an_episode(prefix: str, target: str) -> None:
    told = annotated(prefix, name="Resolved", label="yes") | {"session.id": "s-1"}
    (item,) = feedback(traces(make_span(told)))
    assert (item.target, item.target_kind, item.thumbs) == (target, "episode", True)


def test_an_annotation_on_an_agents_run_judges_its_episode() -> None:
    run = {"openinference.span.kind": "AGENT", "session.id": "s-1", "annotations.0.annotation.score": 2}
    (item,) = feedback(traces(make_span(run)))
    assert (item.target, item.target_kind, item.score) == ("s-1", "episode", 2.0)


def test_an_annotation_that_says_nothing_is_refused() -> None:
    assert reasons(traces(make_span(annotated("annotations", name="empty")))) == ["empty_feedback"]


def result(**told: Any) -> dict[str, Any]:
    return {f"gen_ai.evaluation.{key.replace('__', '.')}": value for key, value in told.items()}


def told_by(events: list[Feedback]) -> list[tuple[str, Any]]:
    points = {"boolean": "thumbs", "score": "score", "comment": "comment"}
    return [(item.kind, getattr(item, points[item.kind])) for item in events]


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        (result(name="R", score__value=0.9), [("score", 0.9)]),
        (result(name="R", score__value=1), [("score", 1.0)]),
        (result(name="R", score__label="incorrect"), [("boolean", False)]),
        (result(name="R", score__label="fluent", explanation="well"), [("comment", "R: fluent"), ("comment", "well")]),
    ],
)
def test_results_of_evaluations_are_feedback(attributes: dict[str, Any], found: list[tuple[str, Any]]) -> None:
    as_event = make_span(CHAT | CONTENT, events=[make_event("gen_ai.evaluation.result", attributes)])
    as_log = make_log("gen_ai.evaluation.result", **{key.replace(".", "__"): item for key, item in attributes.items()})
    for values in ([traces(as_event)], [traces(make_span(CHAT | CONTENT)), logs(as_log)], [logs(as_log)]):
        items = feedback(*values)
        assert told_by(items) == found
        assert {(item.target, item.target_kind, item.annotator) for item in items} == {
            (f"{TRACE}:{SPAN}", "interaction", "model")
        }


def test_an_evaluation_names_its_target_by_response_or_span() -> None:
    told: dict[str, Any] = {"gen_ai__evaluation__name": "R", "gen_ai__evaluation__score__value": 1.0}
    by_response = make_log("gen_ai.evaluation.result", **told, gen_ai__response__id="r-1")
    assert feedback(logs(by_response))[0].target == "r-1"
    run = make_span({"gen_ai.operation.name": "invoke_agent", "gen_ai.conversation.id": "c-1"})
    (item,) = feedback(traces(run), logs(make_log("gen_ai.evaluation.result", **told)))
    assert (item.target, item.target_kind) == ("c-1", "episode")
    assert reasons(logs(make_log("gen_ai.evaluation.result", trace="", **told))) == ["no_target"]


def test_an_evaluation_that_failed_or_says_nothing_is_refused() -> None:
    events = [make_event("gen_ai.evaluation.result", told) for told in ({"error.type": "timeout"}, {})]
    assert reasons(traces(make_span(CHAT | CONTENT, events=events))) == ["evaluation_failed", "empty_feedback"]


def test_recorded_evaluations_reach_the_call_they_judge() -> None:
    values = fixture("otel/openai-v2-events.traces.jsonl") + fixture("otel/openai-v2-events.logs.jsonl")
    items = feedback(*values)
    aliases = {alias for record in interactions(*values) for alias in record.aliases}
    assert told_by(items) == [
        ("score", 0.9),
        ("comment", "Relevance: relevant"),
        ("comment", "names the capital"),
        ("boolean", True),
    ]
    assert {item.target for item in items} <= aliases

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.formats.otel import SpanParser, decode_items
from cortex_cli.collect.otlp import Event, Fault, Item, Span, decode_container, is_container, is_kept, read_id
from cortex_cli.collect.records import BadRecordError, Place, Quarantined, Skipped
from cortex_cli.domain.interactions import Origin
from tests.collect.spans import SPAN, TRACE, fixture, logs, make_log, make_span, pairs, traces


def decode(value: dict[str, Any]) -> list[Item]:
    found = list(decode_container(value))
    assert not [item for item in found if isinstance(item, Fault)], found
    return [item for item in found if not isinstance(item, Fault)]


def attribute(value: Any) -> Any:
    (span,) = decode(traces(make_span({}, attributes=[{"key": "gen_ai.x", "value": value}])))
    return span.attributes["gen_ai.x"]


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ({"stringValue": "a"}, "a"),
        ({"string_value": "a"}, "a"),
        ({"stringValue": ""}, ""),
        ({"boolValue": False}, False),
        ({"boolValue": True}, True),
        ({"intValue": "7"}, 7),
        ({"intValue": 7}, 7),
        ({"doubleValue": 0.5}, 0.5),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "NaN"}, None),
        ({"doubleValue": "-Infinity"}, None),
        ({"bytesValue": "AAE="}, "AAE="),
        ({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}]}}, ["a", 1]),
        ({"arrayValue": {}}, []),
        ({"kvlistValue": {"values": pairs({"a": {"b": [True]}})}}, {"a": {"b": [True]}}),
        ({}, None),
        (None, None),
        ("plain", "plain"),
    ],
)
def test_a_value_is_read_in_every_form(told: Any, value: Any) -> None:
    assert attribute(told) == value


@pytest.mark.parametrize(
    "told",
    [
        {"intValue": "seven"},
        {"intValue": "9" * 30},
        {"intValue": []},
        {"doubleValue": "x"},
        {"stringValue": 3},
        {"arrayValue": []},
        {"arrayValue": {"values": {}}},
        {"kvlistValue": {"values": [3]}},
        {"colourValue": "green"},
    ],
)
def test_a_value_of_a_wrong_type_is_a_fault_of_its_span_alone(told: Any) -> None:
    bad = make_span({}, attributes=[{"key": "gen_ai.x", "value": told}])
    fault, span = decode_container(traces(bad, make_span({})))
    assert isinstance(fault, Fault)
    assert isinstance(span, Span)


def test_a_value_that_is_nested_too_deeply_is_a_fault() -> None:
    value: Any = {"stringValue": "x"}
    for _ in range(70):
        value = {"arrayValue": {"values": [value]}}
    (fault,) = decode_container(traces(make_span({}, attributes=[{"key": "gen_ai.x", "value": value}])))
    assert isinstance(fault, Fault)
    assert fault.reason == "too_deep"


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (SPAN, SPAN),
        (SPAN.upper(), SPAN),
        ("0x" + SPAN, SPAN),
        (base64.b64encode(bytes.fromhex(SPAN)).decode(), SPAN),
        ("0" * 16, ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_id_is_hex_or_base64(told: Any, found: str) -> None:
    assert read_id(told, 8) == found


@pytest.mark.parametrize("told", ["abc", "g" * 16, 7, ["x"], "A" * 5000])
def test_what_is_no_id_is_refused(told: Any) -> None:
    with pytest.raises(BadRecordError, match="bad_id"):
        read_id(told, 8)


def test_names_may_be_in_snake_case() -> None:
    (span,) = decode({"resource_spans": [{"scope_spans": [{"spans": [
        {"trace_id": TRACE, "span_id": SPAN, "start_time_unix_nano": 5, "end_time_unix_nano": "7"}
    ]}]}]})  # fmt: skip
    assert (span.trace, span.start, span.end) == (TRACE, 5, 7)  # type: ignore[union-attr]  # a container of spans


def test_the_name_of_a_log_record_is_a_field_or_an_attribute() -> None:
    older = make_log("", {"content": "x"}, event__name="gen_ai.user.message")
    newer = make_log("gen_ai.user.message", {"content": "x"})
    found = decode(logs(older, newer, make_log("application.started")))
    assert [item.name for item in found if isinstance(item, Event)] == ["gen_ai.user.message"] * 2
    assert found[0].body == {"content": "x"}  # type: ignore[union-attr]  # a container of events


def test_scopes_of_before_version_0_15_are_read() -> None:
    value = {"resourceSpans": [{"instrumentationLibrarySpans": [{"spans": [make_span({})]}]}]}
    assert len(decode(value)) == 1


def test_only_attributes_that_are_read_are_kept() -> None:
    kept = ["gen_ai.usage.input_tokens", "llm.model_name", "session.id", "annotations.0.annotation.name"]
    dropped = ["http.url", "llm.headers", "client.address", "exception.stacktrace", "gen_ai.openai.api_base"]
    assert all(map(is_kept, kept))
    assert not any(map(is_kept, dropped))


@pytest.mark.parametrize(
    "fields",
    [
        {"startTimeUnixNano": -1},
        {"startTimeUnixNano": 10**30},
        {"endTimeUnixNano": "soon"},
        {"traceId": ""},
        {"status": "bad"},
        {"events": {}},
        {"attributes": "x"},
    ],
)
def test_a_span_with_wrong_fields_is_a_fault(fields: dict[str, Any]) -> None:
    (fault,) = decode_container(traces(make_span({}, **fields)))
    assert isinstance(fault, Fault)


@pytest.mark.parametrize(
    "value",
    [
        {"resourceSpans": [3]},
        {"resourceSpans": [{"scopeSpans": "x"}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": 1}]}]},
        {"resourceSpans": [{"resource": []}]},
    ],
)
def test_a_broken_container_is_refused_as_a_whole(value: dict[str, Any]) -> None:
    assert is_container(value)
    with pytest.raises(BadRecordError, match="wrong_type"):
        list(decode_container(value))


def test_a_container_of_metrics_holds_nothing() -> None:
    assert decode_items({"resourceMetrics": [{"scopeMetrics": []}]}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
VALUES = st.one_of(
    JSON,
    st.sampled_from(["stringValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "boolValue"]).flatmap(
        lambda name: st.builds(lambda item: {name: item}, JSON)
    ),
)
KEYS = st.sampled_from([
    "gen_ai.operation.name", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions",
    "gen_ai.prompt", "gen_ai.prompt.0.role", "gen_ai.prompt.1.content", "gen_ai.completion.0.tool_calls.0.name",
    "gen_ai.tool.definitions", "llm.input_messages.0.message.role", "llm.input_messages.0.message.contents.0",
    "llm.output_messages", "llm.tools.0.tool.json_schema", "llm.request.functions.0.parameters", "input.value",
    "output.value", "annotations.0.annotation.score", "session.evaluations.0.evaluation.label", "openinference.span.kind",
    "gen_ai.evaluation.score.value", "gen_ai.response.id", "user.id", "session.id", "llm.invocation_parameters",
])  # fmt: skip
ATTRIBUTES = st.lists(st.builds(lambda key, value: {"key": key, "value": value}, KEYS, VALUES), max_size=5) | JSON
NAMES = st.sampled_from(
    ["gen_ai.user.message", "gen_ai.choice", "gen_ai.evaluation.result", "gen_ai.content.prompt", "exception"]
)
FIELDS = st.fixed_dictionaries(
    {"traceId": st.sampled_from([TRACE, "", "x"]), "spanId": st.sampled_from([SPAN, "00f067aa0ba902b7"])},
    optional={
        "attributes": ATTRIBUTES,
        "body": VALUES,
        "eventName": NAMES,
        "parentSpanId": st.sampled_from([SPAN, "", "00f067aa0ba902b7"]),
        "startTimeUnixNano": st.integers() | JSON,
        "status": JSON,
        "events": st.lists(st.fixed_dictionaries({"name": NAMES, "attributes": ATTRIBUTES}), max_size=2) | JSON,
    },
)


def assert_counted(values: list[dict[str, Any]]) -> None:
    """Whatever comes: no exception but one, each value is counted once, and ids are never empty."""
    parser = SpanParser()
    place = Place(Origin("fuzz"), "desk")
    for value in values:
        try:
            found = list(parser.read(value, place))
        except BadRecordError:
            continue
        assert sum(isinstance(item, Skipped) for item in found) <= 1
    for item in parser.finish():
        assert item.reason if isinstance(item, Quarantined) else item.id


@given(st.lists(FIELDS, max_size=4), st.lists(FIELDS, max_size=4))
def test_no_span_and_no_log_record_breaks_the_reader(spans: list[Any], records: list[Any]) -> None:
    assert_counted([traces(*spans), logs(*records), {"context": {}, **(spans or [{}])[0]}])


@given(st.dictionaries(st.sampled_from(["resourceSpans", "resourceLogs", "attributes", "trace_id", "span_id"]), JSON))
def test_no_container_breaks_the_reader(value: dict[str, Any]) -> None:
    assert_counted([value])


@given(st.data())
def test_no_damage_to_a_real_value_breaks_the_reader(data: st.DataObject) -> None:
    value = json.loads(json.dumps(data.draw(st.sampled_from(fixture("otel/openai-v2-both.traces.jsonl")))))
    node: Any = value
    while isinstance(node, dict | list) and node:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
            node[key] = data.draw(JSON)
            break
        node = node[key]
    assert_counted([value])


def test_infinite_numbers_measure_nothing() -> None:
    assert attribute({"doubleValue": math.inf}) is None

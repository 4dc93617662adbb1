"""Tool calls: an object for TRL, JSON text for OpenAI, and back without a loss."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.toolcalls import (
    answer_message,
    arguments_as_object,
    arguments_as_text,
    openai_messages,
    trl_messages,
)
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

Json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
CALLS = json.dumps(
    [
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}},
        {"id": "c2", "type": "function", "function": {"name": "time", "arguments": {"zone": "CET"}}},
    ]
)
TALK = (
    Message("user", "weather and time?"),
    Message("assistant", "", tool_calls=CALLS),
    Message("tool", "rain", name="weather"),
    Message("tool", "noon", name="c2"),
)


def test_trl_has_objects_and_names() -> None:
    _, call, first, second = trl_messages(TALK)
    assert call["tool_calls"] == [
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bonn"}}},
        {"type": "function", "function": {"name": "time", "arguments": {"zone": "CET"}}},
    ]
    assert first == {"role": "tool", "content": "rain", "name": "weather"}
    # The producer gave the id of the call: TRL wants the name of the tool.
    assert second == {"role": "tool", "content": "noon", "name": "time"}


def test_openai_has_text_and_ids() -> None:
    _, call, first, second = openai_messages(TALK)
    assert [each["function"]["arguments"] for each in call["tool_calls"]] == ['{"city":"Bonn"}', '{"zone":"CET"}']
    assert (first["tool_call_id"], second["tool_call_id"]) == ("c1", "c2")
    assert "name" not in first


def test_calls_without_ids_get_some_and_results_are_matched_by_name_or_order() -> None:
    calls = json.dumps([{"function": {"name": "b", "arguments": "{}"}}, {"name": "a", "arguments": "{}"}])
    messages = (Message("assistant", "", tool_calls=calls), Message("tool", "A", name="a"), Message("tool", "B"))
    call, first, second = openai_messages(messages)
    ids = [each["id"] for each in call["tool_calls"]]
    assert len(set(ids)) == 2
    assert (first["tool_call_id"], second["tool_call_id"]) == (ids[1], ids[0])
    assert [each["function"]["name"] for each in call["tool_calls"]] == ["b", "a"]


def test_a_result_without_a_call_is_kept() -> None:
    assert trl_messages([Message("tool", "x", name="f")]) == [{"role": "tool", "content": "x", "name": "f"}]
    assert openai_messages([Message("tool", "x")]) == [{"role": "tool", "content": "x", "tool_call_id": "call_0"}]


def test_the_name_of_a_speaker_stays() -> None:
    assert trl_messages([Message("user", "x", name="ada")])[0]["name"] == "ada"
    assert openai_messages([Message("user", "x", name="ada")])[0]["name"] == "ada"


@pytest.mark.parametrize("text", ["[1]", "not json", '"x"'])
def test_arguments_that_are_no_object_stay_as_they_are(text: str) -> None:
    assert arguments_as_object({"name": "f", "arguments": text}) == {"name": "f", "arguments": text}


@given(st.dictionaries(st.text(), Json))
def test_arguments_come_back_from_both_forms(arguments: dict[str, Any]) -> None:
    function = {"name": "f", "arguments": arguments}
    text = arguments_as_text(function)
    assert isinstance(text["arguments"], str)
    assert arguments_as_object(text) == function
    assert arguments_as_text(arguments_as_object(text)) == text


@given(st.lists(st.dictionaries(st.text(), Json), min_size=1, max_size=3))
def test_a_conversation_says_the_same_in_both_forms(several: list[dict[str, Any]]) -> None:
    calls = [
        {"id": f"c{at}", "type": "function", "function": {"name": f"f{at}", "arguments": each}}
        for at, each in enumerate(several)
    ]
    messages = [Message("assistant", "", tool_calls=msgspec.json.encode(calls).decode())]
    (openai,), (trl,) = openai_messages(messages), trl_messages(messages)
    assert [arguments_as_object(each["function"]) for each in openai["tool_calls"]] == [
        each["function"] for each in trl["tool_calls"]
    ]


def test_an_answer_of_calls_alone_has_no_text() -> None:
    example = Example(id="x", agent="a", messages=(), answer=CALLS, calls=CALLS, source="accepted")
    assert answer_message(example) == Message("assistant", "", tool_calls=CALLS)
    spoken = msgspec.structs.replace(example, answer="let me look")
    assert answer_message(spoken) == Message("assistant", "let me look", tool_calls=CALLS)

import contextlib
import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.records import (
    BadRecordError,
    Place,
    identify,
    parse_messages,
    parse_time,
    pick_agent,
    pick_first,
    render_calls,
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Interaction, Message, Origin

HERE = Place(Origin("log.jsonl", 1), "fallback")
# From 1974, where milliseconds pass 1e11, to 2100.
MOMENTS = st.datetimes(
    min_value=datetime(1974, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
    timezones=st.just(UTC),
)


@given(MOMENTS, st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_a_moment_is_the_same_in_any_unit(moment: datetime, unit: int) -> None:
    whole = moment.replace(microsecond=0)
    expected = whole.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert parse_time(int(whole.timestamp()) * unit) == expected
    assert parse_time(whole.isoformat()) == expected


@given(st.one_of(st.floats(), st.integers(), st.text(max_size=12), st.booleans(), st.lists(st.integers(), max_size=2)))
def test_a_time_is_in_one_form_or_refused(value: Any) -> None:
    with contextlib.suppress(BadRecordError):
        text = parse_time(value)
        assert text == "" or datetime.fromisoformat(text).tzinfo is UTC


def test_no_time_is_no_fault() -> None:
    assert parse_time(None) == parse_time("") == ""


def test_the_first_name_present_is_the_agent() -> None:
    assert pick_agent({"agent": "a", "master": "b"}, HERE, "agent", "master") == "a"
    assert pick_agent({"agent": "", "master": "b"}, HERE, "agent", "master") == "b"
    assert pick_agent({}, HERE, "agent") == "fallback"


@pytest.mark.parametrize(("named", "reason"), [("UPPER", "bad_agent"), ("a/b", "bad_agent"), (["a"], "no_agent")])
def test_an_agent_must_be_a_name(named: Any, reason: str) -> None:
    with pytest.raises(BadRecordError) as caught:
        pick_agent({"agent": named}, HERE, "agent")
    assert caught.value.reason == reason


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), st.text(max_size=20))))
def test_plain_messages_keep_role_and_text(parts: list[tuple[Any, str]]) -> None:
    values = [{"role": role, "content": text} for role, text in parts]
    assert parse_messages(values) == tuple(Message(role, text) for role, text in parts)


def test_a_name_and_missing_content_are_understood() -> None:
    (message,) = parse_messages([{"role": "tool", "name": "search", "content": None}])
    assert message == Message("tool", "", name="search")


@pytest.mark.parametrize("part", [{"type": "image_url"}, {"type": "text", "text": 5}, 7, None])
def test_half_of_a_message_is_never_taken_for_the_whole(part: Any) -> None:
    with pytest.raises(BadRecordError) as caught:
        parse_messages([{"role": "user", "content": [{"type": "text", "text": "see"}, part]}])
    assert caught.value.reason == "unsupported_content"


def test_structure_becomes_canonical_text_and_text_stays() -> None:
    assert render_json([{"b": 1, "a": None}]) == '[{"a":null,"b":1}]'
    assert render_json("as it is") == "as it is"
    assert render_json(None) == render_json([]) == ""


def test_a_wrong_type_names_its_field() -> None:
    assert typed(None, int, "tokens") is None
    with pytest.raises(BadRecordError, match="tokens"):
        typed("many", int, "tokens")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**30, -(10**17)])
def test_a_number_that_measures_nothing_is_refused(number: float) -> None:
    with pytest.raises(BadRecordError, match="bad_number: cost"):
        typed(number, type(number), "cost")


def test_what_cannot_be_written_as_json_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, ["\ud800"], [object()]):
        with pytest.raises(BadRecordError, match="not_json"):
            render_json(value)


def test_the_first_field_that_is_filled_is_picked() -> None:
    assert pick_first({"a": None, "b": 0, "c": 1}, ("a", "b", "c")) == 0
    assert pick_first({}, ("a",)) is None


def test_arguments_of_calls_are_text_whatever_they_were() -> None:
    told = [{"function": {"name": "f", "arguments": given}} for given in ({"b": 1, "a": 2}, '{"b":1}', None)]
    found = [call["function"]["arguments"] for call in json.loads(render_calls(told, "calls"))]
    assert found == ['{"a":2,"b":1}', '{"b":1}', "{}"]
    assert (
        render_calls([{"type": "custom", "custom": {"name": "g"}}], "calls")
        == '[{"custom":{"name":"g"},"type":"custom"}]'
    )
    assert render_calls(None, "calls") == render_calls([], "calls") == ""


def test_a_refusal_is_what_was_said() -> None:
    (plain,) = parse_messages([{"role": "assistant", "content": None, "refusal": "I cannot."}])
    (parted,) = parse_messages([{"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]}])
    assert plain == parted == Message("assistant", "I cannot.")


def test_an_answer_of_a_tool_is_named_after_its_call() -> None:
    call = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    asked = {"role": "assistant", "tool_calls": [call]}
    told = [{"role": "tool", "tool_call_id": name, "content": "1"} for name in ("c1", "c2", ["c1"])]
    named = {**told[0], "name": "mine"}
    assert [message.name for message in parse_messages([asked, *told, named])[1:]] == ["f", "", "", "mine"]


def test_the_id_is_that_of_the_content_not_of_the_place() -> None:
    def at(origin: Origin, **fields: Any) -> str:
        base = {"id": "", "agent": "a", "time": "", "messages": (Message("user", "x"),), "output": "y"}
        return identify(Interaction(**{**base, **fields}, origin=origin)).id

    assert at(Origin("a", 1)) == at(Origin("b", 2))
    assert at(Origin("a", 1)) != at(Origin("a", 1), output="z")

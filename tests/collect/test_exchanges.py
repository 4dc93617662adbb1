import json
from typing import Any

import pytest

from cortex_cli.collect.exchanges import Answer, read_answer, read_prompt
from cortex_cli.collect.records import BadRecordError
from cortex_cli.domain.interactions import Message

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
HI = (Message("user", "hi"),)


@pytest.mark.parametrize(
    "value",
    [
        "hi",
        [USER],
        [[USER]],
        ["hi"],
        {"messages": [USER]},
        {"messages": [[USER]]},
        {"prompt": "hi"},
        {"model": "m", "input": "hi"},
        {"prompt": "hi", "temperature": 0},
        {"input": [USER]},
        USER,
        json.dumps([USER]),
        {"args": [], "kwargs": {"messages": [USER]}},
        [{"type": "human", "content": "hi"}],
    ],
)
def test_requests_of_all_clients_ask_the_same(value: Any) -> None:
    expected = (Message("user", '["hi"]'),) if value == ["hi"] else HI
    assert read_prompt(value).messages == expected


def test_a_request_tells_its_tools_and_its_system_prompt() -> None:
    prompt = read_prompt({"system": "be brief", "messages": [USER], "tools": [CALL]})
    assert prompt.messages == (Message("system", "be brief"), *HI)
    assert json.loads(prompt.tools) == [CALL]
    assert not prompt.earlier


def test_a_request_that_refers_to_an_earlier_response_says_so() -> None:
    assert read_prompt({"model": "m", "input": "hi", "previous_response_id": "r"}).earlier


@pytest.mark.parametrize(
    "value", [{"city": "Oslo"}, {"input": "Oslo"}, {"messages": 5}, {"prompt": "a", "context": "b"}, [1, 2], 5]
)
def test_what_is_no_request_is_one_text(value: Any) -> None:
    (message,) = read_prompt(value).messages
    assert json.loads(message.content) == value


@pytest.mark.parametrize(
    "value",
    [
        "hello",
        {"role": "assistant", "content": "hello"},
        {"content": "hello"},
        {"content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]},
        [{"type": "text", "text": "hello"}],
        {"choices": [{"message": {"role": "assistant", "content": "hello"}}]},
        {"choices": [{"text": "hello"}]},
        {"message": {"role": "assistant", "content": "hello"}},
        {"output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}]},
        {"messages": [USER, {"role": "assistant", "content": "hello"}]},
        [USER, {"role": "assistant", "content": "hello"}],
        json.dumps({"role": "assistant", "content": "hello"}),
    ],
)
def test_responses_of_all_clients_answer_the_same(value: Any) -> None:
    assert read_answer(value) == Answer("hello")


def test_an_answer_that_only_calls_tools_is_its_calls() -> None:
    answer = read_answer({"role": "assistant", "content": " ", "tool_calls": [CALL]})
    assert answer.output == answer.calls
    assert json.loads(answer.calls) == [CALL]


@pytest.mark.parametrize("value", ['{"b": 1, "a": 2}', '{"content": {"b": 1}}', "[1,  2]", '{"role": "chef"}'])
def test_an_answer_in_json_stays_as_it_was_written(value: str) -> None:
    assert read_answer(value).text == value


def test_an_answer_in_json_that_was_logged_as_an_object_is_written_as_json() -> None:
    assert read_answer({"content": {"b": 1}, "a": 2}).text == '{"a":2,"content":{"b":1}}'


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (read_prompt, "", "incomplete_export"),
        (read_prompt, [], "incomplete_export"),
        (read_prompt, '[{"role": "user", "content": "hi', "truncated"),
        (read_prompt, "[" * 5000, "too_deep"),
        (read_prompt, {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "unsupported_content"),
        (read_answer, "", "no_answer"),
        (read_answer, None, "no_answer"),
        (read_answer, {"choices": []}, None),
        (read_answer, {"role": "assistant", "content": ""}, "no_answer"),
        (read_answer, {"messages": [USER]}, "no_answer"),
        (read_answer, {"role": "assistant", "content": [{"type": "hologram"}]}, "unsupported_content"),
    ],
)
def test_what_asks_or_answers_nothing_is_refused(read: Any, value: Any, expected: str | None) -> None:
    if expected is None:
        assert read(value).text == '{"choices":[]}'
        return
    with pytest.raises(BadRecordError) as caught:
        read(value)
    assert caught.value.reason == expected

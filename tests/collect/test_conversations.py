import json
from typing import Any

import pytest

from cortex_cli.collect.conversations import Conversation, find_role
from cortex_cli.collect.records import BadRecordError
from cortex_cli.domain.interactions import Message


def told(*values: Any) -> list[Message]:
    conversation = Conversation()
    for value in values:
        conversation.add(value)
    return conversation.messages


def reason(value: Any) -> str:
    with pytest.raises(BadRecordError) as caught:
        told(value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hi", Message("user", "hi")),
        ({"role": "developer", "content": "hi"}, Message("system", "hi")),
        ({"type": "ai", "content": "hi"}, Message("assistant", "hi")),
        ({"role": "user", "content": ["a", {"type": "text", "text": "b"}]}, Message("user", "ab")),
        ({"role": "user", "content": [{"type": "raw_text", "value": "a"}]}, Message("user", "a")),
        ({"role": "user", "content": [{"type": "template", "arguments": {"a": 1}}]}, Message("user", '{"a":1}')),
        ({"role": "user", "content": {"type": "text", "text": "a"}}, Message("user", "a")),
        ({"role": "user", "content": "hi", "name": "ann"}, Message("user", "hi", "ann")),
        ({"role": "assistant", "content": None, "refusal": "no"}, Message("assistant", "no")),
        ({"role": "assistant", "content": [{"type": "thinking", "thinking": "a"}]}, Message("assistant", "")),
        ({"role": "assistant", "content": ""}, Message("assistant", "")),
    ],
)
def test_messages_of_all_dialects_are_ours(value: Any, expected: Message) -> None:
    assert told(value) == [expected]


@pytest.mark.parametrize(
    "value",
    [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        {"role": "assistant", "content": [{"type": "tool_call", "id": "c", "raw_name": "f", "raw_arguments": "{}"}]},
        {"type": "ai", "content": "", "tool_calls": [{"id": "c", "name": "f", "args": {}, "type": "tool_call"}]},
    ],
)
def test_calls_of_all_dialects_have_one_form(value: Any) -> None:
    (message,) = told(value)
    assert json.loads(message.tool_calls) == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]


def test_the_call_before_there_were_tools_has_no_id() -> None:
    (message,) = told({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}})
    assert "id" not in json.loads(message.tool_calls)[0]


def test_a_call_of_the_shell_is_named_after_its_kind() -> None:
    (message,) = told({"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}})
    function = json.loads(message.tool_calls)[0]["function"]
    assert function == {"name": "local_shell", "arguments": '{"command":["ls"]}'}


@pytest.mark.parametrize(
    "value",
    [
        {"role": "tool", "tool_call_id": "c", "content": "18"},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "18"}]}],
        },
        {"type": "function_call_output", "call_id": "c", "output": "18"},
        {"role": "user", "content": [{"type": "tool_result", "id": "c", "result": 18}]},
    ],
)
def test_a_result_carries_the_name_of_its_tool(value: Any) -> None:
    _, message = told({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, value)
    assert message == Message("tool", "18", "f")


def test_results_come_before_what_the_user_adds() -> None:
    blocks = [{"type": "text", "text": "and?"}, {"type": "tool_result", "tool_use_id": "c", "content": {"a": 1}}]
    assert told({"role": "user", "content": blocks}) == [Message("tool", '{"a":1}'), Message("user", "and?")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, "bad_messages"),
        ({"role": "robot", "content": "hi"}, "bad_messages"),
        ({"role": ["user"], "content": "hi"}, "bad_messages"),
        ({"role": "user", "content": [5]}, "bad_messages"),
        ({"role": "user", "content": [{"type": "text"}]}, "bad_messages"),
        ({"role": "assistant", "tool_calls": "f()"}, "bad_messages"),
        ({"role": "assistant", "tool_calls": [{"function": {"name": 5}}]}, "bad_messages"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "unsupported_content"),
        ({"role": "user", "content": [{"type": ["text"]}]}, "unsupported_content"),
        ({"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]}, "unsupported_content"),
    ],
)
def test_what_is_no_message_or_half_of_one_is_refused(value: Any, expected: str) -> None:
    assert reason(value) == expected


def test_a_role_is_known_by_any_of_its_names() -> None:
    assert [find_role({"role": name}) for name in ("human", "AI", "model", "function")] == [
        "user",
        "assistant",
        "assistant",
        "tool",
    ]

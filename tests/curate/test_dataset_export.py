"""Exports in the words of trainers: the right keys, no others, and nothing lost between the two kinds of arguments."""

import json
from typing import Any

import msgspec
import pytest

from cortex_cli.curate.export import FORMS, export_lines
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

PLAIN = Example(
    id="x-1",
    agent="shell",
    messages=(Message("system", "be brief"), Message("user", "list")),
    answer="ls",
    source="accepted",
    time="2026-01-02T03:04:05Z",
    interaction="k-1",
)
PAIR = msgspec.structs.replace(PLAIN, answer="ls -l", rejected="dir", source="correction")
TOOLED = Example(
    id="x-3",
    agent="shell",
    messages=(Message("user", "list"),),
    answer=(
        calls := json.dumps([{"id": "c", "type": "function", "function": {"name": "ls", "arguments": '{"path":"/"}'}}])
    ),
    calls=calls,
    tools=json.dumps([{"type": "function", "function": {"name": "ls", "parameters": {"path": {"type": "string"}}}}]),
    source="accepted",
)
PROMPT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "list"}]


def export(form: str, *examples: Example) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export_lines(examples, form)]


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_messages_end_with_the_answer() -> None:
    assert export("messages", PLAIN) == [{"messages": [*PROMPT, answer("ls")]}]


def test_completion_keeps_prompt_and_answer_apart() -> None:
    assert export("prompt-completion", PLAIN) == [{"prompt": PROMPT, "completion": [answer("ls")]}]


def test_preference_forms_hold_both_answers_and_only_where_there_are_two() -> None:
    assert export("preference", PLAIN, PAIR) == [
        {"prompt": PROMPT, "chosen": [answer("ls -l")], "rejected": [answer("dir")]}
    ]
    assert export("openai-preference", PLAIN, PAIR) == [
        {"input": {"messages": PROMPT}, "preferred_output": [answer("ls -l")], "non_preferred_output": [answer("dir")]}
    ]


def test_a_corrected_example_teaches_the_correction_in_the_other_forms() -> None:
    assert export("messages", PAIR)[0]["messages"][-1] == answer("ls -l")


def test_kto_has_a_row_for_the_right_answer_and_one_for_the_wrong() -> None:
    assert export("kto", PLAIN, PAIR) == [
        {"prompt": PROMPT, "completion": [answer("ls")], "label": True},
        {"prompt": PROMPT, "completion": [answer("ls -l")], "label": True},
        {"prompt": PROMPT, "completion": [answer("dir")], "label": False},
    ]


def test_a_pair_is_something_new_only_where_answers_are_compared() -> None:
    pair = msgspec.structs.replace(PAIR, source="pair")
    rows = {form: len(export(form, PAIR, pair)) for form in FORMS}
    assert rows == dict.fromkeys(FORMS, 1) | {"preference": 2, "openai-preference": 2, "kto": 3}
    assert [row["label"] for row in export("kto", pair)] == [False]


def test_sharegpt_has_turns_of_its_own_names_and_the_system_beside_them() -> None:
    assert export("sharegpt", PLAIN) == [
        {
            "conversations": [{"from": "human", "value": "list"}, {"from": "gpt", "value": "ls"}],
            "system": "be brief",
        }
    ]


def test_alpaca_has_the_last_question_and_earlier_turns_as_history() -> None:
    talk = (Message("user", "hi"), Message("assistant", "hello"), Message("user", "list"))
    assert export("alpaca", PLAIN, msgspec.structs.replace(PLAIN, messages=talk)) == [
        {"instruction": "list", "input": "", "output": "ls", "system": "be brief"},
        {"instruction": "list", "input": "", "output": "ls", "history": [["hi", "hello"]]},
    ]


def test_tools_are_text_for_trl_and_sharegpt_and_a_list_for_openai() -> None:
    (trl,) = export("messages", TOOLED)
    (openai,) = export("openai", TOOLED)
    (sharegpt,) = export("sharegpt", TOOLED)
    assert trl["tools"] == sharegpt["tools"] == TOOLED.tools
    assert openai["tools"] == json.loads(TOOLED.tools)


def test_arguments_are_an_object_for_trl_and_text_for_openai() -> None:
    (trl,) = export("messages", TOOLED)
    (openai,) = export("openai", TOOLED)
    assert trl["messages"][-1]["tool_calls"][0]["function"]["arguments"] == {"path": "/"}
    assert openai["messages"][-1]["tool_calls"][0]["function"]["arguments"] == '{"path":"/"}'
    assert trl["messages"][-1]["content"] == openai["messages"][-1]["content"] == ""


def test_a_call_is_a_turn_of_its_own_in_sharegpt() -> None:
    (found,) = export("sharegpt", TOOLED)
    assert [turn["from"] for turn in found["conversations"]] == ["human", "function_call"]
    assert json.loads(found["conversations"][1]["value"]) == {"name": "ls", "arguments": {"path": "/"}}


def test_what_a_form_cannot_hold_is_counted() -> None:
    left: list[str] = []
    assert not list(export_lines([TOOLED], "alpaca", skipped=left.append))
    assert not list(export_lines([PLAIN], "openai-preference", skipped=left.append))
    assert left == ["x-3", "x-1"]


@pytest.mark.parametrize("form", sorted(FORMS))
def test_nothing_but_the_form_is_written(form: str) -> None:
    for line in export_lines([PAIR], form):
        assert not any(word in line for word in (b"k-1", b"x-1", b"2026", b"correction"))
        assert line.endswith(b"\n")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_is_one_set_of_keys(form: str) -> None:
    keys = {
        "messages": {"messages"},
        "prompt-completion": {"prompt", "completion"},
        "preference": {"prompt", "chosen", "rejected"},
        "kto": {"prompt", "completion", "label"},
        "openai": {"messages"},
        "openai-preference": {"input", "preferred_output", "non_preferred_output"},
        "sharegpt": {"conversations", "system"},
        "alpaca": {"instruction", "input", "output", "system"},
    }
    assert all(set(row) == keys[form] for row in export(form, PAIR))


def test_tool_calls_that_are_not_json_are_an_integrity_failure() -> None:
    broken = msgspec.structs.replace(PLAIN, messages=(Message("assistant", "", tool_calls="[{"),))
    with pytest.raises(IntegrityError, match="x-1"):
        export("messages", broken)


def test_an_unknown_form_is_suggested_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="did you mean 'preference'"):
        export_lines(iter(()), "preferences")

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
PROMPT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "list"}]


def export(form: str, *examples: Example) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export_lines(examples, form)]


def answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_messages_end_with_the_answer() -> None:
    assert export("messages", PLAIN) == [{"messages": [*PROMPT, answer("ls")]}]


def test_completion_keeps_prompt_and_answer_apart() -> None:
    assert export("completion", PLAIN) == [{"prompt": PROMPT, "completion": [answer("ls")]}]


def test_preference_forms_hold_both_answers_and_only_where_there_are_two() -> None:
    assert export("preference", PLAIN, PAIR) == [
        {"prompt": PROMPT, "chosen": [answer("ls -l")], "rejected": [answer("dir")]}
    ]
    assert export("openai-preference", PLAIN, PAIR) == [
        {"input": {"messages": PROMPT}, "preferred_output": [answer("ls -l")], "non_preferred_output": [answer("dir")]}
    ]


def test_a_corrected_example_teaches_the_correction_in_the_other_forms() -> None:
    assert export("messages", PAIR)[0]["messages"][-1] == answer("ls -l")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_nothing_but_the_form_is_written(form: str) -> None:
    (line,) = export_lines([PAIR], form)
    assert not any(word in line for word in (b"k-1", b"x-1", b"2026", b"correction"))
    assert line.endswith(b"\n")


def test_tool_calls_become_structure_again() -> None:
    calls = [{"function": {"arguments": '{"a":1}', "name": "f"}, "id": "c", "type": "function"}]
    messages = (
        Message("user", "go"),
        Message("assistant", "", tool_calls=json.dumps(calls)),
        Message("tool", "done", name="f"),
    )
    (found,) = export("messages", msgspec.structs.replace(PLAIN, messages=messages))
    assert found["messages"][1]["tool_calls"] == calls
    assert found["messages"][2] == {"role": "tool", "content": "done", "name": "f"}


def test_tool_calls_that_are_not_json_are_an_integrity_failure() -> None:
    broken = msgspec.structs.replace(PLAIN, messages=(Message("assistant", "", tool_calls="[{"),))
    with pytest.raises(IntegrityError, match="x-1"):
        export("messages", broken)


def test_an_unknown_form_is_suggested_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="did you mean 'preference'"):
        export_lines(iter(()), "preferences")

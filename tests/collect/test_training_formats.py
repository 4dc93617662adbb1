import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.reading import FORMATS, Reading, load_format
from cortex_cli.collect.records import BadRecordError, Place, Quarantined, Skipped
from cortex_cli.collect.sources import open_source
from cortex_cli.curate.export import FORMS, export_lines
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin

Read = Callable[..., tuple[list[Any], list[Any], Any]]
FIXTURES = Path(__file__).parent / "fixtures" / "trl"
HERE = Place(Origin("data.jsonl", 1), "shell")
ASK = [{"role": "user", "content": "list files"}]
GOOD = [{"role": "assistant", "content": "ls"}]
BAD = [{"role": "assistant", "content": "rm"}]
FUNCTION = {"name": "get_weather", "arguments": {"city": "Oslo"}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
PROMPT = (Message("user", "list files"),)


def one(read: Read, value: Any, **options: str) -> Interaction:
    records, bad, _ = read(value, **{"agent": "shell", **options})
    assert not bad
    assert isinstance(records[0], Interaction)
    return records[0]


def reason(read: Read, value: Any, **options: str) -> str:
    records, bad, _ = read(value, **{"agent": "shell", **options})
    assert not records
    return str(bad[0].reason)


def calls_of(text: str) -> list[Any]:
    return [call["function"] | {"arguments": json.loads(call["function"]["arguments"])} for call in json.loads(text)]


class TestTrl:
    @pytest.mark.parametrize(
        "value",
        [
            {"messages": [*ASK, *GOOD], "source": "elsewhere"},
            {"prompt": ASK, "completion": GOOD},
            {"prompt": "list files", "completion": "ls"},
        ],
    )
    def test_every_type_with_an_answer_is_an_example(self, read: Read, value: Any) -> None:
        records, bad, reading = read(value, agent="shell")
        assert (bad, reading.format) == ([], "trl")
        assert (records[0].messages, records[0].output) == (PROMPT, "ls")
        assert (records[0].outcome, records[0].meta) == ("unknown", {"supervised": "true"})

    @pytest.mark.parametrize("tools", [TOOLS, json.dumps(TOOLS)])
    def test_tools_may_be_a_list_or_text_and_arguments_an_object(self, read: Read, tools: Any) -> None:
        called = {"role": "assistant", "tool_calls": [{"type": "function", "function": FUNCTION}]}
        told = {"role": "tool", "name": "get_weather", "content": "18"}
        value = {"prompt": [*ASK, called, told], "completion": GOOD, "tools": tools}
        record = one(read, value)
        assert json.loads(record.tools) == TOOLS
        assert calls_of(record.messages[1].tool_calls) == [FUNCTION]
        assert record.messages[2] == Message("tool", "18", name="get_weather")

    def test_a_completion_of_several_messages_is_learned_from_its_last(self, read: Read) -> None:
        called = {"role": "assistant", "tool_calls": [{"type": "function", "function": FUNCTION}]}
        record = one(read, {"prompt": ASK, "completion": [called, {"role": "tool", "content": "18"}, *GOOD]})
        assert ([message.role for message in record.messages], record.output) == (["user", "assistant", "tool"], "ls")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"text": "once upon a time"}, "no_prompt"),
            ({"prompt": "", "completion": "ls"}, "no_prompt"),
            ({"prompt": [], "completion": GOOD}, "no_prompt"),
            ({"prompt": ASK, "completion": ""}, "no_answer"),
            ({"prompt": ASK, "completion": ASK}, "no_answer"),
            ({"messages": [], "source": "x"}, "no_prompt"),
            ({"prompt": ASK, "completions": ["a"], "labels": [True]}, "unsupported_content"),
            ({"prompt": None, "completion": "ls"}, "missing_field"),
            ({"prompt": ASK, "completion": GOOD, "tools": "[{"}, "not_json"),
            ({"prompt": ASK, "completion": GOOD, "tools": "{}"}, "wrong_type"),
            ({"prompt": ASK}, "no_answer"),
        ],
    )
    def test_what_cannot_be_learned_is_told_by_its_reason(self, read: Read, value: Any, expected: str) -> None:
        assert reason(read, value, format="trl") == expected


class TestRealRows:
    @pytest.mark.parametrize(
        ("name", "form", "kinds"),
        [
            ("messages", "openai-chat", "ii"),
            ("prompt_completion", "trl", "i"),
            ("preference", "preference", "if"),
            ("implicit", "preference", "if"),
            ("unpaired", "preference", "if"),
        ],
    )
    def test_rows_that_datasets_wrote_are_read(self, name: str, form: str, kinds: str) -> None:
        reading = Reading(open_source(FIXTURES / f"{name}.jsonl"), agent="desk")
        records = [item for item in reading if not isinstance(item, Quarantined)]
        assert (reading.format, reading.refused) == (form, 0)
        assert "".join("i" if isinstance(record, Interaction) else "f" for record in records) == kinds
        assert all(record.meta == {"supervised": "true"} for record in records if isinstance(record, Interaction))

    def test_calls_of_a_row_are_in_the_form_of_openai(self) -> None:
        (record, *_) = list(Reading(open_source(FIXTURES / "messages.jsonl"), agent="desk"))
        assert isinstance(record, Interaction)
        assert calls_of(record.messages[1].tool_calls) == [FUNCTION]
        assert record.messages[2] == Message("tool", "18", name="get_weather")
        assert json.loads(record.tools)[0]["function"]["name"] == "get_weather"

    def test_a_text_alone_is_no_example(self) -> None:
        reading = Reading(open_source(FIXTURES / "text.jsonl"), agent="desk")
        assert [item.reason for item in reading if isinstance(item, Quarantined)] == ["no_prompt"]


class TestSharegpt:
    @pytest.mark.parametrize(("speaker", "text"), [("from", "value"), ("role", "content")])
    def test_turns_in_both_spellings_are_messages(self, read: Read, speaker: str, text: str) -> None:
        turns = [{speaker: "human", text: "list files"}, {speaker: "gpt", text: "ls"}]
        records, bad, reading = read({"conversations": turns, "system": "be brief"}, agent="shell")
        assert (bad, reading.format) == ([], "sharegpt")
        assert (records[0].messages, records[0].output) == ((Message("system", "be brief"), *PROMPT), "ls")

    def test_calls_and_what_came_back_keep_their_places(self, read: Read) -> None:
        turns = [
            {"from": "human", "value": "How warm?"},
            {"from": "gpt", "value": "Let me look."},
            {"from": "function_call", "value": json.dumps(FUNCTION)},
            {"from": "function_call", "value": json.dumps([FUNCTION])},
            {"from": "observation", "value": "18"},
            {"from": "gpt", "value": "18 degrees."},
        ]
        record = one(read, {"conversations": turns, "tools": json.dumps(TOOLS)})
        assert [message.role for message in record.messages] == ["user", "assistant", "tool"]
        assert record.messages[1].content == "Let me look."
        assert calls_of(record.messages[1].tool_calls) == [FUNCTION, FUNCTION]

    def test_a_call_may_be_the_answer(self, read: Read) -> None:
        turns = [{"from": "human", "value": "How warm?"}, {"from": "function_call", "value": json.dumps(FUNCTION)}]
        record = one(read, {"conversations": turns})
        assert (calls_of(record.calls), record.output) == ([FUNCTION], record.calls)

    @pytest.mark.parametrize(
        ("turns", "expected"),
        [
            ([], "no_answer"),
            ([{"from": "human", "value": "hi"}], "no_answer"),
            ([{"from": "gpt", "value": "hi"}], "no_prompt"),
            ([{"from": "robot", "value": "hi"}], "bad_messages"),
            ([{"from": ["human"], "value": "hi"}], "bad_messages"),
            ([{"from": "human", "value": "q"}, {"from": "function_call", "value": "f()"}], "not_json"),
            ([{"from": "human", "value": "q"}, {"from": "function_call", "value": "[]"}], "bad_messages"),
            (["hi"], "wrong_type"),
        ],
    )
    def test_a_bad_conversation_is_told_by_its_reason(self, read: Read, turns: Any, expected: str) -> None:
        assert reason(read, {"conversations": turns}, format="sharegpt") == expected


class TestAlpaca:
    def test_instruction_input_system_and_history_are_the_prompt(self, read: Read) -> None:
        value = {
            "instruction": "Translate",
            "input": "Hund",
            "output": "dog",
            "system": "You translate.",
            "history": [["Katze", "cat"]],
        }
        records, bad, reading = read(value, agent="shell")
        assert (bad, reading.format) == ([], "alpaca")
        contents = [message.content for message in records[0].messages]
        assert contents == ["You translate.", "Katze", "cat", "Translate\nHund"]
        assert records[0].output == "dog"

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"output": ""}, "no_answer"),
            ({"instruction": ""}, "no_prompt"),
            ({"output": 5}, "wrong_type"),
            ({"history": [["only a question"]]}, "wrong_type"),
        ],
    )
    def test_a_bad_row_is_told_by_its_reason(self, read: Read, change: dict[str, Any], expected: str) -> None:
        assert reason(read, {"instruction": "q", "output": "a", **change}, format="alpaca") == expected


class TestPreference:
    @pytest.mark.parametrize(
        "value",
        [
            {"input": {"messages": ASK, "tools": []}, "preferred_output": GOOD, "non_preferred_output": BAD},
            {"prompt": ASK, "chosen": GOOD, "rejected": BAD},
            {"prompt": "list files", "chosen": "ls", "rejected": "rm"},
            {"prompt": "list files", "chosen": [*ASK, *GOOD], "rejected": [*ASK, *BAD]},
            {"chosen": [*ASK, *GOOD], "rejected": [*ASK, *BAD]},
            {"instruction": "list files", "input": "", "chosen": "ls", "rejected": "rm"},
            {
                "conversations": [{"from": "human", "value": "list files"}],
                "chosen": {"from": "gpt", "value": "ls"},
                "rejected": {"from": "gpt", "value": "rm"},
            },
        ],
    )
    def test_a_pair_is_a_failure_and_the_answer_that_corrects_it(self, read: Read, value: dict[str, Any]) -> None:
        if value.get("prompt") == "list files" and isinstance(value["chosen"], list):
            # Some data sets repeat the prompt in front of both answers.
            value = {key: value[key] for key in ("chosen", "rejected")}
        records, bad, reading = read(value, agent="shell")
        assert (bad, reading.format) == ([], "preference")
        wrong, right = records
        assert (wrong.messages, wrong.output, wrong.outcome) == (PROMPT, "rm", "failure")
        assert (right.target, right.kind, right.demonstration) == (wrong.id, "demonstration", "ls")

    @pytest.mark.parametrize(
        "value",
        [
            {"prompt": ASK, "completion": GOOD, "label": False},
            {"prompt": "list files", "completion": "ls", "label": False},
            {"instruction": "list files", "output": "ls", "kto_tag": False},
            {"messages": [*ASK, *GOOD], "kto_tag": False},
            {
                "conversations": [{"from": "human", "value": "list files"}, {"from": "gpt", "value": "ls"}],
                "kto_tag": False,
            },
        ],
    )
    def test_a_label_is_a_boolean_judgement(self, read: Read, value: Any) -> None:
        records, bad, reading = read(value, agent="shell")
        assert (bad, reading.format) == ([], "preference")
        example, label = records
        assert (example.messages, example.output, example.outcome) == (PROMPT, "ls", "unknown")
        assert (label.target, label.kind, label.thumbs) == (example.id, "boolean", False)

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"chosen": "ls", "rejected": "rm"}, "no_prompt"),
            ({"prompt": ASK, "chosen": GOOD, "rejected": GOOD}, "same_answers"),
            ({"prompt": ASK, "chosen": GOOD, "rejected": ""}, "no_answer"),
            ({"prompt": ASK, "chosen": GOOD, "rejected": []}, "no_answer"),
            ({"prompt": ASK, "chosen": GOOD, "rejected": ASK}, "no_answer"),
            ({"prompt": ASK, "chosen": [*GOOD, *ASK, *GOOD], "rejected": BAD}, "unsupported_content"),
            ({"prompt": ASK, "completion": GOOD, "label": None}, "no_label"),
            ({"prompt": ASK, "completion": GOOD, "label": "good"}, "wrong_type"),
            ({"prompt": ASK}, "no_label"),
            ({"input": [], "preferred_output": GOOD, "non_preferred_output": BAD}, "wrong_type"),
            ({"input": {}, "preferred_output": GOOD, "non_preferred_output": BAD}, "bad_messages"),
        ],
    )
    def test_what_is_no_preference_is_told_by_its_reason(self, read: Read, value: Any, expected: str) -> None:
        assert reason(read, value, format="preference") == expected


TEXT = st.text(min_size=1, max_size=12).filter(lambda text: text.strip())
TURNS = st.lists(st.tuples(TEXT, TEXT), max_size=3)
ARGUMENTS = st.dictionaries(st.text(min_size=1, max_size=4), st.integers(0, 9) | st.text(max_size=4), max_size=2)


def call_text(arguments: dict[str, Any]) -> str:
    function = {"name": "get_weather", "arguments": msgspec.json.encode(arguments, order="deterministic").decode()}
    return msgspec.json.encode([{"type": "function", "function": function}], order="deterministic").decode()


@st.composite
def examples(draw: st.DrawFn, *, tools: bool) -> Example:
    system = draw(st.none() | TEXT)
    messages = [Message("system", system)] if system else []
    for asked, told in draw(TURNS):
        messages += [Message("user", asked), Message("assistant", told)]
    messages.append(Message("user", draw(TEXT)))
    if tools:
        messages += [
            Message("assistant", "", tool_calls=call_text(draw(ARGUMENTS))),
            Message("tool", draw(TEXT), name="get_weather"),
        ]
    good, bad = draw(st.lists(TEXT, min_size=2, max_size=2, unique=True))
    return Example(
        id="e",
        agent="shell",
        messages=tuple(messages),
        answer=good,
        rejected=bad,
        source="accepted",
        tools=msgspec.json.encode(TOOLS, order="deterministic").decode() if tools else "",
    )


def bring_back(example: Example, form: str) -> list[Any]:
    found: list[Any] = []
    for line in export_lines([example], form):
        value = json.loads(line)
        name = next(name for name in FORMATS if load_format(name).recognises(value))
        found += load_format(name).start().read(value, HERE)
    return found


def plain(messages: Iterable[Message], form: str) -> list[tuple[str, str, str, list[Any]]]:
    # ShareGPT has no place for the name of a tool; ids of calls are the producer's own.
    return [
        (
            message.role,
            message.content,
            "" if form == "sharegpt" else message.name,
            calls_of(message.tool_calls) if message.tool_calls else [],
        )
        for message in messages
    ]


@pytest.mark.parametrize("form", sorted(FORMS))
@given(example=st.booleans().flatmap(lambda tools: examples(tools=tools)))
def test_what_is_exported_comes_back_as_it_was(form: str, example: Example) -> None:
    found = bring_back(example, form)
    if form == "alpaca" and example.tools:
        # The form has no place for tools, and says so by giving nothing.
        assert found == []
        return
    first = found[0]
    assert plain(first.messages, form) == plain(example.messages, form)
    assert first.tools == example.tools
    if "preference" in form:
        assert (first.output, found[1].demonstration) == (example.rejected, example.answer)
    else:
        assert first.output == example.answer
    if form == "kto":
        assert [item.thumbs for item in found if isinstance(item, Feedback)] == [True, False]


KEYS = [
    *("messages", "prompt", "completion", "completions", "labels", "label", "kto_tag", "text", "tools", "chosen"),
    *("rejected", "input", "preferred_output", "non_preferred_output", "conversations", "from", "value", "role"),
    *("content", "instruction", "output", "system", "history", "tool_calls", "function", "arguments", "agent"),
]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from([ASK, GOOD, BAD, TOOLS, "human", "gpt", "function_call", "user", "assistant"])
)  # fmt: skip
OBJECTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=10,
)


@pytest.mark.parametrize("name", ["trl", "sharegpt", "alpaca", "preference"])
@given(value=st.dictionaries(st.sampled_from(KEYS), OBJECTS, max_size=8))
def test_no_value_breaks_a_parser_or_is_dropped(name: str, value: dict[str, Any]) -> None:
    chosen = load_format(name)
    chosen.recognises(value)
    parser = chosen.start()
    with contextlib.suppress(BadRecordError):
        found = list(parser.read(value, HERE))
        assert found
        assert all(isinstance(item, Interaction | Feedback | Skipped | Quarantined) for item in found)
    assert list(parser.finish()) == []

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.collect.formats.claude_code import FORMAT
from cortex_cli.collect.records import Place, Record
from cortex_cli.domain.interactions import Interaction, Message, Origin

Read = Callable[..., tuple[list[Any], list[Any], Any]]
LINES = [
    json.loads(line)
    for line in (Path(__file__).parent / "fixtures" / "claude_code" / "session.jsonl").read_text().splitlines()
]
USAGE = {"input_tokens": 5, "output_tokens": 2}


def user(uuid: str, parent: str | None, content: Any, **told: Any) -> dict[str, Any]:
    return line("user", uuid, parent, {"role": "user", "content": content}, **told)


def answer(uuid: str, parent: str | None, content: Any, number: str = "", **told: Any) -> dict[str, Any]:
    message = {"id": number or f"msg_{uuid}", "role": "assistant", "model": "m-1", "content": content, "usage": USAGE}
    return line("assistant", uuid, parent, message, **told)


def line(kind: str, uuid: str, parent: str | None, message: dict[str, Any], **told: Any) -> dict[str, Any]:
    placed = {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "timestamp": "2026-01-02T03:04:05Z"}
    return {**placed, "message": message, **told}


def text(words: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": words}]


def call(number: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": number, "name": "Bash", "input": {"command": number}}


def result(number: str, content: Any = "done") -> list[dict[str, Any]]:
    return [{"type": "tool_result", "tool_use_id": number, "content": content}]


def records_of(read: Read, *values: dict[str, Any]) -> list[Interaction]:
    records, bad, _ = read(*values)
    assert not bad
    return [record for record in records if isinstance(record, Interaction)]


def reasons(read: Read, *values: dict[str, Any]) -> list[str]:
    _, bad, _ = read(*values)
    return [item.reason for item in bad]


class TestSession:
    def test_each_prompt_of_a_person_is_one_interaction(self, read: Read) -> None:
        records, bad, reading = read(*LINES)
        found = [record for record in records if isinstance(record, Interaction)]
        assert reading.format == "claude-code"
        assert [record.output for record in found] == ["There are 12.", "", "", "Now there are 13.", "None found."]
        assert [record.outcome for record in found] == ["unknown", "failure", "error", "unknown", "unknown"]
        assert {record.agent for record in found} == {"claude-code"}
        assert [(item.reason, item.origin.line) for item in bad] == [("unsupported_content", 19), ("unfinished", 28)]
        assert [record.origin.line for record in found] == [4, 13, 17, 24, 26]

    def test_work_between_prompt_and_answer_is_part_of_the_conversation(self, read: Read) -> None:
        first = read(*LINES)[0][0]
        assert [message.role for message in first.messages] == ["user", "assistant", "tool", "tool"]
        assert [call["function"]["name"] for call in json.loads(first.messages[1].tool_calls)] == ["Bash", "Bash"]
        assert first.messages[1].content == "I count them."
        assert first.messages[2:] == (Message("tool", "12", "Bash"), Message("tool", "index.md", "Bash"))
        assert (first.latency, first.aliases, first.meta) == (8.0, ("msg_2", "u1"), {"model": "claude-sonnet-4-5"})

    def test_tokens_are_counted_once_per_answer_of_the_model(self, read: Read) -> None:
        first = read(*LINES)[0][0]
        assert (first.tokens_in, first.tokens_out) == (226, 80)

    def test_a_branch_knows_only_what_was_said_before_it(self, read: Read) -> None:
        interrupted, retried = read(*LINES)[0][1:3]
        assert [message.content for message in interrupted.messages[4:6]] == ["There are 12.", "Delete one of them."]
        assert retried.messages[-1].content == "Add one."
        assert "Delete one of them." not in {message.content for message in retried.messages}

    def test_a_compaction_begins_a_conversation_anew_without_its_summary(self, read: Read) -> None:
        after = read(*LINES)[0][3]
        assert after.messages == (Message("user", "And now?"),)
        assert after.meta["history"] == "missing"

    def test_a_side_chain_is_apart_and_marked(self, read: Read) -> None:
        side = read(*LINES)[0][4]
        assert side.messages == (Message("user", "Look for dead code."),)
        assert (side.meta["sidechain"], side.meta.get("history")) == ("true", None)

    def test_lines_beside_the_conversation_are_counted_by_their_type(self, read: Read) -> None:
        _, _, reading = read(*LINES)
        assert reading.skipped["file-history-snapshot"] == reading.skipped["compact_summary"] == 1
        assert reading.skipped["unknown_type"] == reading.skipped["local_command"] == reading.skipped["meta"] == 1
        assert reading.lines == reading.joined + reading.refused + sum(reading.skipped.values())

    def test_nothing_tells_of_the_machine(self, read: Read) -> None:
        for record in read(*LINES)[0]:
            assert "/home/ann" not in str(record)
            assert "main" not in record.meta.values()

    def test_the_agent_can_be_given(self, read: Read) -> None:
        records, _, _ = read(*LINES, agent="coder")
        assert {record.agent for record in records} == {"coder"}


def test_an_answer_that_repeats_its_blocks_is_told_once(read: Read) -> None:
    lines = (
        user("u", None, "hi"),
        answer("a", "u", text("one"), "msg"),
        answer("b", "a", [*text("one"), call("c")], "msg"),
        user("r", "b", result("c")),
        answer("d", "r", text("two")),
    )
    (record,) = records_of(read, *lines)
    assert [message.content for message in record.messages] == ["hi", "one", "done"]
    assert (record.output, record.tokens_out) == ("two", 4)


def test_a_call_that_is_told_again_is_told_whole(read: Read) -> None:
    begun = {**call("c"), "input": {}}
    lines = (user("u", None, "hi"), answer("a", "u", [begun], "m"), answer("b", "a", [call("c")], "m"))
    (record,) = records_of(read, *lines, user("r", "b", result("c")), answer("d", "r", text("ok")))
    assert json.loads(record.messages[1].tool_calls)[0]["function"]["arguments"] == '{"command":"c"}'


def test_an_error_that_was_overcome_is_none(read: Read) -> None:
    failed = answer("e", "u", text("API Error: 529"), isApiErrorMessage=True)
    failed["message"]["model"] = "<synthetic>"
    (record,) = records_of(read, user("u", None, "hi"), failed, answer("a", "e", text("hello")))
    assert (record.output, record.outcome, record.error) == ("hello", "unknown", "")


def test_what_the_program_says_itself_is_no_answer(read: Read) -> None:
    idle = answer("e", "u", text("No response requested."))
    idle["message"]["model"] = "<synthetic>"
    records, bad, reading = read(user("u", None, "hi"), idle)
    assert not records
    assert ([item.reason for item in bad], reading.skipped) == (["unfinished"], {"synthetic": 1})


def test_a_picture_spoils_its_own_turn_and_takes_it_from_later_ones(read: Read) -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "AA"}}
    lines = (user("u", None, [picture]), answer("a", "u", text("a cat")), user("v", "a", "thanks"))
    records, bad, _ = read(*lines, answer("b", "v", text("welcome")))
    assert [item.reason for item in bad] == ["unsupported_content"]
    assert records[0].messages == (Message("user", "thanks"),)
    assert records[0].meta["history"] == "missing"


def test_a_turn_that_answers_a_command_is_not_taken_for_the_prompt_before(read: Read) -> None:
    command = user("c", "a", "<command-name>/review</command-name>")
    lines = (user("u", None, "hi"), answer("a", "u", text("hello")), command, answer("b", "c", text("reviewed")))
    records, bad, _ = read(*lines, user("v", "b", "and?"), answer("d", "v", text("fine")))
    first, second = records
    assert (first.output, second.output) == ("hello", "fine")
    assert [(item.reason, item.origin.line) for item in bad] == [("no_prompt", 4)]
    assert second.meta["history"] == "missing"


def test_an_answer_to_nothing_is_told(read: Read) -> None:
    assert reasons(read, answer("a", None, text("hello")), answer("b", "a", text("and more"))) == ["no_prompt"]


@pytest.mark.parametrize("parent", ["gone", "v"])
def test_what_hangs_in_the_air_lacks_its_history(read: Read, parent: str) -> None:
    (record,) = records_of(
        read, user("u", parent, "hi"), answer("a", "u", text("hello")), user("v", "u", [], isMeta=True)
    )
    assert record.meta["history"] == "missing"


def test_lines_without_ids_follow_each_other(read: Read) -> None:
    lines = [
        user("", None, "hi"),
        answer("", None, text("hello")),
        user("", None, "bye"),
        answer("", None, text("ciao")),
    ]
    for value in lines:
        del value["uuid"], value["parentUuid"]
    first, second = records_of(read, *lines)
    assert (first.output, second.output) == ("hello", "ciao")
    assert [message.content for message in second.messages] == ["hi", "hello", "bye"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((user("u", None, "hi"),), ["unfinished"]),
        ((user("u", None, "hi"), answer("a", "u", [call("c")])), ["unfinished"]),
        ((user("u", None, "hi"), answer("a", "u", [call("c")]), user("r", "a", result("c"))), ["unfinished"]),
        ((user("u", None, "hi", timestamp="soon"), answer("a", "u", text("x"))), ["bad_time"]),
        ((user("u", None, "hi"), {**answer("a", "u", []), "message": None}), ["wrong_type", "unfinished"]),
        ((user("u", None, "hi"), {**answer("a", "u", 5)}), ["wrong_type", "unfinished"]),
        ((user("u", None, "hi"), answer("a", "u", [{"type": "hologram"}])), ["unsupported_content"]),
        (({"type": 5, "sessionId": "s"}, user("u", None, "hi")), ["wrong_type", "unfinished"]),
    ],
)
def test_what_cannot_be_learned_from_is_told_by_its_reason(
    read: Read, lines: tuple[dict[str, Any], ...], expected: list[str]
) -> None:
    records, bad, _ = read(*lines, format="claude-code")
    assert not records
    assert [item.reason for item in bad] == expected


def test_a_file_that_has_grown_gives_the_turn_that_was_unfinished(read: Read) -> None:
    lines = [user("u", None, "hi"), answer("a", "u", [call("c")])]
    assert reasons(read, *lines) == ["unfinished"]
    (record,) = records_of(read, *lines, user("r", "a", result("c")), answer("b", "r", text("hello")))
    assert record.output == "hello"


def parse(values: list[dict[str, Any]]) -> list[Record]:
    parser = FORMAT.start()
    for number, value in enumerate(values, 1):
        list(parser.read(value, Place(Origin("log", number), "")))
    return [item for item in parser.finish() if isinstance(item, Interaction)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(LINES) - 1), max_size=40))
def test_repeated_lines_spend_no_more_tokens(repeated: list[int]) -> None:
    values = [value for number, value in enumerate(LINES) for _ in range(1 + repeated.count(number))]
    once, again = parse(LINES), parse(values)
    told = [(record.id, record.tokens_in, record.tokens_out) for record in once if isinstance(record, Interaction)]
    assert told == [
        (record.id, record.tokens_in, record.tokens_out) for record in again if isinstance(record, Interaction)
    ]

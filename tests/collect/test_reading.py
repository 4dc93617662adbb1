import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.collect.reading import FORMATS, UNKNOWN_FORMAT, Joint, Reading, load_format, read_records
from cortex_cli.collect.records import Quarantined
from cortex_cli.collect.sources import Source, open_source
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction

Read = Callable[..., tuple[list[Any], list[Any], Any]]
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
SAMPLES: dict[str, dict[str, Any]] = {
    "cortex": {"agent": "shell", "messages": [{"role": "user", "content": "hi"}], "output": "hello"},
    "openai-chat": CHAT,
    "outcomes": {"task_id": "t-1", "status": "success", "agent": "shell"},
    "nl2bash-judged": {
        "system": "s",
        "request": "list",
        "prediction": "ls",
        "command_correct": "y",
        "judges": {"A": {"command": "y"}},
    },
}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_format_is_recognised_from_its_content(read: Read, name: str) -> None:
    records, bad, reading = read(SAMPLES[name], agent="shell")
    assert reading.format == name
    assert records
    assert not bad


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_format_reads_packed_files_alike(read: Read, name: str) -> None:
    plain, _, _ = read(SAMPLES[name], agent="shell")
    packed, _, _ = read(SAMPLES[name], agent="shell", packed=True)
    assert [record.id for record in plain] == [record.id for record in packed]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_says_what_it_is(name: str) -> None:
    loaded = load_format(name)
    assert loaded.name == name
    assert loaded.summary


def test_a_torn_first_line_does_not_hide_the_format(read: Read) -> None:
    records, bad, reading = read(b'"content": "half"}\n', CHAT, agent="shell")
    assert reading.format == "openai-chat"
    assert (len(records), [item.reason for item in bad]) == (1, ["not_json"])


def test_a_source_in_no_known_format_is_quarantined_line_by_line(read: Read) -> None:
    records, bad, reading = read(*[{"colour": "green"}] * 30, b"torn")
    assert not records
    assert [item.reason for item in bad] == [UNKNOWN_FORMAT] * 30 + ["not_json"]
    assert (reading.format, reading.lines) == ("", 31)
    assert "colour" in bad[0].detail


def test_a_format_can_be_forced_and_then_every_line_is_judged_by_it(read: Read) -> None:
    records, bad, _ = read({"colour": "green"}, CHAT, agent="shell", format="openai-chat")
    assert len(records) == 1
    assert [(item.reason, item.origin.line) for item in bad] == [("bad_messages", 1)]


def test_a_misspelt_format_is_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean 'outcomes'"):
        load_format("outcome")


def test_an_empty_source_gives_nothing(read: Read) -> None:
    records, bad, reading = read(b"")
    assert (records, bad, reading.format, reading.lines) == ([], [], "", 0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{not json}\n", "not_json"),
        (b'{"messages": [{"role": "us', "torn_line"),
        (b'{"messages": "\xff\xfe"}\n', "not_utf8"),
        (b'{"messages": [], "x": NaN}\n', "not_json"),
        (b"[" * 50_000 + b"]" * 50_000 + b"\n", "too_deep"),
        (b"[1, 2]\n", "not_an_object"),
        (b'"text"\n', "not_an_object"),
        (b'{"messages": "\\ud800"}\n', "not_json"),
    ],
)
def test_a_bad_line_is_quarantined_with_reason_and_place(read: Read, line: bytes, reason: str) -> None:
    records, bad, reading = read(CHAT, CHAT, line, agent="shell")
    assert len(records) == 2
    assert [(item.reason, item.origin.source, item.origin.line) for item in bad] == [(reason, "log.jsonl", 3)]
    assert bad[0].detail
    assert reading.lines == 3


def test_a_line_after_the_sample_is_not_lost(read: Read) -> None:
    values = [{**CHAT, "messages": [{"role": "user", "content": str(n)}, CHAT["messages"][1]]} for n in range(100)]
    records, _, reading = read(*values, agent="shell")
    assert len(records) == reading.lines == 100
    assert [record.origin.line for record in records] == list(range(1, 101))


def test_records_know_their_file_by_digest(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(CHAT) + "\n")
    source = open_source(path)
    (record,) = read_records(source, agent="shell")
    assert isinstance(record, Interaction)
    assert record.origin.digest == source.digest


def test_the_same_line_in_another_file_has_the_same_id(read: Read) -> None:
    first, _, _ = read(CHAT, agent="shell")
    second, _, _ = read({"messages": [*CHAT["messages"], CHAT["messages"][1]]}, CHAT, agent="shell")
    assert first[0].id == second[1].id
    assert second[0].id != second[1].id


TASK: dict[str, Any] = {"task_id": "t-1", "status": "success", "agent": "shell", "prompt": "list", "output": "ls"}
VERDICT: dict[str, Any] = {"target": "t-1", "kind": "boolean", "thumbs": True, "time": "2026-01-02T03:04:05Z"}


def check_counts(reading: Reading) -> None:
    assert reading.lines == reading.gave + reading.refused + reading.joined + sum(reading.skipped.values())


def test_a_file_of_several_producers_is_read_by_several_formats(read: Read) -> None:
    records, bad, reading = read(CHAT, TASK, VERDICT, {"colour": "green"}, CHAT, agent="shell")
    assert [type(record) for record in records] == [Interaction, Interaction, Feedback, Interaction]
    assert [item.reason for item in bad] == ["bad_messages"]
    assert reading.format == "openai-chat"
    check_counts(reading)


def test_each_record_is_counted_under_the_format_that_read_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in (CHAT, TASK, CHAT, VERDICT)))
    reading = Reading(open_source(path), agent="shell")
    assert [reading.current for _ in reading] == ["openai-chat", "outcomes", "openai-chat", "cortex"]


def test_a_format_that_is_recognised_late_is_read_from_there(read: Read) -> None:
    records, bad, _ = read(*[{"colour": "green"}] * 30, TASK, agent="shell")
    assert len(records) == 1
    assert [item.reason for item in bad] == [UNKNOWN_FORMAT] * 30


def test_a_forced_format_is_kept_to(read: Read) -> None:
    records, bad, _ = read(CHAT, TASK, agent="shell", format="openai-chat")
    assert (len(records), len(bad)) == (1, 1)


def test_a_document_is_read_like_lines(tmp_path: Path, read: Read) -> None:
    records, _, _ = read(CHAT, TASK, agent="shell")
    for number, text in enumerate((json.dumps([CHAT, TASK], indent=2), json.dumps({"data": [CHAT, TASK]}))):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        reading = Reading(open_source(path), agent="shell")
        found = [record for record in reading if not isinstance(record, Quarantined)]
        assert [record.id for record in found] == [record.id for record in records]
        assert [record.origin.line for record in found] == [1, 2]
        check_counts(reading)


def test_a_torn_document_keeps_what_came_before(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([TASK, TASK | {"task_id": "t-2"}], indent=2)[:-30])
    reading = Reading(open_source(tmp_path / "a.json"), agent="shell")
    first, second = reading
    assert isinstance(first, Interaction)
    assert isinstance(second, Quarantined)
    assert (second.reason, second.origin.line) == ("torn_document", 2)
    assert not reading.stands_alone
    check_counts(reading)


@pytest.mark.parametrize(
    ("line", "reason"), [('{"task_id": "t-2", "sta', "torn_line"), ('{"task_id": "t-2"}}', "not_json")]
)
def test_a_last_line_without_an_end_is_read_again_by_the_next_reading(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    first = json.dumps(TASK) + "\n"
    path.write_text(first + line)
    reading = Reading(open_source(path))
    assert [item.reason for item in reading if isinstance(item, Quarantined)] == [reason]
    assert (reading.offset, reading.last_line, reading.unended) == (len(first), 1, reason)
    assert reading.stands_alone
    check_counts(reading)


def test_a_last_line_that_is_whole_needs_no_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(TASK))
    reading = Reading(open_source(path))
    assert len(list(reading)) == 1
    assert (reading.offset, reading.last_line, reading.unended) == (path.stat().st_size, 1, "")


def test_a_later_part_is_read_with_the_numbers_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first = json.dumps(TASK) + "\n"
    path.write_text(first + json.dumps(TASK | {"task_id": "t-2"}) + "\n")
    reading = Reading(Source("a.jsonl", path, start=len(first), line=1))
    (record,) = reading
    assert (record.origin.line, reading.last_line, reading.offset) == (2, 2, path.stat().st_size)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_lines_stand_alone_unless_the_format_joins_them(tmp_path: Path, name: str) -> None:
    known = load_format(name)
    (tmp_path / "a.jsonl").write_text('{"colour": "green"}\n')
    reading = Reading(open_source(tmp_path / "a.jsonl"), format=name, agent="shell")
    list(reading)
    assert reading.stands_alone is not (known.joins or known.together)
    check_counts(reading)


def test_a_packed_file_does_not_stand_alone(read: Read) -> None:
    assert not read(TASK, packed=True)[2].stands_alone
    assert read(TASK)[2].stands_alone


def test_sources_that_belong_together_are_joined_in_any_order(tmp_path: Path) -> None:
    request = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", **CHAT}}
    request["body"] = {"model": "m", "messages": CHAT["messages"][:1]}
    body = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
    body["choices"] = [{"index": 0, "message": CHAT["messages"][1], "finish_reason": "stop"}]
    answer = {"id": "b-1", "custom_id": "r-1", "response": {"status_code": 200, "body": body}, "error": None}
    found = []
    for order in ((request, answer), (answer, request)):
        joint = Joint()
        items: list[Any] = []
        for number, value in enumerate(order):
            (tmp_path / f"{number}.jsonl").write_text(json.dumps(value) + "\n")
            reading = Reading(open_source(tmp_path / f"{number}.jsonl"), agent="shell", joint=joint)
            items += list(reading)
            assert reading.is_shared
            check_counts(reading)
        items += [late.item for late in joint.finish()]
        found.append([item.id for item in items if isinstance(item, Interaction)])
    assert len(found[0]) == 1
    assert found[0] == found[1]


def test_what_never_finds_its_other_half_is_told_and_counted_once(tmp_path: Path) -> None:
    request = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", **CHAT}}
    (tmp_path / "a.jsonl").write_text(json.dumps(request) + "\n")
    joint = Joint()
    reading = Reading(open_source(tmp_path / "a.jsonl"), agent="shell", joint=joint)
    assert list(reading) == []
    assert (reading.joined, reading.refused) == (1, 0)
    (late,) = joint.finish()
    assert isinstance(late.item, Quarantined)
    assert late.waited
    assert (reading.joined, reading.refused) == (0, 1)
    alone = Reading(open_source(tmp_path / "a.jsonl"), agent="shell")
    assert [type(item) for item in alone] == [Quarantined]
    assert (alone.joined, alone.refused) == (0, 1)


def test_a_database_of_another_program_is_refused_with_its_reason(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    reading = Reading(open_source(tmp_path / "a.db"), agent="shell")
    assert [type(item) for item in reading] == [Quarantined]
    check_counts(reading)


def test_a_damaged_database_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)
    reading = Reading(open_source(tmp_path / "a.db"), agent="shell")
    assert [type(item) for item in reading] == [Quarantined]
    check_counts(reading)


def test_a_database_on_standard_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(100))
    with (tmp_path / "a.db").open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        (item,) = Reading(Source("stdin", None), agent="shell")
    assert isinstance(item, Quarantined)
    assert item.reason == "sqlite"


def test_a_source_that_cannot_be_read_is_one_refused_line(tmp_path: Path) -> None:
    reading = Reading(Source("a", tmp_path / "none"), agent="shell")
    (item,) = reading
    assert isinstance(item, Quarantined)
    assert (item.reason, reading.lines, reading.refused) == ("unreadable", 1, 1)

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.collect.reading import FORMATS, UNKNOWN_FORMAT, Reading, load_format, read_records
from cortex_cli.collect.records import Quarantined
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Interaction

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


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_recognised_from_its_content(read: Read, name: str) -> None:
    records, bad, reading = read(SAMPLES[name], agent="shell")
    assert reading.format == name
    assert records
    assert not bad


@pytest.mark.parametrize("name", sorted(FORMATS))
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


any_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
KEYS = sorted({key for sample in SAMPLES.values() for key in sample} | {"id", "target", "kind", "time", "response"})


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=40)).replace(b"\n", b"")
    value = dict(draw(st.sampled_from([{}, *SAMPLES.values()])))
    value |= draw(st.dictionaries(st.sampled_from(KEYS), any_json, max_size=3))
    return json.dumps(value).encode()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(FORMATS)), st.lists(lines(), max_size=6))
def test_no_input_crashes_a_format_and_every_line_is_counted(name: str, content: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(b"\n".join(content))
        reading = Reading(open_source(path), format=name, agent="shell")
        items = list(reading)
    bad = [item.origin.line for item in items if isinstance(item, Quarantined)]
    good = {item.origin.line for item in items if not isinstance(item, Quarantined)}
    assert len(bad) + len(good) == reading.lines
    assert not good & set(bad)
    assert all(item.id for item in items if not isinstance(item, Quarantined))

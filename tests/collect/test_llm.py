import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cortex_cli.collect.formats.llm import FORMAT
from cortex_cli.collect.formats.llm_tables import read_calls
from cortex_cli.collect.reading import Reading
from cortex_cli.collect.records import BadRecordError, Quarantined
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.interactions import Interaction, Message

FOLDER = Path(__file__).parent / "fixtures" / "llm"
Change = Callable[[str], None]


def read_file(path: Path, agent: str = "") -> tuple[list[Interaction], list[Quarantined], Reading]:
    reading = Reading(open_source(path), agent=agent)
    items = list(reading)
    bad = [item for item in items if isinstance(item, Quarantined)]
    return [item for item in items if isinstance(item, Interaction)], bad, reading


@pytest.fixture
def legacy(tmp_path: Path) -> Path:
    """Make a database as the versions before the tree of messages left it."""
    path = tmp_path / "logs.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((FOLDER / "legacy.sql").read_text())
    return path


@pytest.fixture
def current(tmp_path: Path) -> Iterator[tuple[Path, Change]]:
    """Copy the fixture, with a way to change it."""
    path = tmp_path / "logs.db"
    path.write_bytes((FOLDER / "logs.db").read_bytes())
    with closing(sqlite3.connect(path)) as database:

        def change(statement: str) -> None:
            with database:
                database.execute(statement)

        yield path, change


def test_the_database_of_the_current_version_is_read_with_its_history() -> None:
    records, bad, reading = read_file(FOLDER / "logs.db")
    assert reading.format == "llm"
    assert reading.lines == reading.gave + reading.refused == 6
    first, second, called, answered, borrowed = records
    assert first.messages == (Message("system", "be brief"), Message("user", "What is the capital of Norway?"))
    assert [message.role for message in second.messages] == ["system", "user", "assistant", "user"]
    assert first.episode == second.episode
    assert first.agent == "llm"
    assert (first.tokens_in, first.tokens_out, first.meta) == (8, 7, {"model": "local"})
    assert json.loads(called.calls)[0]["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
    assert called.output == called.calls
    assert json.loads(called.tools)[0]["function"]["name"] == "get_weather"
    assert answered.messages[-1] == Message("tool", "18 degrees in Oslo", "get_weather")
    assert borrowed.messages[0].content.startswith("Norway is a country")
    assert borrowed.messages[0].content.endswith("\nName its capital.")
    assert [item.reason for item in bad] == ["unsupported_content"]


def test_a_legacy_database_is_read_with_its_history(legacy: Path) -> None:
    records, bad, _ = read_file(legacy, agent="shell")
    found = {record.aliases[0]: record for record in records}
    assert {record.agent for record in records} == {"shell"}
    assert found["r1"].messages == (Message("system", "be brief"), Message("user", "What is 2+2?"))
    assert (found["r1"].time, found["r1"].latency, found["r1"].episode) == ("2026-01-02T03:04:05Z", 0.25, "c1")
    assert (found["r1"].tokens_in, found["r1"].tokens_out) == (9, 1)
    assert [message.content for message in found["r2"].messages] == ["be brief", "What is 2+2?", "4", "And 3+3?"]
    assert json.loads(found["r3"].calls)[0]["function"]["name"] == "add"
    assert json.loads(found["r3"].tools)[0]["function"]["name"] == "add"
    assert found["r4"].messages[-1] == Message("tool", "5", "add")
    assert found["r5"].messages == (Message("system", "read it"), Message("user", "the fragment\nSum it up"))
    assert [(item.reason, item.origin.line) for item in bad] == [("unsupported_content", 6), ("no_answer", 7)]


def test_a_conversation_with_a_picture_stays_refused(legacy: Path) -> None:
    with closing(sqlite3.connect(legacy)) as database, database:
        database.execute(
            "insert into responses (id, prompt, response, conversation_id, datetime_utc)"
            " values ('r9', 'And now?', 'yes', 'c4', '2026-01-02T03:09:00')"
        )
    _, bad, _ = read_file(legacy)
    assert [item.reason for item in bad].count("unsupported_content") == 2


def test_a_database_of_the_oldest_schema_is_read(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    columns = "id text, model text, prompt text, system text, response text, conversation_id text, datetime_utc text"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"create table responses ({columns})")
        database.execute("insert into responses values ('r', 'm', 'hi', null, 'hello', null, '2023-07-01T00:00:00')")
    records, bad, _ = read_file(path)
    assert not bad
    assert [(record.output, record.episode, record.meta) for record in records] == [("hello", "r", {"model": "m"})]


def test_calls_in_both_schemas_are_told_once(current: tuple[Path, Change]) -> None:
    path, change = current
    change("insert into responses (id, prompt, response) select id, 'hi', 'again' from turns")
    change("insert into responses (id, prompt, response) values ('old', 'hi', 'hello')")
    records, _, _ = read_file(path)
    assert [record.output for record in records if record.output in {"hello", "again"}] == ["hello"]


def test_a_database_that_is_being_written_is_read(current: tuple[Path, Change]) -> None:
    path, change = current
    change("delete from turns where input_tokens = 8")
    records, _, _ = read_file(path)
    assert len(records) == 4
    assert path.read_bytes()[:6] == b"SQLite"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("update messages set parent_hash = 'b2:gone' where parent_hash is null", "incomplete_export"),
        ("update messages set parent_hash = hash", "incomplete_export"),
        ("update turns set parent_message_hash = 'b2:gone'", "incomplete_export"),
        ("delete from fragments", "bad_messages"),
        ("update parts set payload = '{torn' where payload is not null", "bad_messages"),
        ("update parts set text = cast(x'ff' as text) where text is not null", "not_utf8"),
        ("update messages set role = 'robot'", "bad_messages"),
        ("update turns set datetime_utc = 'soon'", "bad_time"),
        ("update turns set input_tokens = 'many'", "wrong_type"),
        ("update parts set text = '' where type = 'text'", "no_answer"),
    ],
)
def test_damage_in_a_database_is_told_call_by_call(current: tuple[Path, Change], statement: str, reason: str) -> None:
    path, change = current
    change(statement)
    records, bad, reading = read_file(path)
    assert reason in {item.reason for item in bad}
    assert len(records) + len(bad) == reading.lines == 6


def test_a_foreign_database_is_told_by_its_tables(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table colours (name text)")
    with pytest.raises(BadRecordError, match="unknown_schema: no tables of llm among colours"):
        list(read_calls(path))
    records, bad, _ = read_file(path)
    assert (len(records), len(bad)) == (0, 1)


def test_a_truncated_database_is_told(current: tuple[Path, Change]) -> None:
    path, _ = current
    path.write_bytes(path.read_bytes()[:6000])
    records, bad, _ = read_file(path)
    assert not records
    assert bad


def test_a_call_is_recognised_by_its_fields() -> None:
    assert FORMAT.recognises({"llm": {}, "messages": [], "answers": []})
    assert not FORMAT.recognises({"messages": []})

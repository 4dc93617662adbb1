import os
import resource
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.domain.errors import CortexError, IntegrityError, LockedError, UsageError
from cortex_cli.domain.interactions import Feedback, Interaction, Message, Origin
from cortex_cli.store.journal import Journal, Record
from cortex_cli.store.locks import hold
from cortex_cli.store.rows import render_row
from tests.store.version_one import write_version_one

WHEN = "2026-01-02T03:04:05Z"


def make(number: int, agent: str = "shell", **fields: Any) -> Interaction:
    base = Interaction(
        id=f"i-{number}",
        agent=agent,
        time=WHEN,
        messages=(Message("user", f"ask {number}"),),
        output=f"answer {number}",
    )
    return msgspec.structs.replace(base, **fields)


def judge(number: int, target: str) -> Feedback:
    return Feedback(id=f"f-{number}", target=target, kind="boolean", time=WHEN, thumbs=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".cortex" / "journal.db"


def test_what_is_appended_is_read_back_in_order(path: Path) -> None:
    records = [make(number) for number in range(5)]
    with Journal(path) as journal:
        assert journal.append(records).new == 5
        assert [record for _, record in journal.interactions()] == records
        assert [seq for seq, _ in journal.interactions()] == [1, 2, 3, 4, 5]


def test_a_journal_that_does_not_exist_reads_as_empty_and_is_not_made(path: Path) -> None:
    with Journal(path) as journal:
        assert list(journal.interactions()) == []
        assert journal.last() == 0
        assert journal.counts() == {"feedback": 0}
        assert journal.find("i-1") is None
        assert journal.faults() == []
    assert not path.parent.exists()


def test_appending_again_changes_nothing(path: Path) -> None:
    records: list[Record] = [make(1), judge(1, "i-1"), make(2)]
    with Journal(path) as journal:
        first = journal.append(records)
        again = journal.append(records)
    assert (first.new, first.known, first.last) == (3, 0, 3)
    assert (again.new, again.known, again.last, again.conflicts) == (0, 3, 3, 0)


def test_overlapping_records_add_only_what_is_new(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(10))
        done = journal.append(make(number) for number in range(5, 15))
        assert (done.new, done.known) == (5, 5)
        assert journal.counts()["shell"] == 15


def test_the_first_of_two_contents_under_one_id_is_kept_and_counted(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
        done = journal.append([make(1, error="other"), make(2), make(2, error="twice in one batch")])
        assert (done.new, done.known, done.conflicts) == (1, 2, 2)
        found = journal.find("i-1")
        assert found is not None
        assert found.error == ""


def test_another_origin_is_not_another_content(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1, origin=Origin("monday.jsonl", 7))])
        assert journal.append([make(1, origin=Origin("week.jsonl", 900))]).conflicts == 0


def test_a_range_is_open_below_and_closed_above(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(1, 11))
        assert [seq for seq, _ in journal.interactions(after=3, until=6)] == [4, 5, 6]
        assert [seq for seq, _ in journal.interactions(after=10)] == []


def test_agents_are_told_apart_and_counted(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1), make(2, "dispatch"), judge(1, "i-1"), make(3, "dispatch")])
        assert [record.id for _, record in journal.interactions(agent="dispatch")] == ["i-2", "i-3"]
        assert journal.counts() == {"dispatch": 2, "shell": 1, "feedback": 1}


def test_feedback_is_found_by_its_target_and_in_order(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1, episode="e-1"), judge(1, "i-1"), judge(2, "e-1"), judge(3, "i-1")])
        assert [record.id for record in journal.feedback_on("i-1")] == ["f-1", "f-3"]
        assert [record.id for record in journal.feedback_on("e-1")] == ["f-2"]
        assert [(seq, record.id) for seq, record in journal.feedback(after=2)] == [(3, "f-2"), (4, "f-3")]


def test_late_feedback_may_come_before_its_interaction(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([judge(1, "i-1")])
        journal.append([make(1)])
        assert [record.id for record in journal.feedback_on("i-1")] == ["f-1"]


def test_episodes_and_known_ids_can_be_asked_for(path: Path) -> None:
    with Journal(path) as journal:
        assert not journal.has_episode("e-1")
        assert journal.known(["i-1"]) == set()
        journal.append([make(1, episode="e-1"), judge(1, "e-2")])
        assert journal.has_episode("e-1")
        assert not journal.has_episode("e-2")
        assert journal.known(["i-1", "i-2", "f-1"]) == {"i-1", "f-1"}


def test_an_interaction_is_found_by_every_name_it_has(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1, aliases=("chatcmpl-1", "t:s")), make(2, aliases=("t:s",)), make(3)])
        assert [journal.resolve(name) for name in ("i-1", "chatcmpl-1", "i-3")] == ["i-1", "i-1", "i-3"]
        assert [record.id for record in journal.called("t:s")] == ["i-1", "i-2"]
        assert journal.resolve("t:s") == "i-2"
        assert journal.resolve("nothing") == ""


def test_feedback_by_an_alias_is_feedback_on_the_interaction(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([judge(1, "chatcmpl-1"), judge(2, "i-1"), judge(3, "chatcmpl-2")])
        assert [record.id for record in journal.feedback_on("i-1")] == ["f-2"]
        journal.append([make(1, aliases=("chatcmpl-1",))])
        assert [record.id for record in journal.feedback_on("i-1")] == ["f-1", "f-2"]
        assert journal.feedback_on("chatcmpl-1") == journal.feedback_on("i-1")


def test_a_record_that_names_an_alias_twice_has_it_once(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.append([make(1, aliases=("a", "a"))]).new == 1
        assert journal.resolve("a") == "i-1"


def test_rows_that_were_rendered_elsewhere_are_appended_as_records_are(path: Path) -> None:
    told: list[int] = []
    with Journal(path) as journal:
        rows = [render_row(make(number)) for number in range(5)]
        done = journal.append_rows([rows[:3], rows[2:]], told=told.append)
        assert (done.new, done.known, done.last) == (5, 1, 5)
        assert told == [3, 6]
        assert journal.append(make(number) for number in range(5)).known == 5
        assert journal.append_rows([[]]).new == 0


def test_the_first_conflicts_are_named(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(10))
        done = journal.append(make(number, error="x") for number in range(1, 9))
        assert done.conflicts == 8
        assert done.conflict_ids == ("i-1", "i-2", "i-3", "i-4", "i-5")


def test_what_was_masked_by_other_rules_is_not_another_content(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1, output="<PERSON_aaaaaaaaaa>", redaction="standard/1")])
        assert journal.append([make(1, output="Anna", redaction="standard/2")]).conflicts == 0
        assert journal.append([make(1, output="Anna", redaction="standard/1")]).conflicts == 1


def test_masked_values_are_numbered_and_known_again(path: Path) -> None:
    records = [make(1, output="<PERSON_bbbbbbbbbb> met <PERSON_aaaaaaaaaa>"), make(2, output="<PERSON_aaaaaaaaaa>")]
    with Journal(path) as journal:
        journal.append(records)
        assert [record.output for _, record in journal.interactions()] == ["<PERSON_1> met <PERSON_2>", "<PERSON_2>"]
        again = journal.append(records)
        assert (again.known, again.conflicts) == (2, 0)
        assert journal.read_numbers("by <PERSON_aaaaaaaaaa> and <PERSON_cccccccccc>") == (
            "by <PERSON_2> and <PERSON_cccccccccc>"
        )


def test_a_record_that_is_known_gives_no_number_out(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
        journal.append([make(1, output="<PERSON_aaaaaaaaaa>")])
        journal.append([make(2, output="<PERSON_bbbbbbbbbb>")])
        assert [record.output for _, record in journal.interactions()] == ["answer 1", "<PERSON_1>"]


def test_bodies_are_the_interactions_undecoded(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1), judge(1, "i-1"), make(2, "dispatch"), make(3)])
        told = [(seq, msgspec.json.decode(body, type=Interaction)) for seq, body in journal.bodies()]
        assert told == list(journal.interactions())
        assert [seq for seq, _ in journal.bodies(agent="shell", after=1, until=4)] == [4]


def test_interactions_are_read_by_number_in_the_order_asked(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(1, 2501))
        asked = [2500, 1, 7, 7]
        assert [record.id for record in journal.read_many(asked)] == ["i-2500", "i-1", "i-7", "i-7"]
        assert len(journal.read_many(range(1, 2501))) == 2500
        assert journal.read_many([]) == []
        with pytest.raises(IntegrityError, match="no interaction number 2501"):
            journal.read_many([1, 2501])


def test_news_are_of_the_agent_or_of_everybody(path: Path) -> None:
    with Journal(path) as journal:
        assert not journal.has_news("shell", 0)
        journal.append([make(1), make(2, "dispatch")])
        assert journal.has_news("shell", 0)
        assert not journal.has_news("shell", 1)
        assert not journal.has_news("nobody", 0)
        journal.append([judge(1, "i-9")])
        assert journal.has_news("shell", 2)
        assert journal.has_news("nobody", 2)
        assert not journal.has_news("shell", 3)


def test_positions_are_kept_by_name(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.get_cursor("a") is None
        journal.put_cursor("a", b"\x00one")
        journal.put_cursor("b", b"two")
        journal.put_cursor("a", b"three")
    with Journal(path) as again:
        assert (again.get_cursor("a"), again.get_cursor("b"), again.get_cursor("c")) == (b"three", b"two", None)


def test_a_file_of_version_one_is_read_as_it_is(path: Path) -> None:
    records: list[Record] = [make(1, episode="e"), judge(1, "i-1"), make(2, "dispatch")]
    write_version_one(path, records)
    before = path.read_bytes()
    with Journal(path) as journal:
        assert [record for _, record in journal.interactions()] == [records[0], records[2]]
        assert journal.counts() == {"dispatch": 1, "shell": 1, "feedback": 1}
        assert (journal.resolve("i-1"), journal.resolve("x"), journal.get_cursor("x")) == ("i-1", "", None)
        assert [record.id for record in journal.feedback_on("i-1")] == ["f-1"]
        assert journal.has_news("shell", 0)
        assert (journal.count_after("shell", 0), journal.days("shell")) == (1, [])
        assert journal.volumes()["shell"].rows == 1
        assert [record.id for _, record in journal.aged("2027-01-01T00:00:00Z", "shell")] == ["i-1"]
        assert journal.read_numbers("<PERSON_aaaaaaaaaa>") == "<PERSON_aaaaaaaaaa>"
    assert path.read_bytes() == before


def test_the_first_write_migrates_a_file_of_version_one_and_keeps_all_of_it(path: Path) -> None:
    records = [make(number, aliases=(f"a-{number}",)) for number in range(5000)]
    write_version_one(path, records)
    with Journal(path) as reader, Journal(path) as journal:
        assert reader.last() == 5000
        done = journal.append([*records[:3], make(9000, aliases=("a-9000",))])
        assert (done.new, done.known, done.conflicts, done.last) == (1, 3, 0, 5001)
        assert journal.counts() == {"shell": 5001, "feedback": 0}
        assert journal.count_after("shell", 4990) == 11
        assert journal.faults() == []
        assert reader.resolve("a-9000") == "i-9000"
        assert [day for day, _ in journal.days("shell")] != []


def test_what_is_appended_while_reading_is_not_seen(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(3000))
        seen = 0
        for seq, _ in journal.interactions():
            if seq % 1000 == 0:
                journal.append([make(10_000 + seq)])
            seen += 1
        assert seen == 3000
        assert journal.last() == 3003


def test_a_stream_of_several_batches_is_all_there(path: Path) -> None:
    with Journal(path) as journal:
        done = journal.append(make(number) for number in range(5001))
    assert (done.new, done.last) == (5001, 5001)


def test_records_larger_than_a_batch_are_kept(path: Path) -> None:
    big = make(1, tools="x" * (20 << 20))
    with Journal(path) as journal:
        assert journal.append([big, make(2)]).new == 2
        assert journal.find("i-1") == big


def test_a_source_that_fails_keeps_the_batches_before(path: Path) -> None:
    def records() -> "object":
        yield from (make(number) for number in range(2500))
        raise ValueError("source")

    with Journal(path) as journal:
        with pytest.raises(ValueError, match="source"):
            journal.append(records())  # type: ignore[arg-type]  # a generator that fails has no better type
        assert journal.last() == 2000


def test_a_record_without_an_id_is_refused(path: Path) -> None:
    with Journal(path) as journal, pytest.raises(UsageError, match="without an id"):
        journal.append([make(1, id="")])


def test_the_log_is_folded_into_the_file_on_close(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
    assert {entry.name for entry in path.parent.iterdir()} == {"journal.db", "locks"}


def test_a_reader_in_another_process_sees_the_acknowledged(path: Path) -> None:
    with Journal(path) as writer, Journal(path) as reader:
        writer.append([make(1)])
        assert reader.last() == 1
        writer.append([make(2)])
        assert reader.last() == 2


def test_commits_are_synchronous_and_the_log_is_ahead(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
        assert journal._writer is not None
        assert journal._writer.execute("PRAGMA synchronous").fetchone() == (2,)
        assert journal._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._writer.execute("PRAGMA mmap_size").fetchone() in {(0,), None}


def test_a_reader_cannot_write(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
        journal.last()
        assert journal._reader is not None
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            journal._reader.execute("DELETE FROM events")


def test_a_writer_waits_for_the_lock_and_names_its_holder(path: Path) -> None:
    with (
        hold(path.parent / "locks" / "journal.lock", purpose="import"),
        Journal(path, wait=0.0) as journal,
        pytest.raises(LockedError, match="import"),
    ):
        journal.append([make(1)])


def test_a_reader_needs_no_lock(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
    with hold(path.parent / "locks" / "journal.lock", purpose="import"), Journal(path, wait=0.0) as journal:
        assert journal.last() == 1


def test_closing_while_another_holds_the_lock_loses_nothing(path: Path) -> None:
    journal = Journal(path, wait=0.0)
    journal.append([make(1)])
    with hold(path.parent / "locks" / "journal.lock", purpose="import"):
        journal.close()
    with Journal(path) as again:
        assert again.last() == 1


def test_a_foreign_file_is_refused_and_untouched(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database, but a letter to a friend" * 100)
    before = path.read_bytes()
    for use in (Journal.last, Journal.counts, lambda journal: journal.append([make(1)])):
        with Journal(path) as journal, pytest.raises(IntegrityError, match="not a sound journal") as caught:
            use(journal)
    assert caught.value.hint == "cortex fsck"
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE events (id TEXT)")
    connection.close()
    with Journal(path) as journal, pytest.raises(IntegrityError, match="another program"):
        journal.append([make(1)])


def test_a_newer_schema_is_refused(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with Journal(path) as journal, pytest.raises(IntegrityError, match="schema version 99"):
        journal.last()


def test_a_torn_file_is_an_integrity_failure(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(2000))
    os.truncate(path, path.stat().st_size // 2)
    with Journal(path) as journal:
        assert journal.faults() != []
        with pytest.raises(IntegrityError):
            list(journal.interactions())


def test_a_record_that_cannot_be_read_is_found(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE events SET body = '{\"id\": 3'")
    connection.commit()
    connection.close()
    with Journal(path) as journal:
        assert "cannot be read" in journal.faults()[0]


def test_a_full_disk_loses_nothing_acknowledged(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(10))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(CortexError) as caught, Journal(path) as journal:
            journal.append(make(number, tools="x" * 5000) for number in range(100, 400))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code == 1
    assert "acknowledged before is kept" in caught.value.state
    with Journal(path) as journal:
        assert journal.faults() == []
        assert journal.counts()["shell"] == 10
        assert journal.append([make(1000)]).new == 1


def test_two_processes_appending_at_once_lose_nothing(path: Path) -> None:
    children = []
    for start in (0, 10):
        child = os.fork()
        if child == 0:
            with Journal(path) as journal:
                for step in range(20):
                    journal.append(make(number) for number in range(start + step * 20, start + step * 20 + 20))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    with Journal(path) as journal:
        assert journal.faults() == []
        assert sorted(int(record.id[2:]) for _, record in journal.interactions()) == list(range(410))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=6))
def test_any_sequence_of_appends_keeps_each_id_once(appends: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.db") as journal:
        seen: set[int] = set()
        for numbers in appends:
            done = journal.append(make(number) for number in numbers)
            assert done.new == len(set(numbers) - seen)
            assert done.new + done.known == len(numbers)
            assert done.conflicts == 0
            seen |= set(numbers)
        assert sorted(int(record.id[2:]) for _, record in journal.interactions()) == sorted(seen)


text = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(text, text, text), max_size=5))
def test_any_text_survives(parts: list[tuple[str, str, str]]) -> None:
    records = [
        make(number, output=output, tools=tools, meta={"k": meta}) for number, (output, tools, meta) in enumerate(parts)
    ]
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "journal.db") as journal:
        journal.append(records)
        assert [record for _, record in journal.interactions()] == records

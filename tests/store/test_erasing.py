import os
import signal
import sqlite3
import sys
from pathlib import Path
from types import FrameType

import pytest

from cortex_cli.domain.errors import LockedError
from cortex_cli.domain.interactions import Feedback, Interaction, Message
from cortex_cli.store.database import open_writer
from cortex_cli.store.erasing import Erased, Tombstone, scrub_file
from cortex_cli.store.journal import Journal, Record
from cortex_cli.store.workspace import keyed_id

KEY = b"k" * 32
WHEN = "2026-01-02T03:04:05Z"


def make(number: int, episode: str = "", output: str = "", aliases: tuple[str, ...] = ()) -> Interaction:
    return Interaction(
        id=f"i-{number:06d}",
        agent="shell",
        time=WHEN,
        messages=(Message("user", f"the secret question {number:06d} " + "filler " * 40),),
        output=output or f"the secret answer {number:06d}",
        aliases=aliases or (f"chatcmpl-{number:06d}",),
        episode=episode,
    )


def comment(number: int, target: str) -> Feedback:
    return Feedback(
        id=f"f-{number:06d}", target=target, kind="comment", time=WHEN, comment=f"secret remark {number:06d}"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / ".cortex"
    folder.mkdir()
    (folder / "key").write_bytes(KEY)
    return folder / "journal.db"


def erase(journal: Journal, *ids: str, names: tuple[str, ...] = ()) -> Erased:
    return journal.erase(ids, names=names, reason="asked for", time=WHEN, key=KEY)


def die_in(step: str, frame: FrameType) -> None:
    """Die as by a power cut when the function *step* is entered."""
    if frame.f_code.co_name == step:
        os.kill(os.getpid(), signal.SIGKILL)


def pages(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob("journal.db*"))


def test_no_byte_of_an_erased_row_is_in_the_file_or_its_log(path: Path) -> None:
    with Journal(path) as journal:
        for start in range(0, 3000, 100):
            journal.append(make(number, episode=f"episode-{number:06d}") for number in range(start, start + 100))
        journal.append(comment(number, f"chatcmpl-{number:06d}") for number in range(3000))
        assert b"secret answer 001234" in pages(path)
        done = erase(journal, *(f"i-{number:06d}" for number in range(1000, 2000)))
        assert (done.interactions, done.feedback) == (1000, 1000)
        held = pages(path)
        for number in (1000, 1234, 1999):
            for text in ("secret question {}", "secret answer {}", "secret remark {}", "i-{}", "f-{}", "chatcmpl-{}"):
                assert text.format(f"{number:06d}").encode() not in held
            assert f"episode-{number:06d}".encode() not in held
        assert b"secret answer 000999" in held
        assert journal.faults() == []


def test_feedback_goes_by_every_name_of_its_target(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1, episode="e"), comment(1, "i-000001"), comment(2, "chatcmpl-000001"), comment(3, "e")])
        assert erase(journal, "i-000001") == Erased(interactions=1, feedback=3)


def test_what_was_said_of_an_episode_stays_while_a_turn_of_it_does(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1, episode="e"), make(2, episode="e"), comment(1, "e")])
        assert erase(journal, "i-000001").feedback == 0
        assert erase(journal, "i-000002").feedback == 1


def test_what_is_told_again_stays_forgotten(path: Path) -> None:
    told: list[Record] = [make(1), comment(1, "i-000001"), comment(2, "chatcmpl-000001")]
    with Journal(path) as journal:
        journal.append([*told, make(2)])
        erase(journal, "i-000001")
        again = journal.append([*told, make(2), make(3)])
        assert (again.new, again.known, again.forgotten, again.last) == (1, 1, 3, journal.last())
        assert journal.append([comment(9, "i-000001"), make(4, aliases=("chatcmpl-000001",))]).forgotten == 2
        assert [record.id for _, record in journal.interactions()] == ["i-000002", "i-000003"]


def test_an_alias_that_another_record_has_too_is_not_refused(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1, aliases=("shared",)), make(2, aliases=("shared",))])
        erase(journal, "i-000001")
        assert journal.resolve("shared") == "i-000002"
        assert journal.append([make(3, aliases=("shared",))]).new == 1


def test_further_names_are_refused_with_what_was_said_of_them(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1, episode="e"), comment(1, "e")])
        assert erase(journal, "i-000001", names=("e",)).feedback == 1
        assert journal.append([make(2, episode="e"), comment(2, "e")]).forgotten == 2


def test_a_tombstone_tells_when_and_why_and_names_nobody(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
        before = journal.last()
        erase(journal, "i-000001")
        assert journal.tombstone(KEY, "i-000001") == Tombstone(WHEN, "asked for")
        assert journal.tombstone(KEY, "chatcmpl-000001") == Tombstone(WHEN, "asked for")
        assert journal.tombstone(KEY, "i-000002") is None
        assert journal.known([keyed_id(KEY, "i-000001")]) == {keyed_id(KEY, "i-000001")}
        assert journal.has_news("nobody", before)
        assert not journal.has_news("nobody", journal.last())


def test_counters_follow_what_is_erased(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(5000))
        erase(journal, *(f"i-{number:06d}" for number in range(4000, 4500)))
        assert journal.counts() == {"shell": 4500, "feedback": 0}
        assert journal.volumes()["shell"].rows == 4500
        assert journal.count_after("shell", 3999) == 501
        erase(journal, *(f"i-{number:06d}" for number in range(5000)))
        assert journal.counts() == {"feedback": 0}
        assert journal.volumes() == {}


def test_placeholders_of_nothing_that_remains_are_dropped(path: Path) -> None:
    anna, ben = "<PERSON_aaaaaaaaaa>", "<PERSON_bbbbbbbbbb>"
    with Journal(path) as journal:
        journal.append([make(1, output=f"{anna} {ben}"), make(2, output=ben)])
        assert erase(journal, "i-000001").placeholders == 1
        assert b"aaaaaaaaaa" not in pages(path)
        journal.append([make(3, output=f"{anna} {ben}")])
        assert [record.output for _, record in journal.interactions()] == ["<PERSON_2>", "<PERSON_3> <PERSON_2>"]


def test_cursors_are_kept(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1)])
        journal.put_cursor("collect-1", b"here")
        erase(journal, "i-000001")
        assert journal.get_cursor("collect-1") == b"here"


def test_erasing_twice_or_what_never_was_changes_nothing_more(path: Path) -> None:
    with Journal(path) as journal:
        journal.append([make(1), make(2)])
        erase(journal, "i-000001")
        last = journal.last()
        assert erase(journal, "i-000001") == Erased()
        assert journal.last() == last
        assert erase(journal) == Erased()


def test_a_journal_that_does_not_exist_is_not_made(path: Path) -> None:
    with Journal(path) as journal:
        assert erase(journal, "i-1") == Erased()
    assert not path.exists()


def test_a_reader_without_an_end_is_named_and_the_next_call_completes(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(100))
    writer = open_writer(path)
    writer.execute("PRAGMA busy_timeout = 0")
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(LockedError) as caught:
        scrub_file(writer)
    assert caught.value.hint == "cortex forget --resume"
    reader.close()
    scrub_file(writer)
    writer.close()


@pytest.mark.kill
def test_a_kill_between_rows_and_file_is_completed_by_the_same_call(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(make(number) for number in range(500))
    child = os.fork()
    if child == 0:
        sys.setprofile(lambda frame, _event, _: die_in("scrub_file", frame))
        erase(Journal(path), "i-000100")
        os._exit(1)
    os.waitpid(child, 0)
    with Journal(path) as journal:
        erase(journal, "i-000100")
        assert b"secret answer 000100" not in pages(path)
        assert journal.counts()["shell"] == 499
        assert journal.faults() == []

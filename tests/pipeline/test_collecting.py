import gzip
import json
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.collect.cursors import Cursor
from cortex_cli.collect.reports import CollectReport
from cortex_cli.collect.sources import Source
from cortex_cli.domain.errors import LockedError, UsageError
from cortex_cli.domain.interactions import Feedback
from cortex_cli.domain.manifests import Agent
from cortex_cli.pipeline.collecting import (
    Sources,
    collect_sources,
    find_unregistered,
    preview_sources,
    record_feedback,
)
from cortex_cli.pipeline.intake import Intake, PreviewKeeper
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.registry.actions import add_agent
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Appended, Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.rows import Row
from cortex_cli.store.workspace import Workspace, open_key


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    start_workspace(tmp_path / "lab", name="lab")
    return open_place(Workspace(tmp_path / "lab"), now=lambda: datetime(2026, 1, 2, tzinfo=UTC))


@pytest.fixture
def log(tmp_path: Path) -> str:
    return write(tmp_path / "log.jsonl", *(chat(number) for number in range(3)))


def chat(number: int, text: str = "ask") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"{text} {number}"}, {"role": "assistant", "content": "ok"}]}


def write(path: Path, *values: Any) -> str:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return str(path)


def append(path: str, *values: Any) -> None:
    with Path(path).open("a", encoding="utf-8") as stream:
        stream.write("".join(json.dumps(value) + "\n" for value in values))


def task(number: int, **fields: Any) -> dict[str, Any]:
    return {"task_id": f"t-{number}", "status": "ok", "agent": "shell", **fields}


def own(number: int, output: str = "ok") -> dict[str, Any]:
    messages = [{"role": "user", "content": "ask"}]
    return {"id": f"i-{number}", "agent": "shell", "messages": messages, "output": output}


def sources(*names: str, **options: Any) -> Sources:
    return Sources(names, **{"agent": "shell", "policy": "off", **options})


def check(report: CollectReport) -> None:
    assert report.lines == report.gave + report.refused + report.joined + sum(report.skipped.values())
    assert report.interactions + report.feedback == report.new + report.known + report.forgotten


def ids(place: Place) -> list[str]:
    with Journal(place.workspace.journal_path) as journal:
        return [record.id for _, record in journal.interactions()]


def test_what_is_collected_is_in_the_journal_and_reported(place: Place, log: str) -> None:
    report = collect_sources(place, sources(log))
    assert (report.new, report.known, report.interactions, report.lines) == (3, 0, 3, 3)
    assert len(ids(place)) == 3


def test_collecting_again_changes_nothing(place: Place, log: str) -> None:
    collect_sources(place, sources(log))
    before = ids(place)
    report = collect_sources(place, sources(log))
    assert (report.new, report.known, report.conflicts) == (0, 3, 0)
    assert ids(place) == before


def test_an_overlapping_file_adds_only_what_is_new(place: Place, log: str, tmp_path: Path) -> None:
    collect_sources(place, sources(log))
    longer = write(tmp_path / "longer.jsonl", *(chat(number) for number in range(5)))
    report = collect_sources(place, sources(longer))
    assert (report.new, report.known) == (2, 3)


def test_personal_data_never_reaches_the_disk(place: Place, tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.jsonl",
        chat(1, "mail anna.berg@example.org or password=hunter22"),
        {"messages": ["anna.berg@example.org"]},
    )
    report = collect_sources(place, sources(log, policy="standard"))
    assert report.redacted == {"EMAIL": 1, "PASSWORD": 1}
    kept = [path for path in place.workspace.private.rglob("*") if path.is_file()]
    assert kept
    assert not any(word in path.read_bytes() for path in kept for word in (b"anna.berg", b"hunter22"))


def test_the_policy_of_the_workspace_decides(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", chat(1, "mail a@example.org"))
    report = collect_sources(place, sources(log))
    assert (report.redacted, report.policy, report.stamp, report.not_covered) == ({}, "off", "off", ())
    masked = collect_sources(place, sources(log, policy="standard"))
    assert masked.redacted == {"EMAIL": 1}
    assert masked.stamp.startswith("standard/")
    assert masked.not_covered


def test_another_policy_does_not_make_the_same_records_new(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", chat(1, "mail a@example.org"))
    collect_sources(place, sources(log, policy="standard"))
    again = collect_sources(place, sources(log))
    assert (again.new, again.known, again.conflicts, again.unchanged) == (0, 1, 0, 0)


def test_a_preview_tells_the_same_and_writes_nothing(place: Place, log: str, tmp_path: Path) -> None:
    copy = write(tmp_path / "copy.jsonl", *(chat(number) for number in range(3)))
    preview = preview_sources(place, sources(log, copy))
    assert not place.workspace.private.exists()
    report = collect_sources(place, sources(log, copy))
    assert (preview.new, preview.known) == (report.new, report.known) == (3, 3)
    before = place.workspace.journal_path.read_bytes()
    again = preview_sources(place, sources(log))
    assert (again.known, again.unchanged) == (3, 0)
    assert place.workspace.journal_path.read_bytes() == before


def test_progress_is_told_while_it_runs(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", *(chat(number) for number in range(4001)))
    heard: list[int] = []
    collect_sources(place, sources(log), told=heard.append)
    assert heard == [2000, 4000, 4001]


def test_many_records_are_masked_by_several_processes_in_order(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", *(own(number) for number in range(8001)))
    report = collect_sources(place, sources(log, threads=2))
    check(report)
    assert report.new == 8001
    assert ids(place) == [f"i-{number}" for number in range(8001)]


def test_what_has_not_changed_is_passed_over_and_counted_as_it_was(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", *map(task, range(3)), ["no record"])
    first = collect_sources(place, sources(log))
    again = collect_sources(place, sources(log))
    assert (first.unchanged, again.unchanged) == (0, 1)
    assert (again.new, again.known) == (0, 3)
    assert (again.lines, again.quarantined, again.samples) == (first.lines, first.quarantined, first.samples)
    check(again)


def test_what_has_grown_is_read_on(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", *map(task, range(3)))
    collect_sources(place, sources(log))
    append(log, task(3), task(4))
    report = collect_sources(place, sources(log))
    assert (report.new, report.known, report.lines, report.unchanged) == (2, 3, 5, 0)
    check(report)


def test_what_was_replaced_is_read_from_its_start(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", *map(task, range(3)))
    collect_sources(place, sources(log))
    write(Path(log), *map(task, range(2, 9)))
    report = collect_sources(place, sources(log))
    assert (report.new, report.known, report.lines) == (6, 1, 7)


def test_a_torn_line_is_read_when_it_is_complete(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", task(1))
    whole = Path(log).read_text() + json.dumps(task(2)) + "\n"
    Path(log).write_text(whole[:-20])
    assert collect_sources(place, sources(log)).quarantined == {"torn_line": 1}
    assert collect_sources(place, sources(log)).quarantined == {"torn_line": 1}
    Path(log).write_text(whole)
    report = collect_sources(place, sources(log))
    assert (report.new, report.known, report.quarantined, report.lines) == (1, 1, {}, 2)


def test_other_options_read_everything_again(place: Place, log: str) -> None:
    collect_sources(place, sources(log))
    report = collect_sources(place, sources(log, agent="other"))
    assert (report.new, report.unchanged) == (3, 0)


def test_what_cannot_be_read_does_not_stop_a_folder(place: Place, log: str, tmp_path: Path) -> None:
    (tmp_path / "torn.jsonl.gz").write_bytes(gzip.compress(json.dumps(task(1)).encode() + b"\n" * 999)[:-8])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        report = collect_sources(place, sources(log, str(tmp_path / "torn.jsonl.gz"), str(tmp_path / "socket")))
    assert (report.new, report.quarantined) == (4, {"damaged_gzip": 1, "unreadable": 1})
    check(report)


def test_a_file_that_goes_away_is_told_as_unreadable_and_asked_for_again(place: Place, tmp_path: Path) -> None:
    keeper = Mute()
    intake = Intake(sources(), keeper, key=b"k" * 32, now=place.now())
    log = Path(write(tmp_path / "log.jsonl", task(1)))
    intake.take([Source("gone.jsonl", tmp_path / "gone.jsonl"), Source("log.jsonl", log)])
    report = intake.report()
    assert report.quarantined == {"unreadable": 1}
    assert (report.new, len(keeper.saved)) == (1, 1)


class Mute(PreviewKeeper):
    """Keeps nothing but the names of the cursors."""

    def __init__(self) -> None:
        super().__init__(Journal(Path("/nowhere/journal.db")))
        self.saved: list[str] = []

    def save(self, cursors: Mapping[str, Cursor]) -> None:
        self.saved += [f"cursor of {cursor.counts.interactions}" for cursor in cursors.values()]


def test_a_cursor_is_kept_only_after_its_records(place: Place, tmp_path: Path) -> None:
    class Watched(Mute):
        def keep(self, rows: Sequence[Row]) -> Appended:
            self.saved.append(f"{len(rows)} rows")
            return super().keep(rows)

    keeper = Watched()
    intake = Intake(sources(threads=1), keeper, key=b"k" * 32, now=place.now())
    found = [
        Source(f"{number}.jsonl", Path(write(tmp_path / f"{number}.jsonl", *map(task, range(number, number + 1500)))))
        for number in range(0, 6000, 1500)
    ]
    intake.take(found)
    cursor, rows = "cursor of 1500", "2000 rows"
    assert keeper.saved == [rows, cursor, rows, cursor, rows, cursor, cursor]


def test_an_intake_that_is_stopped_keeps_whole_batches_and_no_cursor(place: Place, tmp_path: Path) -> None:
    keeper = Mute()
    intake = Intake(sources(threads=1), keeper, key=b"k" * 32, now=place.now())
    log = Path(write(tmp_path / "log.jsonl", *map(task, range(9000))))
    intake.take([Source("log.jsonl", log)], stopped=lambda: True)
    assert (intake.report().new, keeper.saved) == (2000, [])


def test_records_that_contradict_what_is_kept_are_told_with_their_place(place: Place, tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", own(1), own(2))
    two = write(tmp_path / "b.jsonl", own(1), own(2, "another answer"), own(3))
    collect_sources(place, sources(one))
    report = collect_sources(place, sources(two))
    assert (report.new, report.known, report.conflicts) == (1, 2, 1)
    assert [(sample.source, sample.line, sample.detail) for sample in report.conflicting] == [("b.jsonl", 2, "i-2")]
    check(report)


def test_what_was_forgotten_stays_so_and_is_counted(place: Place, log: str, tmp_path: Path) -> None:
    collect_sources(place, sources(log))
    with Journal(place.workspace.journal_path) as journal:
        journal.erase(ids(place)[:1], reason="asked", time="2026-01-02T00:00:00Z", key=open_key(place.workspace))
    copy = write(tmp_path / "copy.jsonl", *(chat(number) for number in range(3)))
    report = collect_sources(place, sources(copy))
    assert (report.new, report.known, report.forgotten) == (0, 2, 1)
    check(report)


def test_times_to_come_are_kept_and_warned_of(place: Place, tmp_path: Path) -> None:
    times = ("2026-01-02T20:00:00Z", "2026-01-09T00:00:00Z")
    log = write(tmp_path / "log.jsonl", *(task(number, time=time) for number, time in enumerate(times)))
    report = collect_sources(place, sources(log))
    assert (report.new, report.warnings) == (2, {"time_in_future": 1})


def test_patterns_documents_and_mixed_formats_come_in_at_once(place: Place, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.json").write_text(json.dumps([task(1), chat(1)], indent=2))
    (tmp_path / "x" / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps({"data": [task(2)]}).encode()))
    report = collect_sources(place, sources(f"{tmp_path}/**/*.js*"))
    assert (report.new, report.formats) == (3, {"openai-chat": 1, "outcomes": 2})
    assert report.sources == ("a.json", "b.jsonl.gz")


def test_files_that_belong_together_are_read_together_every_time(place: Place, tmp_path: Path) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    request = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    write(tmp_path / "input.jsonl", request)
    assert collect_sources(place, sources(str(tmp_path))).new == 0
    answer = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
    answer["choices"] = [{"index": 0, "message": {"role": "assistant", "content": "ho"}, "finish_reason": "stop"}]
    result = {"id": "b-1", "custom_id": "r-1", "response": {"status_code": 200, "body": answer}, "error": None}
    write(tmp_path / "output.jsonl", result)
    report = collect_sources(place, sources(str(tmp_path)))
    assert (report.new, report.refused) == (1, 0)
    check(report)


def test_a_foreign_file_does_not_stop_a_folder(place: Place, log: str, tmp_path: Path) -> None:
    write(tmp_path / "other.json", {"colour": "green"})
    report = collect_sources(place, sources(log, str(tmp_path / "other.json")))
    assert (report.new, report.quarantined) == (3, {"unknown_format": 1})


@pytest.mark.parametrize("act", [collect_sources, preview_sources])
def test_when_no_source_is_known_that_is_an_error(place: Place, tmp_path: Path, act: Any) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="is not recognised"):
            act(place, sources(write(tmp_path / "other.json", {"colour": "green"})))


def test_when_no_source_can_be_read_that_is_an_error(place: Place, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a.jsonl"))
        with pytest.raises(UsageError, match=r"'a\.jsonl' cannot be read: "):
            collect_sources(place, sources(str(tmp_path / "a.jsonl")))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Sources(("none.jsonl",)), "does not exist"),
        (Sources(("-",), format="otlp2"), "not known"),
        (Sources(("-",), agent="../etc"), "not allowed"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_written(place: Place, wanted: Sources, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        collect_sources(place, wanted)
    assert not place.workspace.private.exists() or not place.workspace.key_path.exists()


def test_a_folder_without_logs_is_said_so(place: Place, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no logs"):
        collect_sources(place, sources(str(tmp_path / "empty")))


def test_agents_that_nobody_registered_are_named(place: Place, log: str) -> None:
    report = collect_sources(place, sources(log, agent="nobody"))
    assert find_unregistered(place, report) == ["nobody"]
    add_agent(place.registry, Agent(agent="nobody"))
    assert find_unregistered(place, report) == []


def test_another_writer_is_waited_for_and_named(place: Place, log: str) -> None:
    with (
        hold(place.workspace.locks_root / "journal.lock", purpose="import"),
        pytest.raises(LockedError, match="import"),
    ):
        collect_sources(place, sources(log), wait=0.0)


def judge(target: str, **fields: Any) -> Feedback:
    return Feedback(**{"id": "", "target": target, "kind": "boolean", "time": "", "thumbs": True, **fields})


def test_a_judgement_is_kept_with_id_time_and_target(place: Place, log: str) -> None:
    collect_sources(place, sources(log))
    target = ids(place)[0]
    judged = record_feedback(place, judge(target))
    assert judged.new
    assert (judged.feedback.target_kind, judged.feedback.time) == ("interaction", "2026-01-02T00:00:00Z")
    with Journal(place.workspace.journal_path) as journal:
        assert journal.feedback_on(target) == [judged.feedback]
    assert not record_feedback(place, judge(target)).new


def test_an_interaction_can_be_judged_by_what_its_producer_calls_it(place: Place, tmp_path: Path) -> None:
    collect_sources(place, sources(write(tmp_path / "log.jsonl", task(1))))
    judged = record_feedback(place, judge("t-1"))
    assert (judged.feedback.target, judged.feedback.target_kind) == (ids(place)[0], "interaction")


def test_an_episode_can_be_judged(place: Place, tmp_path: Path) -> None:
    collect_sources(place, sources(write(tmp_path / "tasks.jsonl", task(1, episode="e-1"))))
    assert record_feedback(place, judge("e-1")).feedback.target_kind == "episode"


def test_what_is_said_is_redacted(place: Place, log: str) -> None:
    collect_sources(place, sources(log))
    told = judge(ids(place)[0], kind="demonstration", thumbs=None, demonstration="mail a@example.org")
    assert "<EMAIL_" in record_feedback(place, told).feedback.demonstration


def test_nothing_can_be_said_about_what_is_not_there(place: Place, log: str) -> None:
    collect_sources(place, sources(log))
    with pytest.raises(UsageError, match="no interaction or episode 'i-none'"):
        record_feedback(place, judge("i-none"))

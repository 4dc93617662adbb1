import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

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
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.registry.actions import add_agent
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.workspace import Workspace


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


def sources(*names: str, **options: Any) -> Sources:
    return Sources(names, agent="shell", **options)


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
    report = collect_sources(place, sources(log))
    assert report.redacted == {"EMAIL": 1, "PASSWORD": 1}
    kept = [path for path in place.workspace.private.rglob("*") if path.is_file()]
    assert kept
    assert not any(word in path.read_bytes() for path in kept for word in (b"anna.berg", b"hunter22"))


def test_the_policy_of_the_workspace_decides(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", chat(1, "mail a@example.org"))
    assert collect_sources(place, sources(log, policy="off")).redacted == {}


def test_another_policy_does_not_make_the_same_records_new(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", chat(1, "mail a@example.org"))
    collect_sources(place, sources(log))
    again = collect_sources(place, sources(log, policy="off"))
    assert (again.new, again.known, again.conflicts) == (0, 1, 1)


def test_a_preview_tells_the_same_and_writes_nothing(place: Place, log: str) -> None:
    preview = preview_sources(place, sources(log, log))
    assert not place.workspace.journal_path.exists()
    assert not place.workspace.key_path.exists()
    report = collect_sources(place, sources(log, log))
    assert (preview.new, preview.known) == (report.new, report.known) == (3, 3)
    assert preview_sources(place, sources(log)).known == 3


def test_progress_is_told_while_it_runs(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", *(chat(number) for number in range(4001)))
    heard: list[int] = []
    collect_sources(place, sources(log), told=heard.append)
    assert heard == [2000, 4000]


def test_a_foreign_file_does_not_stop_a_folder(place: Place, log: str, tmp_path: Path) -> None:
    write(tmp_path / "other.json", {"colour": "green"})
    report = collect_sources(place, sources(log, str(tmp_path / "other.json")))
    assert (report.new, report.quarantined) == (3, {"unknown_format": 1})


@pytest.mark.parametrize("act", [collect_sources, preview_sources])
def test_when_no_source_is_known_that_is_an_error(place: Place, tmp_path: Path, act: Any) -> None:
    with pytest.raises(UsageError, match="is not recognised"):
        act(place, sources(write(tmp_path / "other.json", {"colour": "green"})))


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
    report = collect_sources(place, Sources((log,), agent="nobody"))
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


def test_an_episode_can_be_judged(place: Place, tmp_path: Path) -> None:
    task = {"task_id": "t", "status": "ok", "agent": "shell", "episode": "e-1"}
    collect_sources(place, sources(write(tmp_path / "tasks.jsonl", task)))
    assert record_feedback(place, judge("e-1")).feedback.target_kind == "episode"


def test_what_is_said_is_redacted(place: Place, log: str) -> None:
    collect_sources(place, sources(log))
    told = judge(ids(place)[0], kind="demonstration", thumbs=None, demonstration="mail a@example.org")
    assert "<EMAIL_" in record_feedback(place, told).feedback.demonstration


def test_nothing_can_be_said_about_what_is_not_there(place: Place, log: str) -> None:
    collect_sources(place, sources(log))
    with pytest.raises(UsageError, match="no interaction or episode 'i-none'"):
        record_feedback(place, judge("i-none"))

"""`cortex collect` and `cortex feedback`, as a user types them."""

import io
import json
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "log.jsonl"
    values: list[Any] = [
        {
            "agent": "dispatch",
            "time": "2026-01-02T03:04:05Z",
            "messages": [{"role": "user", "content": f"mail a{number}@example.org"}],
            "output": "done",
        }
        for number in range(3)
    ]
    values.append({"agent": "dispatch", "messages": "torn"})
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return str(path)


def find_id(workspace: Path) -> str:
    from cortex_cli.store.journal import Journal
    from cortex_cli.store.workspace import Workspace

    with Journal(Workspace(workspace).journal_path) as journal:
        return next(record.id for _, record in journal.interactions())


def test_collect_reports_what_came_in(cortex: "Program", workspace: Path, log: str) -> None:
    data = cortex("collect", log, "--json").data
    report = data["report"]
    assert (report["new"], report["known"], report["lines"]) == (3, 0, 4)
    assert report["formats"] == {"cortex": 3}
    assert report["quarantined"] == {"wrong_type": 1}
    assert report["redacted"] == {"EMAIL": 3}
    assert report["not_covered"]
    assert report["lines"] == report["gave"] + report["refused"]
    assert (data["dry_run"], data["unregistered"]) == (False, [])


def test_collect_says_how_content_that_was_not_captured_is_captured(cortex: "Program", workspace: Path) -> None:
    fixture = Path(__file__).parents[1] / "collect" / "fixtures" / "otel" / "openai-v2-no-content.traces.jsonl"
    outcome = cortex("collect", str(fixture))
    assert "next: set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true" in outcome.err


def test_collect_for_people_names_reason_and_place(cortex: "Program", workspace: Path, log: str) -> None:
    outcome = cortex("collect", log)
    assert outcome.code == 0
    assert "3 interactions and 0 judgements in 4 lines of 1 source" in outcome.out
    assert "log.jsonl:4: wrong_type" in outcome.out
    assert "EMAIL 3 (policy: standard)" in outcome.out
    assert "collect: " in outcome.err


def test_collecting_again_finds_everything_known(cortex: "Program", workspace: Path, log: str) -> None:
    cortex("collect", log)
    assert cortex("collect", log, "--json").data["report"]["known"] == 3


def test_a_dry_run_keeps_nothing(cortex: "Program", workspace: Path, log: str) -> None:
    outcome = cortex("collect", log, "--dry-run")
    assert "nothing was kept" in outcome.err
    assert not (workspace / ".cortex" / "journal.db").exists()
    assert cortex("collect", log, "--dry-run", "--json").data["report"]["new"] == 3


def test_an_agent_that_is_not_registered_is_named(cortex: "Program", workspace: Path, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    path.write_text(json.dumps({"messages": messages}), encoding="utf-8")
    outcome = cortex("collect", str(path), "--agent", "greeter", "--format", "openai-chat")
    assert outcome.code == 0
    assert "not agents of this workspace yet: greeter" in outcome.err


def test_standard_input_is_a_source(
    cortex: "Program", workspace: Path, log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(log).read_bytes())))
    assert cortex("collect", "-", "--json").data["report"]["sources"] == ["stdin"]


def test_a_pattern_is_a_source(cortex: "Program", workspace: Path, log: str) -> None:
    report = cortex("collect", str(Path(log).parent / "**" / "l*.jsonl"), "--json").data["report"]
    assert report["sources"] == ["log.jsonl"]


def test_a_second_time_says_what_was_passed_over(cortex: "Program", workspace: Path, log: str) -> None:
    cortex("collect", log)
    assert "in 4 lines of 1 source, 1 unchanged" in cortex("collect", log).out


def test_what_contradicts_what_is_kept_is_shown_with_its_place(
    cortex: "Program", workspace: Path, tmp_path: Path
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        value = {"id": "i-1", "agent": "dispatch", "messages": [], "output": name, "time": "2999-01-01T00:00:00Z"}
        (tmp_path / name).write_text(json.dumps(value), encoding="utf-8")
        out = cortex("collect", str(tmp_path / name)).out
    assert "known       1, 1 with other content" in out
    assert "b.jsonl:1: conflict: i-1" in out
    assert "warnings    time_in_future 1" in out


def test_the_page_for_people_fits_a_terminal(
    cortex: "Program", workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    values = [{"task_id": "t", "status": "ok", "agent": f"agent-with-a-long-name-{number}"} for number in range(12)]
    path.write_text("".join(json.dumps(value) + "\n" for value in values) + "x" * 200 + "\n", encoding="utf-8")
    wide = cortex("collect", str(path), "--dry-run").out
    assert max(map(len, wide.splitlines())) > 200
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = cortex("collect", str(path), "--dry-run").out
    assert max(map(len, narrow.splitlines())) <= 80
    assert narrow.split() == wide.split()


def start_watch(cortex: "Program", workspace: Path, folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cortex_cli", "collect", str(folder), "--watch", "--interval", "0.05", *words],
        env=cortex.environ | {"CORTEX_WORKSPACE": str(workspace), "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_goes_on_until_it_is_told_to_stop_and_then_reports(
    cortex: "Program", workspace: Path, tmp_path: Path, number: signal.Signals
) -> None:
    from cortex_cli.store.journal import Journal
    from cortex_cli.store.workspace import Workspace

    folder = tmp_path / "logs"
    folder.mkdir()
    process = start_watch(cortex, workspace, folder, "--json")
    with Journal(Workspace(workspace).journal_path) as journal:
        for count in (1, 2):
            with (folder / "log.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"task_id": f"t-{count}", "status": "ok", "agent": "dispatch"}) + "\n")
            while journal.last() < count and process.poll() is None:
                select.select([], [], [], 0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out)["data"]["report"]
    assert (report["new"], report["lines"]) == (2, 2)


def test_the_redaction_policy_is_a_setting(cortex: "Program", workspace: Path, log: str) -> None:
    data = cortex("collect", log, "--json", environ={"CORTEX_REDACTION": "off"}).data
    assert (data["report"]["policy"], data["report"]["redacted"]) == ("off", {})


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["none.jsonl"], 2, "does not exist"),
        (["LOG", "--format", "cortx"], 2, "did you mean 'cortex'"),
        (["LOG", "--agent", "Bad Name"], 2, "not allowed"),
        (["LOG", "--watch", "--dry-run"], 2, "--dry-run has no part in"),
        (["otlp", "--dry-run"], 2, "--dry-run has no part in"),
        (["otlp", "--format", "otel"], 2, "--format has no part in"),
        (["-", "--watch"], 2, "cannot be watched"),
        ([], 2, "missing argument"),
    ],
)
def test_a_wrong_word_changes_nothing(
    cortex: "Program", workspace: Path, log: str, words: list[str], code: int, told: str
) -> None:
    outcome = cortex("collect", *(log if word == "LOG" else word for word in words))
    assert (outcome.code, told in outcome.err) == (code, True)
    assert not (workspace / ".cortex" / "journal.db").exists()


def test_outside_of_a_workspace_nothing_is_collected(cortex: "Program", log: str) -> None:
    assert cortex("collect", log).code == 10


@pytest.mark.parametrize(
    ("words", "kind", "shown"),
    [
        (["--thumbs", "up"], "boolean", "thumbs up"),
        (["--thumbs", "down"], "boolean", "thumbs down"),
        (["--score", "4", "--scale", "1-5"], "score", "score 4 of 1-5"),
        (["--comment", "too slow"], "comment", "comment"),
        (["--demonstration", "ls -l"], "demonstration", "demonstration"),
    ],
)
def test_feedback_of_every_kind_is_kept(
    cortex: "Program", workspace: Path, log: str, words: list[str], kind: str, shown: str
) -> None:
    cortex("collect", log)
    target = find_id(workspace)
    data = cortex("feedback", target, *words, "--json").data
    assert (data["feedback"]["kind"], data["feedback"]["target"], data["new"]) == (kind, target, True)
    assert shown in cortex("feedback", target, *words).out


def test_feedback_carries_who_gave_it(cortex: "Program", workspace: Path, log: str) -> None:
    cortex("collect", log)
    words = ("feedback", find_id(workspace), "--thumbs", "up", "--json")
    assert cortex(*words, environ={"CORTEX_ACTOR": "ada"}).data["feedback"]["name"] == "ada"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "found none"),
        (["--thumbs", "up", "--comment", "good"], "found 2"),
        (["--score", "4"], "needs its scale"),
        (["--scale", "1-5", "--thumbs", "up"], "needs its scale"),
        (["--score", "9", "--scale", "1-5"], "not on the scale"),
        (["--score", "4", "--scale", "five"], "needs its scale"),
        (["--thumbs", "sideways"], "sideways"),
    ],
)
def test_feedback_that_says_nothing_or_too_much_is_refused(
    cortex: "Program", workspace: Path, log: str, words: list[str], told: str
) -> None:
    cortex("collect", log)
    outcome = cortex("feedback", find_id(workspace), *words)
    assert (outcome.code, told in outcome.err) == (2, True)


def test_feedback_on_nothing_is_refused(cortex: "Program", workspace: Path) -> None:
    outcome = cortex("feedback", "i-none", "--thumbs", "up")
    assert outcome.code == 2
    assert "no interaction or episode 'i-none'" in outcome.err

"""Files are followed while they grow; the waits between two looks are where these scenes go on."""

import json
import os
import random
import select
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.collect.reports import CollectReport
from cortex_cli.domain.errors import UsageError
from cortex_cli.pipeline.intake import Sources
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.pipeline.watching import Pulse, watch_sources
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import Workspace, open_key

Step = Callable[[], object]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    start_workspace(tmp_path / "lab", name="lab")
    return open_place(Workspace(tmp_path / "lab"), now=lambda: datetime(2026, 1, 2, tzinfo=UTC))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def task(number: int) -> str:
    return json.dumps({"task_id": f"t-{number}", "status": "ok", "agent": "shell"}) + "\n"


def append(path: Path, text: str) -> Step:
    def step() -> None:
        with path.open("a") as stream:
            stream.write(text)

    return step


def watch(place: Place, *names: Path, steps: tuple[Step, ...] = (), **options: Any) -> CollectReport:
    """Watch *names*, doing one of *steps* after each look, and looking once more after the last."""
    script = iter(steps)
    ended: list[bool] = []

    def wait(_seconds: float) -> None:
        step = next(script, None)
        if step is None:
            ended.append(True)
        else:
            step()

    wanted = Sources(tuple(map(str, names)), **{"policy": "off", **options})
    return watch_sources(place, wanted, Pulse(2.0, wait, lambda: bool(ended)))


def tasks(place: Place) -> list[str]:
    with Journal(place.workspace.journal_path) as journal:
        assert journal.faults() == []
        return [record.aliases[0] for _, record in journal.interactions()]


def test_what_comes_while_it_watches_is_kept_and_reported(place: Place, logs: Path) -> None:
    log = logs / "a.jsonl"
    steps = (
        append(log, task(1) + task(2)[:9]),
        append(log, task(2)[9:]),
        append(logs / "b.jsonl", task(3) + "[]\n"),
        append(log, task(1)),
    )
    report = watch(place, logs, steps=steps)
    assert tasks(place) == ["t-1", "t-2", "t-3"]
    assert (report.new, report.known, report.lines, report.quarantined) == (3, 1, 5, {"not_an_object": 1})
    assert report.sources == ("a.jsonl", "b.jsonl")
    assert report.interactions == report.new + report.known


def test_a_log_that_is_rotated_loses_nothing_and_brings_nothing_twice(place: Place, logs: Path) -> None:
    log = logs / "a.jsonl"

    def rotate() -> None:
        append(log, task(2))()
        log.rename(logs / "a.jsonl.1")
        append(log, task(3))()

    def copy_and_cut() -> None:
        append(log, task(4))()
        (logs / "a.jsonl.0").write_bytes(log.read_bytes())
        os.truncate(log, 0)
        append(log, task(5))()

    report = watch(place, logs, steps=(append(log, task(1)), rotate, copy_and_cut))
    assert sorted(tasks(place)) == ["t-1", "t-2", "t-3", "t-4", "t-5"]
    assert report.new == 5


def test_a_second_watch_goes_on_where_the_first_one_was(place: Place, logs: Path) -> None:
    log = logs / "a.jsonl"
    watch(place, logs, steps=(append(log, task(1)),))
    append(log, task(2))()
    report = watch(place, logs)
    assert (report.new, report.known, report.lines) == (1, 1, 2)
    assert watch(place, logs).unchanged == 1


def test_progress_is_told_while_it_watches(place: Place, logs: Path) -> None:
    heard: list[int] = []
    log = logs / "a.jsonl"
    ended = iter([False, False, False, False, True, True])
    steps = iter([append(log, task(1)), append(log, task(2))])
    pulse = Pulse(2.0, lambda _: next(steps)(), lambda: next(ended))
    watch_sources(place, Sources((str(logs),), policy="off"), pulse, told=heard.append)
    assert heard == [1]


def test_nothing_is_read_when_it_is_told_to_stop_at_once(place: Place, logs: Path) -> None:
    append(logs / "a.jsonl", task(1))()
    report = watch_sources(place, Sources((str(logs),)), Pulse(2.0, lambda _: None, lambda: True))
    assert report.lines == 0


def test_files_that_belong_together_find_each_other_whenever_they_come(place: Place, logs: Path) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    request = {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    answer = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
    answer["choices"] = [{"index": 0, "message": {"role": "assistant", "content": "ho"}, "finish_reason": "stop"}]
    result = {"id": "b-1", "custom_id": "r-1", "response": {"status_code": 200, "body": answer}, "error": None}

    def come(name: str, value: Any) -> Step:
        def step() -> None:
            (logs / name).write_text(json.dumps(value) + "\n")
            os.utime(logs / name, (0, 0))

        return step

    report = watch(place, logs, steps=(come("input.jsonl", request), come("output.jsonl", result)), agent="shell")
    assert report.new == 1


def test_a_pattern_may_match_nothing_yet(place: Place, logs: Path) -> None:
    assert watch(place, logs / "*.jsonl", steps=(append(logs / "a.jsonl", task(1)),)).new == 1


@pytest.mark.parametrize(
    ("names", "options", "told"),
    [
        (("-",), {}, "cannot be watched"),
        (("none.jsonl",), {}, "does not exist"),
        ((".",), {"format": "cortx"}, "did you mean 'cortex'"),
        ((".",), {"agent": "Bad Name"}, "not allowed"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_written(
    place: Place, names: tuple[str, ...], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        watch(place, *map(Path, names), **options)
    assert not place.workspace.private.exists()


@pytest.mark.kill
def test_a_killed_watch_is_completed_by_the_next_one(place: Place, logs: Path) -> None:
    chance = random.Random(5)
    open_key(place.workspace)
    log = logs / "a.jsonl"
    done = 0
    for _ in range(8):
        child = os.fork()
        if child == 0:
            try:
                pulse = Pulse(0.01, lambda seconds: select.select([], [], [], seconds), lambda: False)
                watch_sources(place, Sources((str(logs),), policy="off", threads=1), pulse)
            finally:
                os._exit(0)
        for _ in range(chance.randint(5, 20)):
            count = chance.randint(1, 300)
            append(log, "".join(map(task, range(done, done + count))))()
            done += count
            if chance.random() < 0.1:
                log.rename(logs / f"a.jsonl.{len(list(logs.iterdir()))}")
            select.select([], [], [], 0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    watch(place, logs)
    assert sorted(tasks(place)) == sorted(f"t-{number}" for number in range(done))

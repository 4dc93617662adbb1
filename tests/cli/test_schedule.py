"""Lines for cron and units for systemd: right words, right quoting, nothing installed."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.cli.commands.schedule import Job, find_program, plan_jobs, render_cron, render_systemd
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from tests.cli.conftest import Program

JOB = Job("status", "0 */6 * * *", "*-*-* 00/6:00:00", ("/a b/cortex", "-C", "/w%x$y", "status"))


def test_the_jobs_run_by_absolute_paths_in_their_workspace(tmp_path: Path) -> None:
    jobs = plan_jobs(("/bin/cortex",), tmp_path, ["/var/log/app.jsonl"])
    assert [(job.name, job.cron) for job in jobs] == [
        ("collect", "0 * * * *"),
        ("cycle", "0 2 * * *"),
        ("status", "0 */6 * * *"),
    ]
    for job in jobs:
        assert job.command[:3] == ("/bin/cortex", "-C", str(tmp_path))
    assert jobs[0].command[-1] == "/var/log/app.jsonl"


def test_without_a_source_there_is_nothing_to_collect(tmp_path: Path) -> None:
    assert [job.name for job in plan_jobs(("/bin/cortex",), tmp_path, [])] == ["cycle", "status"]


def test_a_relative_source_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert plan_jobs(("/bin/cortex",), tmp_path, ["app.jsonl"])[0].command[-1] == str(tmp_path / "app.jsonl")


def test_the_program_is_found_as_a_script_or_as_a_module(tmp_path: Path) -> None:
    script = tmp_path / "cortex"
    script.touch()
    assert find_program(str(script), "/usr/bin/python3") == (str(script),)
    assert find_program("/x/pytest", "/usr/bin/python3") == ("/usr/bin/python3", "-m", "cortex_cli")


def test_a_crontab_line_survives_blanks_and_percent_signs() -> None:
    line = render_cron([JOB]).splitlines()[1]
    assert line == "0 */6 * * * '/a b/cortex' -C '/w\\%x$y' status"
    words = line.removeprefix(JOB.cron + " ").replace("\\%", "%")
    assert tuple(shlex.split(words)) == JOB.command


def test_a_line_break_cannot_stand_in_a_crontab() -> None:
    with pytest.raises(UsageError, match="line break"):
        render_cron([JOB._replace(command=("/a\nb",))])


def test_a_unit_survives_blanks_percent_signs_and_dollars() -> None:
    assert 'ExecStart="/a b/cortex" -C "/w%%x$$y" status' in render_systemd([JOB], "my ws").splitlines()


def test_units_are_named_after_their_workspace() -> None:
    heads = [line for line in render_systemd([JOB], "my ws!").splitlines() if line.startswith("# cortex")]
    assert heads == ["# cortex-my-ws-status.service", "# cortex-my-ws-status.timer"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_calendars(tmp_path: Path) -> None:
    for job in plan_jobs((sys.executable,), tmp_path, ["x"]):
        subprocess.run(["systemd-analyze", "calendar", job.calendar], capture_output=True, check=True)


def test_the_verb_prints_and_installs_nothing(cortex: "Program", folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    outcome = cortex("schedule", "--source", "/var/log/app.jsonl")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"-C {folder} collect --quiet /var/log/app.jsonl" in outcome.out
    assert "[Timer]" in cortex("schedule", "--format", "systemd").out
    assert sorted(folder.rglob("*")) == before


def test_a_job_whose_verb_is_not_built_is_marked(cortex: "Program", folder: Path) -> None:
    notes = {job["name"]: job["note"] for job in cortex("schedule", "--json").data["jobs"]}
    assert notes == {"cycle": "not built yet: it fails until it is", "status": ""}
    assert "# cortex cycle (not built yet: it fails until it is)" in cortex("schedule").out

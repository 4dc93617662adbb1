"""Where settings come from: flag, variable, workspace, user, default."""

from pathlib import Path
from typing import TYPE_CHECKING

from cortex_cli.cli.context import settings
from cortex_cli.cli.session import begin_session

if TYPE_CHECKING:
    from tests.cli.conftest import Program


def write_user_file(cortex: "Program", text: str) -> Path:
    path = cortex.home / "config" / "cortex" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    cortex.environ["XDG_CONFIG_HOME"] = str(cortex.home / "config")
    return path


def test_outside_of_a_workspace_everything_is_a_default(cortex: "Program") -> None:
    rows = cortex("config", "show", "--json").data["settings"]
    assert {row["source"] for row in rows.values()} == {"default"}


def test_a_variable_wins_over_the_workspace_and_that_over_the_user(cortex: "Program", folder: Path) -> None:
    user = write_user_file(cortex, "threads = 1\nlock_wait = 1.0\nactor = 'user'\n")
    (folder / "cortex.toml").write_text("schema = 1\nthreads = 2\nlock_wait = 2.0\n", encoding="utf-8")
    cortex.environ["CORTEX_THREADS"] = "3"
    rows = cortex("config", "show", "--json").data["settings"]
    assert rows["threads"] == {"value": 3, "source": "variable CORTEX_THREADS"}
    assert rows["lock_wait"] == {"value": 2.0, "source": f"{folder / 'cortex.toml'}:3"}
    assert rows["actor"] == {"value": "user", "source": f"{user}:3"}


def test_the_workspace_flag_wins_over_its_variable(cortex: "Program", folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "cortex.toml").write_text('schema = 1\nname = "other"\n', encoding="utf-8")
    assert cortex("config", "show", "--json").data["settings"]["name"]["value"] == ""
    assert cortex("-C", str(other), "config", "show", "--json").data["settings"]["name"]["value"] == "other"
    assert cortex("config", "show", "--workspace", str(other), "--json").data["settings"]["name"]["value"] == "other"


def test_values_are_shown_as_they_would_stand_in_the_file(cortex: "Program") -> None:
    cortex.environ["CORTEX_RETENTION_DAYS"] = "default=90"
    rows = [line.split("  ") for line in cortex("config", "show").out.splitlines()]
    shown = {row[0]: next(cell for cell in row[1:] if cell).strip() for row in rows}
    assert (shown["actor"], shown["plain"]) == ('"human"', "false")
    assert shown["retention_days"] == "{ default = 90 }"


def test_every_fault_of_a_broken_file_is_reported(cortex: "Program", folder: Path) -> None:
    (folder / "cortex.toml").write_text("schema = 1\nthreds = 1\nlock_wait = 'x'\n", encoding="utf-8")
    outcome = cortex("config", "show")
    assert outcome.code == 2
    assert "did you mean 'threads'?" in outcome.err
    assert "lock_wait" in outcome.err


def test_a_session_does_not_leak_into_the_next(cortex: "Program") -> None:
    cortex("config", "show", "--plain", "-C", "/nowhere")
    assert "\t" not in cortex("config", "show").out


def test_the_settings_of_a_run_are_those_of_its_environment(cortex: "Program", folder: Path) -> None:
    begin_session({**cortex.environ, "CORTEX_ACTOR": "cron"})
    assert settings().actor == "cron"

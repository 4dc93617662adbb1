"""`cortex status` about data: is there enough to train on, what would it cost, how much is there."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pipeline.memories import Memory, copy_memory, open_memory

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    return open_memory(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def memory(cortex: "Program", made: Memory, tmp_path: Path) -> Memory:
    cortex.environ["CORTEX_WORKSPACE"] = str(tmp_path / "workspace")
    return copy_memory(made, tmp_path / "workspace")


def test_readiness_has_the_shape_that_programs_know(cortex: "Program", memory: Memory) -> None:
    (found,) = cortex("status", "--json").data["agents"][0]["readiness"]
    assert (found["agent"], found["recipe"], found["dataset"]) == ("dispatch", "dispatch", "dispatch/v0002")
    data = found["data_collection"]
    assert {name: data[name] for name in ("training_examples", "min_required", "ready", "progress_percent")} == {
        "training_examples": 5,
        "min_required": 10,
        "ready": False,
        "progress_percent": 50.0,
    }
    assert found["fine_tuning"] == {"has_triggered": True, "models_trained": 1}
    assert set(found["cost_estimate"]) == {
        "example_count",
        "epochs",
        "estimated_tokens",
        "estimated_cost_usd",
        "basis",
    }
    assert found["cost_estimate"]["epochs"] == 3.0


def test_readiness_for_people_is_two_lines(cortex: "Program", memory: Memory) -> None:
    out = cortex("status").out
    assert "to train    dispatch: 50 % of the examples, 0 interactions since the last of 1 trainings" in out
    assert "local: no API cost" in out


def test_the_journal_is_told_by_agent_and_size(cortex: "Program", memory: Memory) -> None:
    found = cortex("status", "--json").data["journal"]
    assert found["bytes"] >= memory.place.workspace.journal_path.stat().st_size
    assert found["agents"]["dispatch"]["interactions"] == 12
    assert found["agents"]["dispatch"]["bytes_per_1000"] > 100_000
    assert "dispatch 12 at 0." in cortex("status").out


def test_without_a_journal_there_is_nothing_to_tell_of_it(cortex: "Program", memory: Memory) -> None:
    memory.place.workspace.journal_path.unlink()
    assert cortex("status", "--json").data["journal"] == {"agents": {}, "bytes": 0}
    assert "\njournal " not in cortex("status").out


def test_doctor_tells_how_much_was_collected_and_names_old_transcripts(cortex: "Program", memory: Memory) -> None:
    import os

    path = cortex.home / ".claude" / "projects" / "work" / "session.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n", encoding="utf-8")
    checks = {row["check"]: row for row in cortex("doctor", "--json").data["checks"]}
    assert checks["collected"]["found"].startswith("12 interactions, 12 feedback, 0.")
    assert "Claude Code transcripts" not in checks
    os.utime(path, (1_000_000_000, 1_000_000_000))
    checks = {row["check"]: row for row in cortex("doctor", "--json").data["checks"]}
    assert checks["Claude Code transcripts"]["state"] == "warn"
    assert checks["Claude Code transcripts"]["advice"].startswith("cortex collect '")

"""`cortex forget` as a user types it: what is asked, what is told, and what the other verbs say afterwards."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pipeline.memories import Memory, copy_memory, find_bytes, names_of, open_memory, talk

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    return open_memory(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def memory(cortex: "Program", made: Memory, tmp_path: Path) -> Memory:
    cortex.environ["CORTEX_WORKSPACE"] = str(tmp_path / "workspace")
    return copy_memory(made, tmp_path / "workspace")


def is_kept(memory: Memory, number: int) -> bool:
    with memory.journal() as journal:
        return journal.find(talk(number).id) is not None


def test_forgetting_says_what_went_what_is_revoked_and_what_to_do(cortex: "Program", memory: Memory) -> None:
    outcome = cortex("forget", "--interaction", talk(0).id, "--yes", "--reason", "asked for")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "1 interaction and 1 judgement gone"
    assert "revoked: dataset dispatch/v0001" in lines
    assert f"revoked: adapter {memory.adapter.id}" in lines
    assert any(line.startswith("ATTENTION: champion") and memory.adapter.id in line for line in lines)
    assert lines[-2:] == ["next: cortex curate dispatch", "next: cortex train dispatch"]
    assert find_bytes(memory.place.workspace.root, list(names_of(talk(0)))) == []


def test_forgetting_for_programs_is_one_object_of_counts(cortex: "Program", memory: Memory) -> None:
    data = cortex("forget", "--interaction", talk(0).aliases[0], "--yes", "--json").data
    assert (data["interactions"], data["feedback"], data["dry_run"]) == (1, 1, False)
    assert data["datasets"] == ["dispatch/v0001"]
    assert talk(0).id not in str(data)


def test_a_dry_run_needs_no_yes_and_changes_nothing(cortex: "Program", memory: Memory) -> None:
    outcome = cortex("forget", "--agent", "dispatch", "--dry-run")
    assert outcome.code == 0
    assert "12 interactions and 12 judgements would go" in outcome.out
    assert "to revoke: dataset dispatch/v0002" in outcome.out
    assert is_kept(memory, 0)


def test_where_nobody_can_answer_yes_is_required(cortex: "Program", memory: Memory) -> None:
    outcome = cortex("forget", "--agent", "dispatch", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "12 interactions would be forgotten" in outcome.error["message"]
    assert "--yes" in outcome.error["hint"]
    assert is_kept(memory, 0)


@pytest.mark.parametrize(("answer", "code", "kept"), [("y\n", 0, False), ("n\n", 2, True), ("\n", 2, True)])
def test_on_a_terminal_it_asks(memory: Memory, answer: str, code: int, kept: bool) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cortex_cli", "forget", "--interaction", talk(0).id]
    environ = {**os.environ, "CORTEX_WORKSPACE": str(memory.place.workspace.root)}
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env=environ) as process:
        os.close(theirs)
        shown = b""
        while b"[y/N]" not in shown:
            select.select([ours], [], [])
            shown += os.read(ours, 4096)
        os.write(ours, answer.encode())
        assert process.wait() == code
    os.close(ours)
    assert b"1 interaction and 1 judgement would go" in shown
    assert is_kept(memory, 0) == kept


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], "nothing was named"),
        (["--older-than", "soon"], "'soon' is not an age"),
        (["--before", "yesterday"], "'yesterday' is not a day"),
        (["--older-than", "90d", "--before", "2026-01-01"], "exclude each other"),
        (["--interaction", "i-none"], "there is no interaction 'i-none'"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(cortex: "Program", memory: Memory, words: list[str], found: str) -> None:
    outcome = cortex("forget", *words, "--yes", "--json")
    assert outcome.code == 2
    assert found in outcome.error["message"]
    assert outcome.error["state"] == "nothing was changed"


@pytest.mark.parametrize("words", [["--before", "2026-05-03"], ["--before", "2026-05-03", "--agent", "dispatch"]])
def test_a_day_selects_what_is_older(cortex: "Program", memory: Memory, words: list[str]) -> None:
    assert cortex("forget", *words, "--yes", "--json").data["interactions"] == 2
    assert [number for number in range(12) if is_kept(memory, number)] == list(range(2, 12))


@pytest.mark.parametrize("age", ["36500d", "99y", "1200m", "5000w"])
def test_an_age_counts_back_from_now(cortex: "Program", memory: Memory, age: str) -> None:
    outcome = cortex("forget", "--older-than", age, "--yes")
    assert (outcome.code, outcome.out) == (0, "nothing to forget\n")


def test_nothing_to_resume_is_said(cortex: "Program", memory: Memory) -> None:
    assert cortex("forget", "--resume").out == "nothing to forget\n"


def test_doctor_and_status_tell_what_forgetting_left(cortex: "Program", memory: Memory) -> None:
    cortex("forget", "--interaction", talk(0).id, "--yes")
    checks = {row["check"]: row for row in cortex("doctor", "--json").data["checks"]}
    assert checks["champion dispatch"]["state"] == "warn"
    assert "is revoked" in checks["champion dispatch"]["found"]
    assert "REVOKED" in cortex("status").out
    assert cortex("status", "--json").data["agents"][0]["champion"]["revoked"] is True


def test_doctor_names_a_forgetting_that_was_cut_off(cortex: "Program", memory: Memory) -> None:
    (memory.private / "forgetting.json").write_text("{}", encoding="utf-8")
    outcome = cortex("doctor", "--json")
    checks = {row["check"]: row for row in outcome.data["checks"]}
    assert (outcome.code, checks["forgetting"]["state"]) == (1, "fail")


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        (["train", "dispatch"], 12, "revoked"),
        (["promote", "dispatch", "TUNED"], 12, "revoked"),
        (["rollback", "dispatch", "--to", "TUNED"], 12, "revoked"),
        (["why", "GONE"], 0, "forgotten"),
        (["why", "ALIAS"], 0, "forgotten"),
        (["fsck"], 0, "everything is whole"),
        (["log"], 0, "forget(dispatch): revoked 1 dataset version, 1 adapter"),
        (["gc"], 0, "objects"),
        (["verify"], 0, "no experiment"),
        (["dataset", "ls"], 0, "revoked"),
    ],
)
def test_other_verbs_speak_clearly_of_what_is_revoked(
    cortex: "Program", memory: Memory, words: list[str], code: int, found: str
) -> None:
    version = memory.versions[0]
    cortex("forget", "--interaction", talk(0).id, "--yes")
    cortex("rollback", "dispatch")
    recipe = memory.place.workspace.root / "recipes" / "dispatch.toml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace('dataset = "dispatch"', f'dataset = "dispatch/{version.version}"'), encoding="utf-8")
    names = {"TUNED": memory.tuned.id, "GONE": talk(0).id, "ALIAS": talk(0).aliases[0]}
    outcome = cortex(*(names.get(word, word) for word in words))
    assert outcome.code == code, outcome.err
    assert found in outcome.out + outcome.err
    assert "Traceback" not in outcome.err

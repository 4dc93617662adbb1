"""`cortex curate` as a user types it: layers, reasons, doing nothing, forgetting first, remarks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program

RECIPE = """summary = "A small one"
[curate]
agent = "dispatch"
dataset = "mine"
"""


@pytest.fixture
def lab(cortex: "Program", tmp_path: Path) -> Path:
    """A workspace with 24 answers: good ones, a failed, an unjudged, a repeated and a wrong one to a known prompt."""
    root = tmp_path / "lab"
    assert cortex("init", str(root)).code == 0
    cortex.environ["CORTEX_WORKSPACE"] = str(root)
    cortex.environ["CORTEX_REDACTION"] = "off"
    (root / "recipes" / "mine.toml").write_text(RECIPE, encoding="utf-8")
    lines = [answer(number) for number in range(20)]
    lines += [
        answer(20, request="request 1", output="answer 1"),
        answer(21, request="request 2", output="nonsense", outcome="failure"),
        answer(22, outcome="unknown"),
        answer(23, outcome="error", error="boom"),
    ]
    keep(cortex, tmp_path, lines)
    return root


def answer(number: int, request: str = "", output: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "agent": "dispatch",
        "time": f"2026-01-05T09:00:{number:02}Z",
        "messages": [{"role": "user", "content": request or f"request {number}"}],
        "output": output or f"answer {number}",
        "outcome": "success",
        **fields,
    }


def keep(cortex: "Program", folder: Path, lines: list[dict[str, Any]]) -> None:
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert cortex("collect", str(log), "--format", "cortex").code == 0


def test_the_report_shows_layers_and_reasons(cortex: "Program", lab: Path) -> None:
    told = cortex("curate", "mine").out
    assert "mine/v0001: 20 examples from 24 interactions" in told
    rows = {line.rsplit(maxsplit=1)[0]: line.split()[-1] for line in told.splitlines() if line.strip()}
    assert (rows["bronze: read"], rows["silver: valid"], rows["gold: kept"]) == ("24", "23", "20")
    assert {line.split()[1] for line in told.splitlines() if line.startswith("1 ")} >= {"duplicate", "unjudged"}
    assert "pairs: 1 with a wrong answer beside the right one" in told
    assert "commit " in told


def test_json_has_the_version_its_layers_and_some_ids(cortex: "Program", lab: Path) -> None:
    data = cortex("curate", "mine", "--json").data
    assert data["layers"] == {"bronze: read": 24, "gold: kept": 20, "silver: valid": 23}
    assert data["version"]["rejected"] == {"duplicate": 1, "error": 1, "outcome_failure": 1, "unjudged": 1}
    assert {reason: len(names) for reason, names in data["rejected_samples"].items()} == data["version"]["rejected"]
    assert (data["known"], data["dry_run"], data["forgotten"]) == (False, False, 0)


def test_the_second_time_there_is_nothing_to_do(cortex: "Program", lab: Path) -> None:
    first = cortex("curate", "mine", "--json").data["version"]
    again = cortex("curate", "mine", "--json").data
    assert again["known"]
    assert again["version"] == first
    assert cortex("curate", "mine").out.startswith("nothing new: mine/v0001 already holds this journal")


def test_a_dry_run_changes_nothing_and_forgets_nothing(cortex: "Program", lab: Path) -> None:
    cortex.environ["CORTEX_RETENTION_DAYS"] = "default=1"
    outcome = cortex("curate", "mine", "--dry-run")
    assert "mine/v0001: 20 examples from 24 interactions" in outcome.out
    assert "dry run: nothing was recorded" in outcome.out
    assert cortex("dataset", "ls", "--json").data["datasets"] == []


def test_what_is_too_old_is_forgotten_first(cortex: "Program", lab: Path, tmp_path: Path) -> None:
    keep(cortex, tmp_path, [answer(30, time="2999-01-01T00:00:00Z")])
    cortex.environ["CORTEX_RETENTION_DAYS"] = "default=1"
    outcome = cortex("curate", "mine", "--json")
    assert outcome.data["forgotten"] == 24
    assert outcome.data["version"]["counts"]["read"] == 1
    assert "forgotten: 24 interactions that were older than this workspace keeps" in outcome.err


def test_what_a_suite_asks_is_told(cortex: "Program", lab: Path) -> None:
    (lab / "held.jsonl").write_text(json.dumps({"request": "request 3", "reference": "x"}) + "\n", encoding="utf-8")
    with (lab / "recipes" / "mine.toml").open("a", encoding="utf-8") as file:
        file.write('[curate.decontaminate]\nsuites = ["held.jsonl"]\n')
    told = cortex("curate", "mine").out
    assert "contaminated: 1 are asked by held.jsonl" in told
    assert "contaminated_exact" in told


def test_pairs_beyond_the_first_are_told_apart(cortex: "Program", lab: Path, tmp_path: Path) -> None:
    keep(cortex, tmp_path, [answer(31, request="request 2", output="more nonsense", outcome="failure")])
    with (lab / "recipes" / "mine.toml").open("a", encoding="utf-8") as file:
        file.write("[curate.pairs]\nper_prompt = 5\n")
    told = cortex("curate", "mine").out
    assert "pairs: 2 with a wrong answer beside the right one, 1 of them as rows of their own" in told


def test_all_faults_of_a_table_are_told_at_once(cortex: "Program", lab: Path) -> None:
    with (lab / "recipes" / "mine.toml").open("a", encoding="utf-8") as file:
        file.write('[curate.quality]\npreset = "seed"\n[curate.duplicates]\nsimilarty = 0.9\n')
    outcome = cortex("curate", "mine")
    assert outcome.code == 2
    assert "curate.quality.preset" in outcome.err
    assert "did you mean 'similarity'" in outcome.err

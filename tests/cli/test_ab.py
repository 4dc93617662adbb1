"""`cortex ab`: experiments at a glance, replays, plans, and stopping one."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.domain.manifests import Experiment, Policy
from cortex_cli.registry.repository import Registry
from cortex_cli.release.experiments import Opening, conclude, open_experiment, record
from cortex_cli.release.ledger import Row, Score
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

if TYPE_CHECKING:
    from tests.cli.conftest import Program


def noon() -> datetime:
    return datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def registry(workspace: Path) -> Registry:
    return Registry(Workspace(workspace))


@pytest.fixture
def experiment(registry: Registry, ids: tuple[str, str]) -> Experiment:
    opening = Opening(
        agent="dispatch", champion=ids[0], challengers=(ids[1],), policy=Policy(min_tasks=20), replayed=True
    )
    return open_experiment(registry, opening, noon)


@pytest.fixture
def rows(ids: tuple[str, str]) -> list[Row]:
    """Forty pairs: the challenger wins every second and loses none."""
    return [
        Row(unit=f"u{number}", scores={ids[0]: Score(success=float(number % 2)), ids[1]: Score(success=1.0)})
        for number in range(40)
    ]


@pytest.fixture
def decided(registry: Registry, experiment: Experiment, rows: list[Row]) -> Experiment:
    return conclude(registry, ObjectStore(registry.workspace.objects_root), experiment, rows, noon).experiment


@pytest.fixture
def log(tmp_path: Path) -> Path:
    lines = [
        json.dumps({"unit": f"u{number}", "outcomes": {"old": number % 2 == 0, "new": number % 10 > 0}, "domain": "d"})
        for number in range(300)
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_workspace_without_experiments_says_so(cortex: "Program", workspace: Path) -> None:
    assert cortex("ab", "status").out == "no experiment has been recorded\n"
    assert cortex("ab", "status", "--json").data == {"experiments": []}


def test_experiments_are_listed_with_what_they_found(cortex: "Program", decided: Experiment) -> None:
    head, line = cortex("ab", "status", "--plain").out.splitlines()

    row = dict(zip(head.split("\t"), line.split("\t"), strict=True))
    assert row == {
        "EXPERIMENT": decided.id,
        "AGENT": "dispatch",
        "MODE": "shadow, replayed",
        "STATE": "promote",
        "TASKS": "40",
        "GAIN": "+50.0 points",
    }


def test_a_running_experiment_tells_its_evidence_and_what_is_missing(
    cortex: "Program", registry: Registry, experiment: Experiment, rows: list[Row]
) -> None:
    assert "nothing has been recorded yet" in cortex("ab", "status", experiment.id).out

    record(registry.workspace, experiment, rows[:10])
    outcome = cortex("ab", "status", experiment.id)

    assert outcome.code == 0
    assert "shadow, running, replayed, policy anytime" in outcome.out
    assert "so far: hold\n  evidence 8.2 of 20: about 5 more pairs at this rate" in outcome.out
    assert "seeds' rule, descriptive: not met" in outcome.out


def test_a_decided_experiment_shows_arms_interval_tests_and_verdict(
    cortex: "Program", decided: Experiment, ids: tuple[str, str]
) -> None:
    page = cortex("ab", "status", decided.id).out

    assert f"champion    {ids[0]}" in page
    assert "50.0 % of 40 pairs succeed, 35.2 to 64.8 %" in page
    assert "gain        +50.0 points, at least +" in page
    assert "pairs       20 won, 0 lost" in page
    assert "verdict: promote" in page
    assert "replayed: judged against reference answers, not by users" in page
    assert max(len(line) for line in page.splitlines()) <= 80


def test_the_status_of_an_experiment_is_there_for_programs(cortex: "Program", decided: Experiment) -> None:
    data = cortex("ab", "status", decided.id, "--json").data

    standing = data["standings"][0]
    assert data["experiment"]["verdict"]["outcome"] == standing["verdict"]["outcome"] == "promote"
    assert data["recorded"] == 40
    assert {"shows", "metric", "evidence", "reached"} == set(standing["tests"][0])
    assert standing["seeds"]["met"] is False


def test_a_verdict_whose_ledger_is_elsewhere_is_shown_as_git_has_it(
    cortex: "Program", workspace: Path, decided: Experiment
) -> None:
    assert decided.evidence is not None
    ObjectStore(Workspace(workspace).objects_root).delete(decided.evidence.digest)

    outcome = cortex("ab", "status", decided.id)

    assert outcome.code == 0
    assert "verdict: promote" in outcome.out


def test_an_unknown_experiment_is_refused(cortex: "Program", workspace: Path) -> None:
    outcome = cortex("ab", "status", "ab-none")

    assert outcome.code == 2
    assert "there is no experiment 'ab-none'" in outcome.err


def test_a_replay_promotes_the_better_variant_and_is_the_same_twice(cortex: "Program", log: Path) -> None:
    first = cortex("ab", "replay", "--log", str(log), "--runs", "20", "--json")
    again = cortex("ab", "replay", "--log", str(log), "--runs", "20", "--json")

    assert first.out == again.out
    assert first.data["promoted_rate"] == 1.0
    assert (first.data["champion"], first.data["challenger"], first.data["runs"]) == ("old", "new", 20)
    assert {"rolled_back_rate", "futile_rate", "invalid_rate", "median_tasks", "p90_tasks"} <= set(first.data)


def test_a_replay_reads_for_people(cortex: "Program", log: Path) -> None:
    page = cortex("ab", "replay", "--log", str(log), "--runs", "10", "--mode", "split", "--split", "0.5/0.5").out
    aa = cortex("ab", "replay", "--log", str(log), "--runs", "5", "--champion", "old", "--challenger", "old").out

    assert "replayed 10 times, split 50%/50%, up to 300 tasks, policy anytime" in page
    assert "challenger  new: 90.0 % succeed" in page
    assert "an A/A: what was promoted here was promoted for nothing" in aa


def test_a_replay_of_wrong_input_ends_with_2(cortex: "Program", log: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"unit":"a","outcomes":{"x":7}}\n', encoding="utf-8")
    cases = {
        ("--log", str(tmp_path / "none")): "there is no log",
        ("--log", str(broken)): "outcome of 'x' is 7",
        ("--log", str(log), "--champion", "best"): "has no variant 'best'",
        ("--log", str(log), "--policy", "bold"): "there is no policy 'bold'",
        ("--log", str(log), "--split", "0.9/0.2"): "is not two shares that sum to 1",
    }
    for arguments, told in cases.items():
        outcome = cortex("ab", "replay", *arguments)
        assert outcome.code == 2
        assert told in outcome.err


def test_a_replay_needs_no_workspace(cortex: "Program", log: Path) -> None:
    assert cortex("ab", "replay", "--log", str(log), "--runs", "2").code == 0


def test_a_plan_compares_the_modes(cortex: "Program") -> None:
    arguments = ("ab", "power", "--base", "0.8", "--effect", "0.1", "--per-day", "100", "--runs", "20")
    page, data = cortex(*arguments).out, cortex(*arguments, "--json").data

    assert "to find 80.0 -> 90.0 % success, policy anytime" in page
    assert [mode["mode"] for mode in data["modes"]] == ["shadow pairs", "split 90/10", "split 50/50"]
    assert f"{data['modes'][0]['median_tasks']:,} pairs of both answers decide" in page
    assert max(len(line) for line in page.splitlines()) <= 80


def test_an_impossible_gain_ends_with_2(cortex: "Program") -> None:
    outcome = cortex("ab", "power", "--base", "0.95", "--effect", "0.1")

    assert outcome.code == 2
    assert "impossible above a rate of 95.0 %" in outcome.err


def test_a_stopped_experiment_frees_its_agent(cortex: "Program", workspace: Path, experiment: Experiment) -> None:
    outcome = cortex("ab", "stop", experiment.id)

    agent = Registry(Workspace(workspace)).snapshot().agent("dispatch")
    assert outcome.code == 0
    assert f"experiment '{experiment.id}' is stopped, commit " in outcome.out
    assert (agent.experiment, agent.challengers) == ("", ())
    assert cortex("ab", "status", "--json").data["experiments"][0]["state"] == "stopped"


def test_a_decided_experiment_is_not_stopped(cortex: "Program", decided: Experiment) -> None:
    outcome = cortex("ab", "stop", decided.id)

    assert outcome.code == 12
    assert "is decided, it cannot become stopped" in outcome.err


def test_beginning_on_live_requests_is_still_to_come(cortex: "Program") -> None:
    outcome = cortex("ab", "start", "dispatch", "--challenger", "dispatch-0123456789ab")

    assert outcome.code == 1
    assert "'ab start' is not built yet" in outcome.err

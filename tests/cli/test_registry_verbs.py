"""The verbs over the registry: what they print, what they change, how they refuse."""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.domain.manifests import Blob, DatasetVersion, Experiment, Part, Verdict, dataset_digest
from cortex_cli.registry import actions
from cortex_cli.registry.repository import Registry
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

if TYPE_CHECKING:
    from tests.cli.conftest import Program


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def add_dataset(workspace: Path, rows: int, version: str = "v0001") -> None:
    parts = {"train": Part(digest="sha256:" + "a" * 64, size=9, rows=rows)}
    lineage = Blob("lineage.jsonl", "sha256:" + "b" * 64, 9)
    made = DatasetVersion(
        name="dispatch",
        version=version,
        agent="dispatch",
        parts=parts,
        lineage=lineage,
        digest=dataset_digest(parts, lineage),
    )
    actions.add_dataset(Registry(Workspace(workspace)), made)


def test_init_makes_a_workspace_and_a_second_time_changes_nothing(cortex: "Program", tmp_path: Path) -> None:
    root = tmp_path / "new"
    first = cortex("init", str(root), "--json").data
    assert (first["state"], first["commit"]) == ("created", git(root, "rev-parse", "HEAD"))
    assert "cortex.toml" in first["files"]
    second = cortex("init", str(root), "--json").data
    assert (second["state"], second["files"], second["commit"]) == ("present", [], first["commit"])


def test_init_without_a_path_takes_the_folder_of_the_workspace_option(cortex: "Program", tmp_path: Path) -> None:
    assert cortex("-C", str(tmp_path / "here"), "init").code == 0
    assert cortex("-C", str(tmp_path), "init", "there").code == 0
    assert (tmp_path / "here" / "cortex.toml").is_file()
    assert (tmp_path / "there" / "cortex.toml").is_file()


def test_init_refuses_a_file_that_is_in_the_way(cortex: "Program", tmp_path: Path) -> None:
    (tmp_path / "cortex.toml").write_text("mine", encoding="utf-8")
    outcome = cortex("init", str(tmp_path))
    assert outcome.code == 12
    assert (tmp_path / "cortex.toml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("verb", ["status", "log", "fsck", "gc", "prompt ls", "recipe ls", "schedule", "diff"])
def test_outside_of_a_workspace_a_verb_ends_with_10(verb: str, cortex: "Program") -> None:
    outcome = cortex(*verb.split(" "))
    assert outcome.code == 10
    assert "next: cortex init" in outcome.err


def test_status_shows_who_answers_and_what_happened_last(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    data = cortex("status", "--json").data
    view = data["agents"][0]
    assert data["commit"] == view["last"]["commit"] == git(workspace, "rev-parse", "HEAD")
    assert (view["agent"], view["generation"], view["champion"]["id"]) == ("dispatch", 1, ids[0])
    assert view["champion"]["share"] == 1.0
    assert view["last"]["subject"] == f"promote(dispatch): champion none -> {ids[0]}"
    assert (view["challengers"], view["experiment"], view["datasets"]) == ([], None, [])


def test_status_for_people_and_for_programs_say_the_same(cortex: "Program", ids: tuple[str, str]) -> None:
    page = cortex("status").out
    assert f"champion    {ids[0]} (tiny + prompts/dispatch/main.md)" in page
    head, line = cortex("status", "--plain").out.splitlines()
    row = dict(zip(head.split("\t"), line.split("\t"), strict=True))
    assert (row["AGENT"], row["GENERATION"], row["CHAMPION"], row["MODEL"]) == ("dispatch", "1", ids[0], "tiny")


def test_status_of_an_empty_workspace_says_so(cortex: "Program", empty: Path) -> None:
    outcome = cortex("status", "-C", str(empty))
    assert outcome.code == 0
    assert "no agents yet" in outcome.out


def test_status_shows_how_many_examples_a_recipe_still_wants(cortex: "Program", workspace: Path) -> None:
    add_dataset(workspace, rows=120)
    recipe = '[train]\nagent = "dispatch"\ndataset = "dispatch"\nmin_examples = 5000\n'
    (workspace / "recipes" / "dispatch.toml").write_text(recipe, encoding="utf-8")
    view = cortex("status", "--json").data["agents"][0]
    assert view["datasets"] == [
        {"name": "dispatch", "version": "v0001", "examples": 120, "needed": 5000, "state": "live"}
    ]
    assert "120 in dispatch/v0001 of 5,000 needed to train" in cortex("status").out


def test_promote_moves_the_champion_and_says_how_to_go_back(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    outcome = cortex("promote", "dispatch", ids[1])
    assert outcome.code == 0
    assert outcome.out.startswith(f"champion of 'dispatch': {ids[0]} -> {ids[1]}\ngeneration 2, commit ")
    assert outcome.err == "  back: cortex rollback dispatch\n"
    assert git(workspace, "log", "-1", "--format=%s") == f"promote(dispatch): champion {ids[0]} -> {ids[1]}"


def test_a_stale_expectation_changes_nothing_and_ends_with_12(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    before = git(workspace, "rev-parse", "HEAD")
    outcome = cortex("promote", "dispatch", ids[1], "--expect", ids[1], "--json")
    assert (outcome.code, outcome.out) == (12, "")
    assert outcome.error["code"] == "E_CONFLICT"
    assert ids[0] in outcome.error["message"]
    assert git(workspace, "rev-parse", "HEAD") == before


def test_rollback_goes_forward_to_the_previous_champion(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    cortex("promote", "dispatch", ids[1])
    count = int(git(workspace, "rev-list", "--count", "HEAD"))
    data = cortex("rollback", "dispatch", "--json").data
    assert (data["before"], data["after"], data["generation"]) == (ids[1], ids[0], 3)
    assert int(git(workspace, "rev-list", "--count", "HEAD")) == count + 1


def test_rollback_without_a_previous_champion_is_refused(cortex: "Program", workspace: Path) -> None:
    outcome = cortex("rollback", "dispatch")
    assert outcome.code == 2
    assert "has no previous champion" in outcome.err


@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_a_mistyped_agent_is_recognised(verb: str, cortex: "Program", ids: tuple[str, str]) -> None:
    outcome = cortex(verb, "dispach", *([ids[1]] if verb == "promote" else []))
    assert outcome.code == 2
    assert "did you mean 'dispatch'?" in outcome.err


def add_experiment(workspace: Path, ids: tuple[str, str], outcome: str) -> str:
    registry = Registry(Workspace(workspace))
    begun = Experiment(id="first", agent="dispatch", champion=ids[0], challengers=(ids[1],))
    actions.add_experiment(registry, begun)
    verdict = Verdict(outcome=outcome, challenger=ids[1], reason="as measured", tasks=100)  # type: ignore[arg-type]  # a literal, as a parameter
    ended = Experiment(
        id="first", agent="dispatch", champion=ids[0], challengers=(ids[1],), state="decided", verdict=verdict
    )
    actions.finish_experiment(registry, ended)
    return "first"


def test_promote_cites_the_experiment_whose_verdict_is_to_promote(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    experiment = add_experiment(workspace, ids, "promote")
    assert cortex("promote", "dispatch", ids[1], "--experiment", experiment).code == 0
    assert cortex("log", "dispatch", "-n", "1", "--json").data["events"][0]["run_id"] == experiment


def test_promote_does_not_cite_an_experiment_that_says_otherwise(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    experiment = add_experiment(workspace, ids, "hold")
    outcome = cortex("promote", "dispatch", ids[1], "--experiment", experiment)
    assert outcome.code == 12
    assert "'hold'" in outcome.err
    assert "as measured" in outcome.err
    assert cortex("status", "--json").data["agents"][0]["champion"]["id"] == ids[0]


def test_an_experiment_speaks_only_against_the_champion_it_was_run_against(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    experiment = add_experiment(workspace, ids, "promote")
    cortex("promote", "dispatch", ids[1])
    cortex("rollback", "dispatch")
    cortex("promote", "dispatch", ids[1])
    outcome = cortex("promote", "dispatch", ids[0], "--experiment", experiment)
    assert outcome.code == 12


def test_log_is_newest_first_and_limited(cortex: "Program", ids: tuple[str, str]) -> None:
    cortex("promote", "dispatch", ids[1])
    events = cortex("log", "--json").data["events"]
    assert [event["action"] for event in events[:2]] == ["promote", "promote"]
    assert events[-1]["action"] == "init"
    assert cortex("log", "-n", "1", "--json").data["events"] == events[:1]
    assert len(cortex("log").out.splitlines()) == len(events)


def test_log_of_one_agent_leaves_the_others_out(cortex: "Program", workspace: Path) -> None:
    targets = {event["target"] for event in cortex("log", "dispatch", "--json").data["events"]}
    assert targets == {"dispatch"}


def test_log_of_an_unknown_agent_is_an_error(cortex: "Program", workspace: Path) -> None:
    assert cortex("log", "nobody").code == 2


def test_log_shows_commits_of_the_user_only_when_asked(cortex: "Program", workspace: Path) -> None:
    git(workspace, "-c", "user.name=u", "-c", "user.email=u@localhost", "commit", "-q", "--allow-empty", "-m", "mine")
    subjects = [event["subject"] for event in cortex("log", "--json").data["events"]]
    assert "mine" not in subjects
    assert cortex("log", "--all", "--json").data["events"][0]["subject"] == "mine"


def test_diff_shows_what_a_promotion_changed(cortex: "Program", workspace: Path, ids: tuple[str, str]) -> None:
    cortex("promote", "dispatch", ids[1])
    changes = cortex("diff", "--json").data["changes"]
    assert [(change["path"], change["kind"]) for change in changes] == [("registry/agents/dispatch.toml", "changed")]
    page = cortex("diff").out
    assert f'+champion = "{ids[1]}"' in page
    assert f'-champion = "{ids[0]}"' in page


def test_diff_with_an_unknown_commit_is_an_error(cortex: "Program", workspace: Path) -> None:
    assert cortex("diff", "--output=x").code == 2
    assert cortex("diff", "nowhere").code == 2


def test_fsck_of_a_sound_workspace_ends_with_0(cortex: "Program", workspace: Path) -> None:
    outcome = cortex("fsck", "--read-data")
    assert (outcome.code, outcome.out) == (0, "everything is whole\n")


def test_fsck_reports_a_forged_account_and_ends_with_13(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    forged = f"promote(dispatch)\n\nCortex-Action: promote\nCortex-Target: dispatch\nCortex-To: {ids[1]}"
    git(workspace, "-c", "user.name=u", "-c", "user.email=u@localhost", "commit", "-q", "--allow-empty", "-m", forged)
    outcome = cortex("fsck", "--json")
    assert outcome.code == 13
    report = json.loads(outcome.out)
    assert (report["ok"], outcome.err) == (False, "")
    assert report["data"]["errors"] == len(report["data"]["findings"]) > 0


def test_gc_dry_run_and_gc_and_undo_agree(cortex: "Program", workspace: Path) -> None:
    digest = ObjectStore(workspace / ".cortex" / "objects").put_bytes(b"nobody needs this")
    assert cortex("gc", "--dry-run", "--json").data["young"] == 1
    planned = cortex("gc", "--dry-run", "--grace", "0", "--json").data
    assert planned["unused"] == [digest]
    assert cortex("gc", "--grace", "0", "--json").data["unused"] == [digest]
    assert not ObjectStore(workspace / ".cortex" / "objects").has(digest)
    assert cortex("gc", "--undo", "--json").data == {"restored": [digest]}
    assert ObjectStore(workspace / ".cortex" / "objects").has(digest)


def test_gc_cannot_undo_and_plan_at_once(cortex: "Program", workspace: Path) -> None:
    assert cortex("gc", "--undo", "--dry-run").code == 2


def test_doctor_says_what_the_loop_waits_for(cortex: "Program", workspace: Path) -> None:
    outcome = cortex("doctor", "--json")
    checks = {row["check"]: row for row in outcome.data["checks"]}
    assert outcome.code == 0
    assert checks["git"]["state"] == "ok"
    assert checks["agent dispatch"]["found"] == "nothing collected yet"
    assert checks["agent dispatch"]["advice"] == "cortex collect SOURCE --agent dispatch"


def test_doctor_reports_broken_settings_instead_of_failing_on_them(cortex: "Program", workspace: Path) -> None:
    (workspace / "cortex.toml").write_text("schema = 1\nthreds = 1\n", encoding="utf-8")
    outcome = cortex("doctor", "--json")
    assert outcome.code == 1
    settings = next(row for row in outcome.data["checks"] if row["check"] == "settings")
    assert settings["state"] == "fail"
    assert "threads" in settings["found"]


def test_doctor_outside_of_a_workspace_checks_the_machine(cortex: "Program") -> None:
    checks = {row["check"]: row for row in cortex("doctor", "--json").data["checks"]}
    assert checks["workspace"]["advice"] == "cortex init"
    assert "python" in checks


def test_the_actor_of_a_commit_comes_from_the_settings(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    cortex("promote", "dispatch", ids[1], environ={"CORTEX_ACTOR": "cron"})
    assert cortex("log", "-n", "1", "--json").data["events"][0]["actor"] == "cron"


def test_a_held_lock_ends_a_write_with_11_after_the_wait(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    with hold(Registry(Workspace(workspace)).lock_path, purpose="a test"):
        outcome = cortex("promote", "dispatch", ids[1], "--wait", "0")
    assert outcome.code == 11
    assert "a test" in outcome.err


def test_status_for_people_shows_challengers_previous_and_experiment(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    cortex("promote", "dispatch", ids[1])
    registry = Registry(Workspace(workspace))
    actions.add_experiment(
        registry, Experiment(id="first", agent="dispatch", champion=ids[1], challengers=(ids[0],), mode="split")
    )
    page = cortex("status").out
    assert f"  challenger  {ids[0]} (tiny + prompts/dispatch/main.md), 50% of traffic" in page
    assert f"  previous    {ids[0]}" in page
    assert "  experiment  first, split, running" in page
    view = cortex("status", "--json").data["agents"][0]
    assert view["experiment"] == {"id": "first", "mode": "split", "outcome": "", "state": "running", "tasks": 0}
    assert view["champion"]["share"] == 0.5


def test_log_for_people_shows_who_and_plain_shows_fields(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    line = cortex("log", "-n", "1").out
    assert line.endswith(f"promote(dispatch): champion none -> {ids[0]}  (human)\n")
    fields = cortex("log", "-n", "1", "--plain").out.rstrip("\n").split("\t")
    assert (len(fields), fields[0], fields[2]) == (6, git(workspace, "rev-parse", "HEAD"), "human")


def test_log_shows_a_forged_account_as_a_fault(cortex: "Program", workspace: Path) -> None:
    forged = "x\n\nCortex-Action: promote\nCortex-Action: init\nCortex-Target: dispatch"
    git(workspace, "-c", "user.name=u", "-c", "user.email=u@localhost", "commit", "-q", "--allow-empty", "-m", forged)
    assert "FAULT: " in cortex("log", "-n", "1").out


def test_fsck_for_people_names_fault_place_and_next_step(cortex: "Program", workspace: Path) -> None:
    lock = workspace / ".git" / "index.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    outcome = cortex("fsck")
    assert outcome.code == 0  # a warning, not an error
    assert f"warning {lock}: a lock file of git" in outcome.out
    assert "  next: cortex fsck --repair" in outcome.out
    assert cortex("promote", "dispatch", "dispatch-000000000000", "--wait", "0").code == 11
    assert f"repaired {lock}: removed a stale lock file" in cortex("fsck", "--repair").out
    assert cortex("fsck").out == "everything is whole\n"


def test_fsck_reads_the_content_only_when_asked(cortex: "Program", workspace: Path) -> None:
    store = ObjectStore(workspace / ".cortex" / "objects")
    path = store.path(store.put_bytes(b"some content"))
    path.chmod(0o644)
    path.write_bytes(b"ruin content")
    assert cortex("fsck").code == 0
    outcome = cortex("fsck", "--read-data")
    assert outcome.code == 13
    assert outcome.out.startswith("error sha256:")


def test_gc_for_people_says_what_goes_and_how_to_take_it_back(cortex: "Program", workspace: Path) -> None:
    ObjectStore(workspace / ".cortex" / "objects").put_bytes(b"nobody needs this")
    assert cortex("gc", "--dry-run", "--grace", "0").out.startswith("1 objects of 17 bytes would go to the trash\n")
    outcome = cortex("gc", "--grace", "0")
    assert outcome.out.startswith("1 objects of 17 bytes went to the trash\n")
    assert outcome.err == "  back: cortex gc --undo\n"
    assert cortex("gc", "--undo").out == "1 objects came back from the trash\n"


def test_doctor_for_people_is_a_table_and_advice(cortex: "Program", workspace: Path) -> None:
    lines = cortex("doctor").out.splitlines()
    assert lines[0].split() == ["CHECK", "STATE", "FOUND"]
    assert "agent dispatch: cortex collect SOURCE --agent dispatch" in lines
    plain = [line.split("\t") for line in cortex("doctor", "--plain").out.splitlines()]
    assert {len(line) for line in plain} == {4}


def collect_one(workspace: Path) -> None:
    record = Interaction(id="i-1", agent="dispatch", time="2026-01-02T03:04:05Z", messages=(Message("user", "hi"),))
    with Journal(workspace / ".cortex" / "journal.db") as journal:
        journal.append([record])


def test_doctor_follows_the_loop_from_stage_to_stage(cortex: "Program", workspace: Path, ids: tuple[str, str]) -> None:
    def next_step() -> tuple[str, str]:
        rows = {row["check"]: row for row in cortex("doctor", "--json").data["checks"]}
        return rows["agent dispatch"]["found"], rows["agent dispatch"]["advice"]

    collect_one(workspace)
    assert next_step() == ("1 interactions, no dataset version yet", "cortex curate")
    add_dataset(workspace, rows=60)
    assert next_step() == ("60 of 100 examples needed to train", "cortex collect, then cortex curate")
    add_dataset(workspace, rows=200, version="v0002")
    assert next_step() == (f"champion {ids[0]}, generation 1", "")

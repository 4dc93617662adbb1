"""The curation stage on a workspace of its own: versions, doing nothing, redaction, suites, kills."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex_cli.collect.redact import current_stamp
from cortex_cli.curate.spec import CurateSpec, Decontaminate, Split
from cortex_cli.curate.versions import read_examples, read_sealed, verify_version
from cortex_cli.domain.errors import LockedError, UsageError
from cortex_cli.domain.interactions import Feedback, Interaction, Message
from cortex_cli.domain.manifests import DatasetVersion
from cortex_cli.pipeline.curating import Made, Means, curate_recipe
from cortex_cli.pipeline.evaluating import find_suite
from cortex_cli.pipeline.forgetting import LOCK
from cortex_cli.pipeline.lineage import open_trail, trace_interaction
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.pipeline.recipes import Recipe
from cortex_cli.registry.fsck import check
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.workspace import Workspace

STAMP = current_stamp("standard")
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SPEC = CurateSpec(agent="dispatch", split=Split(0.5, 0.2, 0.3))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("curating") / "work"
    start_workspace(root, name="work")
    return root


@pytest.fixture
def place(started: Path, tmp_path: Path) -> Place:
    root = tmp_path / "work"
    shutil.copytree(started, root, symlinks=True)
    ticks = iter(range(1_000_000))
    return open_place(Workspace(root), now=lambda: START + timedelta(seconds=next(ticks)))


def make(number: int, request: str = "", output: str = "", **fields: Any) -> Interaction:
    return Interaction(
        **{
            "id": f"i-{number:024x}",
            "agent": "dispatch",
            "time": "2026-01-02T03:04:05Z",
            "messages": (Message("user", request or f"request {number}"),),
            "output": output or f"answer {number}",
            "outcome": "success",
            "redaction": STAMP,
            **fields,
        }
    )


def keep(place: Place, *records: Interaction | Feedback) -> None:
    with Journal(place.workspace.journal_path) as journal:
        journal.append(records)


def curate(place: Place, *, record: bool = True, **fields: Any) -> Made:
    means = fields.pop("means", Means(threads=1))
    recipe = Recipe(curate=msgspec.structs.replace(SPEC, **fields))
    return curate_recipe(place, recipe, name="bench", record=record, means=means)


def asked(place: Place, version: DatasetVersion) -> set[str]:
    found = [*read_examples(place.objects, version, ""), *read_sealed(place.objects, version)]
    return {example.messages[0].content for example in found}


def test_a_version_says_what_it_was_made_of(place: Place) -> None:
    keep(place, *(make(number) for number in range(30)))
    version = curate(place).version
    assert (version.name, version.version, version.parent, version.recipe) == ("dispatch", "v0001", "", "bench")
    assert version.redaction == STAMP
    assert version.algorithms["duplicates"] == "dedup/v1"
    assert version.counts["examples"] == 30
    assert version.journal == (1, 30)
    assert place.registry.snapshot().dataset("dispatch") == version
    assert verify_version(place.objects, version) == []
    assert check(place.registry, place.objects) == []


def test_with_nothing_new_the_journal_is_not_read(place: Place) -> None:
    keep(place, *(make(number) for number in range(10)))
    first = curate(place)
    head = place.registry.snapshot().commit
    again = curate(place, means=Means(threads=1, told=lambda what, _: pytest.fail(what)))
    assert again.known
    assert again.version == first.version
    assert place.registry.snapshot().commit == head


def test_what_belongs_to_another_agent_is_no_news(place: Place) -> None:
    keep(place, *(make(number) for number in range(10)))
    curate(place)
    keep(place, make(99, agent="shell"))
    assert curate(place, means=Means(threads=1, told=lambda what, _: pytest.fail(what))).known


def test_news_that_change_nothing_are_looked_at_once(place: Place) -> None:
    keep(place, *(make(number) for number in range(10)))
    curate(place)
    keep(place, make(11, outcome="failure", request="something else"))
    heard: list[str] = []
    again = curate(place, means=Means(threads=1, told=lambda what, _: heard.append(what)))
    assert again.known
    assert "read" in heard
    assert curate(place, means=Means(threads=1, told=lambda what, _: pytest.fail(what))).known


def test_late_feedback_is_news(place: Place) -> None:
    keep(place, *(make(number) for number in range(10)))
    curate(place)
    keep(place, Feedback(id="f-1", target=make(3).id, kind="boolean", time="", thumbs=False, redaction=STAMP))
    made = curate(place)
    assert not made.known
    assert (made.version.version, made.version.parent) == ("v0002", "dispatch/v0001")
    assert "request 3" not in asked(place, made.version)


def test_another_setting_is_another_look(place: Place) -> None:
    keep(place, *(make(number) for number in range(10)))
    curate(place)
    assert curate(place, limit=5).version.version == "v0002"


def test_a_lost_note_costs_a_look_and_changes_nothing(place: Place) -> None:
    keep(place, *(make(number) for number in range(10)))
    first = curate(place)
    note = place.workspace.private / "curated" / "bench.json"
    note.write_bytes(b"{torn")
    assert curate(place) == Made(first.version, {}, "", known=True)


def test_a_dry_run_makes_no_version_and_no_note(place: Place) -> None:
    keep(place, *(make(number) for number in range(10)))
    head = place.registry.snapshot().commit
    made = curate(place, record=False)
    assert (made.version.version, made.commit) == ("v0001", "")
    assert place.registry.snapshot().commit == head
    assert not curate(place).known


def test_what_was_never_masked_is_masked_before_it_is_learned(place: Place) -> None:
    told = make(2, "write to anna.smith@example.org", redaction="")
    correction = Feedback(
        id="f-1", target=make(1).id, kind="demonstration", time="", demonstration="ask bob@example.org"
    )
    keep(place, make(1), told, correction)
    version = curate(place).version
    examples = [*read_examples(place.objects, version, ""), *read_sealed(place.objects, version)]
    text = repr(examples)
    assert "example.org" not in text
    assert text.count("<EMAIL_") == 2
    assert version.redaction == STAMP


def test_a_workspace_that_masks_nothing_takes_records_as_they_are(place: Place) -> None:
    keep(place, make(2, "write to anna.smith@example.org", redaction=""))
    version = curate(place, means=Means("off", threads=1)).version
    assert asked(place, version) == {"write to anna.smith@example.org"}
    assert version.redaction == ""


def test_suites_are_packs_files_and_parts_of_datasets(place: Place) -> None:
    pack = place.workspace.root / "datasets" / "texts" / "mine" / "held.jsonl.gz"
    pack.parent.mkdir(parents=True)
    with gzip.open(pack, "wt", encoding="utf-8") as file:
        file.write(json.dumps({"question": "request 1", "answer": "42"}) + "\n")
    (place.workspace.root / "held.jsonl").write_text(json.dumps({"request": "Request 2!", "reference": "x"}) + "\n")
    keep(place, *(make(number) for number in range(30)))
    sealed = {example.messages[0].content for example in read_sealed(place.objects, curate(place).version)}
    assert sealed
    suites = ("mine/held", "held.jsonl", "dispatch:test")
    version = curate(place, dataset="clean", decontaminate=Decontaminate(suites=suites)).version
    assert asked(place, version).isdisjoint(sealed | {"request 1", "request 2"})
    assert version.contaminated["dispatch:test"] == len(sealed - {"request 1", "request 2"})
    assert set(version.suites) == set(suites)
    assert version.rejected["contaminated_exact"] == sum(version.contaminated.values())


def test_a_suite_of_other_content_is_another_look(place: Place) -> None:
    suite = place.workspace.root / "held.jsonl"
    suite.write_text(json.dumps({"request": "request 2", "reference": "x"}) + "\n")
    keep(place, *(make(number) for number in range(10)))
    spec = Decontaminate(suites=("held.jsonl",))
    curate(place, decontaminate=spec)
    suite.write_text(json.dumps({"request": "request 3", "reference": "x"}) + "\n")
    assert "request 3" not in asked(place, curate(place, decontaminate=spec).version)


@pytest.mark.parametrize(
    ("suite", "told"),
    [("nowhere", "is no pack"), ("no.jsonl", "does not exist"), ("../x", "not allowed"), ("nix:test", "nix")],
)
def test_a_suite_that_is_not_there_is_named(place: Place, suite: str, told: str) -> None:
    keep(place, make(1))
    with pytest.raises(UsageError, match=told):
        curate(place, decontaminate=Decontaminate(suites=(suite,)))


def test_the_sealed_part_is_what_evaluation_reads(place: Place) -> None:
    keep(place, *(make(number) for number in range(30)), make(30, "request 1", "wrong", outcome="failure"))
    version = curate(place).version
    suite = find_suite(place, place.registry.snapshot(), "dispatch")
    assert suite.name == "dispatch/v0001:test"
    assert len(suite.cases) == version.parts["test"].rows


def test_a_merged_interaction_leads_to_the_version_that_holds_its_words(place: Place) -> None:
    keep(
        place, make(1, "list files", "ls"), make(2, "LIST files", "ls"), make(3, "list files", "dir", outcome="failure")
    )
    version = curate(place).version
    assert version.counts["examples"] == 1
    with Journal(place.workspace.journal_path) as journal:
        trail = open_trail(place, journal)
        for number in (1, 2, 3):
            found = trace_interaction(trail, make(number).id)
            assert [node.id for node in found.went_into] == ["dispatch/v0001"]


def test_nothing_is_curated_while_something_is_forgotten(place: Place) -> None:
    keep(place, make(1))
    with hold(place.workspace.locks_root / LOCK, purpose="forget"), pytest.raises(LockedError, match="forget"):
        curate(place, means=Means(threads=1, wait=0.0))


def test_without_an_example_there_is_no_version_and_the_reasons_are_told(place: Place) -> None:
    keep(place, make(1, outcome="unknown"), make(2, outcome="failure"))
    with pytest.raises(UsageError, match="1 outcome_failure, 1 unjudged"):
        curate(place)


def curate_in_process(place: Place) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "cortex_cli", "-C", str(place.workspace.root), "curate", "dispatch", "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.kill
# Importing takes 0.3 s on a fast machine, the work about a second: on any machine some of these fall into it.
@pytest.mark.parametrize("delay", [0.2, 0.6, 1.2])
def test_a_kill_leaves_no_half_version_and_no_text_and_the_next_call_completes(place: Place, delay: float) -> None:
    keep(place, *(make(number, f"request {number} " + "word " * 40) for number in range(3000)))
    process = curate_in_process(place)
    with suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=delay)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    versions = place.registry.snapshot().datasets("dispatch")
    assert all(verify_version(place.objects, version) == [] for version in versions)
    done = curate_in_process(place)
    out, _ = done.communicate()
    assert done.returncode == 0
    version = json.loads(out)["data"]["version"]
    assert version["version"] == "v0001"
    assert version["counts"]["examples"] > 0
    assert verify_version(place.objects, place.registry.snapshot().dataset("dispatch")) == []

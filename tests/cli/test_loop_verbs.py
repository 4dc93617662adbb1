"""curate, train, evaluate and demo as a user types them, on the shipped base."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.pipeline.traffic import read_dispatch_requests
from cortex_cli.store.starter import starter_root

if TYPE_CHECKING:
    from tests.cli.conftest import Program

pytestmark = pytest.mark.model

LOOP = "epochs = 1.0\nmax_seconds = 0.0\nthreads = 1\n"


@pytest.fixture
def lab(cortex: "Program", tmp_path: Path) -> Path:
    """A fresh workspace with 96 corrected answers of dispatch in its journal and a short recipe."""
    root = tmp_path / "lab"
    assert cortex("init", str(root)).code == 0
    cortex.environ["CORTEX_WORKSPACE"] = str(root)
    requests = read_dispatch_requests(starter_root() / "datasets" / "texts", "train")[::150][:96]
    lines = []
    for number, request in enumerate(requests):
        messages = [{"role": "user", "content": request.text}]
        seen = {"id": f"i-{number:024x}", "agent": "dispatch", "time": "2026-01-05T09:00:00Z", "messages": messages}
        verdict = {"target": seen["id"], "kind": "demonstration", "demonstration": request.reference}
        lines += [{**seen, "output": "{}"}, {**verdict, "time": "2026-01-05T09:00:01Z"}]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert cortex("collect", str(log), "--agent", "dispatch").code == 0
    recipe = root / "recipes" / "dispatch.toml"
    text = recipe.read_text(encoding="utf-8")
    text = text.replace("epochs = 6.0\nmax_seconds = 115.0\n", LOOP).replace("min_examples = 1000", "min_examples = 20")
    recipe.write_text(text, encoding="utf-8")
    return root


def drop_gates(lab: Path) -> None:
    recipe = lab / "recipes" / "dispatch.toml"
    before, _, rest = recipe.read_text(encoding="utf-8").partition("[evaluate]")
    recipe.write_text(before + "[release]" + rest.partition("[release]")[2], encoding="utf-8")


def test_the_loop_from_the_shell(cortex: "Program", lab: Path) -> None:
    made = cortex("curate", "dispatch", "--json").data
    assert made["version"]["counts"]["examples"] == 96
    assert not made["known"]

    drop_gates(lab)  # five cases decide no gate
    planned = cortex("train", "dispatch", "--dry-run", "--json").data["plan"]
    trained = cortex("train", "dispatch", "--json").data
    again = cortex("train", "dispatch")
    assert planned["done"] == ""
    assert trained["adapter"]["run"] == planned["digest"]
    assert "nothing to do" in again.out

    scored = cortex("evaluate", trained["variant"], "--suite", "dispatch:test", "--json").data
    assert scored["champion"]["suite_digest"] == scored["scores"]["suite_digest"]
    assert 0 <= scored["scores"]["low"] <= scored["scores"]["success"] <= scored["scores"]["high"] <= 1

    moved = cortex("promote", "dispatch", trained["variant"], "--json")
    assert moved.code == 0
    assert cortex("fsck", "--json").code == 0

    adapter = trained["adapter"]["id"]
    assert [each["id"] for each in cortex("adapter", "ls", "--json").data["adapters"]] == [adapter]
    assert "dispatch/v0001" in cortex("adapter", "card", adapter).out
    assert cortex("adapter", "export", adapter, str(lab / "files")).code == 0
    assert {path.name for path in (lab / "files").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    whole = cortex("adapter", "export", adapter, str(lab / "whole"), "--merged", "--json").data
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(whole["files"])
    refused = cortex("adapter", "export", adapter, str(lab / "whole"))
    assert (refused.code, "is there already" in refused.err) == (2, True)


def test_what_the_gates_found_is_kept_with_the_adapter_also_when_they_refuse(cortex: "Program", lab: Path) -> None:
    assert cortex("curate", "dispatch").code == 0
    recipe = lab / "recipes" / "dispatch.toml"
    text = recipe.read_text(encoding="utf-8")
    before, _, rest = text.partition("[evaluate.gates]")
    gates = "[evaluate.gates]\nmin_success = 1.0\nmax_loss = 1.0\nmin_change = 0.001\n\n[release]"
    recipe.write_text(before + gates + rest.partition("[release]")[2], encoding="utf-8")
    trained = cortex("train", "dispatch", "--json").data
    assert (trained["variant"], [gate["outcome"] for gate in trained["gates"] if gate["name"] == "success"]) == (
        "",
        ["failed"],
    )
    (kept,) = cortex("adapter", "ls", "--json").data["adapters"]
    assert kept["evaluation"]["name"] == "gates.json"
    assert 0 <= kept["scores"]["dispatch/v0001:test"] < 1
    assert cortex("fsck", "--json").code == 0
    assert cortex("gc", "--json").code == 0
    assert "success" in cortex("adapter", "card", kept["id"]).out


def test_curating_twice_says_that_nothing_is_new(cortex: "Program", lab: Path) -> None:
    first = cortex("curate", "dispatch")
    second = cortex("curate", "dispatch")

    assert "dispatch/v0001: 96 examples from 96 interactions" in first.out
    assert second.code == 0
    assert second.out.startswith("nothing new: dispatch/v0001 already holds this journal")


def test_a_dry_run_of_curate_records_nothing(cortex: "Program", lab: Path) -> None:
    outcome = cortex("curate", "dispatch", "--dry-run")

    assert "dry run: nothing was recorded" in outcome.out
    assert cortex("dataset", "ls", "--json").data["datasets"] == []


def test_too_few_examples_are_refused_with_both_numbers(cortex: "Program", lab: Path) -> None:
    recipe = lab / "recipes" / "dispatch.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("min_examples = 20", "min_examples = 5000"))
    cortex("curate", "dispatch")
    outcome = cortex("train", "dispatch")

    assert outcome.code == 2
    assert "training examples, the recipe asks for 5000" in outcome.err
    assert "nothing was trained" in outcome.err


def test_a_gate_that_refuses_ends_with_three_only_when_asked(cortex: "Program", lab: Path, tmp_path: Path) -> None:
    champion = cortex("status", "--json").data["agents"][0]["champion"]["id"]
    suite = tmp_path / "suite.jsonl"
    suite.write_text(json.dumps({"request": "flip a coin", "reference": '{"tool": "never"}'}) + "\n")
    recipe = lab / "recipes" / "dispatch.toml"
    recipe.write_text(recipe.read_text().replace("[evaluate.gates]", "[evaluate.gates]\nmin_success = 0.5"))
    asked = ("evaluate", champion, "--suite", str(suite), "--recipe", "dispatch")

    assert cortex(*asked).code == 0
    refused = cortex(*asked, "--exit-code")
    assert refused.code == 3
    assert "0.0% right of 1, at least 50% asked" in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "shell"), "no [train], [pretrain] or [tagger] table"),
        (("train", "dipatch"), "did you mean 'dispatch'"),
        (("train", "dispatch"), "dispatch"),
        (("curate", "base"), "no [curate] table"),
        (("evaluate", "dispatch-000000000000", "--suite", "dispatch:test"), "dispatch"),
        (("evaluate", "nonsense", "--suite", "x.jsonl"), "does not exist"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_changes(
    cortex: "Program", lab: Path, arguments: tuple[str, ...], said: str
) -> None:
    before = cortex("log", "--json").data
    outcome = cortex(*arguments)

    assert outcome.code == 2
    assert said in outcome.err
    assert cortex("log", "--json").data == before


def test_the_plan_of_the_base_names_every_text_by_digest(cortex: "Program", lab: Path) -> None:
    plan = cortex("train", "base", "--dry-run", "--json").data["plan"]

    assert plan["stage"] == "pretrain"
    assert plan["inputs"]["text sgd/train"].startswith("sha256:")
    assert len(plan["inputs"]) == 10


def test_the_demo_refuses_a_folder_that_is_something_else(cortex: "Program", tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"x")
    outcome = cortex("demo", "--dir", str(tmp_path / "photos"))

    assert outcome.code == 2
    assert "exists and is not a workspace" in outcome.err
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_init_begins_an_agent_and_refuses_bad_words_before_it_makes_anything(cortex: "Program", tmp_path: Path) -> None:
    root = tmp_path / "new"

    assert cortex("init", str(root), "--agent", "../x").code == 2
    assert cortex("init", str(root), "--agent", "support", "--judge", "magic").code == 2
    assert not root.exists()
    made = cortex("init", str(root), "--agent", "support", "--judge", "command", "--json")
    assert made.data["agent"]["champion"].startswith("support-")
    again = cortex("init", str(root), "--agent", "support")
    assert again.code == 2
    assert "exists already" in again.err

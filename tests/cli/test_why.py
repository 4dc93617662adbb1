"""`cortex why` as a user meets it: a tree for people, an object for programs, an error with a next step."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.pipeline.scenes import Scene, answered, copy_scene, open_scene

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return open_scene(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def scene(cortex: "Program", made: Scene, tmp_path: Path) -> Scene:
    scene = copy_scene(made, tmp_path / "workspace")
    cortex.environ["CORTEX_WORKSPACE"] = str(scene.root)
    return scene


def test_an_answer_is_traced_as_a_tree_of_80_columns(cortex: "Program", scene: Scene) -> None:
    outcome = cortex("why", scene.failures[0].id)
    lines = outcome.out.splitlines()
    assert (outcome.code, outcome.err) == (0, "")
    assert max(map(len, lines)) <= 80
    assert lines[:2] == ["made of", f"  interaction {scene.failures[0].id}"]
    assert f"      adapter {scene.adapter.id}" in lines
    assert "        dataset dispatch/v0001" in lines
    assert lines[-2:] == ["went into", "  nothing yet"]


def test_the_tree_names_commits_and_counts(cortex: "Program", scene: Scene) -> None:
    out = cortex("why", "dispatch/v0001").out
    assert "interactions 10, kept 10, feedback on kept 10" in out
    assert out.count("commit ") == 3
    assert "role champion, generation 2" in out


def test_the_object_for_programs_has_both_directions(cortex: "Program", scene: Scene) -> None:
    data = cortex("why", scene.adapter.id, "--json").data
    assert (data["kind"], data["id"], data["made_of"]["id"]) == ("adapter", scene.adapter.id, scene.adapter.id)
    assert [node["kind"] for node in data["made_of"]["children"]] == ["model", "dataset"]
    assert data["went_into"][0]["children"][0]["facts"] == {"role": "champion", "generation": 2}


def test_plain_output_is_one_line_per_thing_after_its_depth(cortex: "Program", scene: Scene) -> None:
    rows = [line.split("\t") for line in cortex("why", scene.tuned.id, "--plain").out.splitlines()]
    assert [(row[0], row[1]) for row in rows] == [
        ("0", "variant"),
        ("1", "prompt"),
        ("1", "model"),
        ("1", "adapter"),
        ("2", "model"),
        ("2", "dataset"),
        ("3", "journal"),
        ("4", "source"),
        ("0", "agent"),
    ]


def test_what_is_missing_is_said_in_the_tree(cortex: "Program", scene: Scene) -> None:
    foreign = answered("hello", "hi", "")
    scene.append(foreign)
    assert "MISSING: recorded without a variant" in cortex("why", foreign.id).out


def test_an_unknown_id_ends_with_2_and_a_next_step(cortex: "Program", scene: Scene) -> None:
    outcome = cortex("why", "dispatch/v0002", "--json")
    assert outcome.code == 2
    assert "did you mean 'dispatch/v0001'" in outcome.error["message"]
    assert outcome.error["hint"]


def test_outside_of_a_workspace_it_ends_with_10(cortex: "Program") -> None:
    assert cortex("why", "i-1").code == 10

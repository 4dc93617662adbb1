"""Recipes of a workspace: listed, shown, checked, copied."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Program

SOUND = 'summary = "an adapter"\n[train]\nagent = "dispatch"\ndataset = "dispatch"\n'
BROKEN = 'sumary = "an adapter"\n[train]\nagent = 1\ndataset = "dispatch"\nmin_exampels = 3\n'


@pytest.fixture
def recipes(folder: Path) -> Path:
    (folder / "recipes" / "sound.toml").write_text(SOUND, encoding="utf-8")
    return folder / "recipes"


def test_ls_shows_the_stages_and_summary_of_each(cortex: "Program", recipes: Path) -> None:
    (recipes / "torn.toml").write_text("= ", encoding="utf-8")
    rows = {row["name"]: row for row in cortex("recipe", "ls", "--json").data["recipes"]}
    assert rows["sound"] == {"name": "sound", "stages": ["train"], "summary": "an adapter"}
    assert rows["torn"]["summary"].startswith("not TOML")
    assert cortex("recipe", "ls").out.splitlines()[1].split() == ["sound", "train", "an", "adapter"]


def test_show_prints_the_file_as_it_is(cortex: "Program", recipes: Path) -> None:
    assert cortex("recipe", "show", "sound").out == SOUND
    assert cortex("recipe", "show", str(recipes / "sound.toml")).out == SOUND
    data = cortex("recipe", "show", "sound", "--json").data
    assert (data["path"], data["text"]) == ("recipes/sound.toml", SOUND)


def test_validate_reports_every_fault_of_every_recipe(cortex: "Program", recipes: Path) -> None:
    assert cortex("recipe", "validate").code == 0
    (recipes / "broken.toml").write_text(BROKEN, encoding="utf-8")
    outcome = cortex("recipe", "validate")
    assert (outcome.code, outcome.err) == (2, "")
    assert "sound: sound\n" in outcome.out
    assert "did you mean 'summary'?" in outcome.out
    assert "did you mean 'min_examples'?" in outcome.out
    assert "train.agent" in outcome.out


def test_validate_of_one_recipe_leaves_the_others_out(cortex: "Program", recipes: Path) -> None:
    (recipes / "broken.toml").write_text(BROKEN, encoding="utf-8")
    assert cortex("recipe", "validate", "sound").code == 0
    assert [row["name"] for row in cortex("recipe", "validate", "sound", "--json").data["recipes"]] == ["sound"]


def test_the_recipes_that_ship_with_cortex_are_sound(cortex: "Program", tmp_path: Path) -> None:
    root = tmp_path / "fresh"
    cortex("init", str(root))
    outcome = cortex("recipe", "validate", "-C", str(root))
    assert outcome.code == 0, outcome.out


def test_cp_copies_a_recipe_and_never_overwrites(cortex: "Program", recipes: Path) -> None:
    assert cortex("recipe", "cp", "sound", "mine").code == 0
    assert (recipes / "mine.toml").read_text(encoding="utf-8") == SOUND
    (recipes / "mine.toml").write_text("changed", encoding="utf-8")
    outcome = cortex("recipe", "cp", "sound", "mine")
    assert outcome.code == 2
    assert (recipes / "mine.toml").read_text(encoding="utf-8") == "changed"


def test_cp_finds_the_recipes_that_ship_with_cortex(cortex: "Program", recipes: Path) -> None:
    assert cortex("recipe", "cp", "base", "mine").code == 0
    assert "[pretrain]" in (recipes / "mine.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "UPPER", "a b", ""])
def test_a_name_that_is_a_path_is_refused(name: str, cortex: "Program", recipes: Path) -> None:
    assert cortex("recipe", "cp", "sound", name).code == 2
    assert cortex("recipe", "show", name).code == 2
    assert sorted(path.name for path in recipes.iterdir()) == ["sound.toml"]


@pytest.mark.parametrize("verb", ["show", "validate"])
def test_a_mistyped_recipe_is_recognised(verb: str, cortex: "Program", recipes: Path) -> None:
    outcome = cortex("recipe", verb, "soudn")
    assert outcome.code == 2
    assert outcome.err.startswith("error: there is no recipe 'soudn', did you mean 'sound'?")

import hashlib
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from cortex_cli.collect.redact import Redactor, default_names
from cortex_cli.domain.errors import UsageError
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.pipeline.recipes import Recipe, load_recipe
from cortex_cli.pipeline.tagging import BuiltTagger, build_tagger, plan_tagger
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.starter import starter_root
from cortex_cli.store.workspace import Workspace
from cortex_cli.train.spec import TaggerSpec

pytestmark = pytest.mark.model

MINI = TaggerSpec(
    name="mini-names",
    marked=("presidio/synth",),
    templates="cortex_names",
    swaps=0,
    fillings=1,
    clean=50,
    width=8,
    hidden=8,
    narrow=2,
    epochs=2,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = start_workspace(tmp_path_factory.mktemp("names") / "lab").root
    return open_place(Workspace(root), now=lambda: datetime(2026, 1, 5, tzinfo=UTC))


@pytest.fixture(scope="module")
def built(place: Place) -> BuiltTagger:
    return build_tagger(place, Recipe(tagger=MINI), name="mini")


def test_weights_card_and_manifest_lie_together(built: BuiltTagger) -> None:
    manifest = tomllib.loads((built.folder / "manifest.toml").read_text())
    card = (built.folder / "README.md").read_text()
    digest = "sha256:" + hashlib.sha256((built.folder / "model.safetensors").read_bytes()).hexdigest()
    assert manifest["digest"] == built.digest == digest
    assert manifest["step"].startswith("sha256:")
    assert "Made by `recipes/mini.toml`" in card
    assert f"| texts | {built.figures['texts']:,} |" in card


def test_a_redactor_can_use_what_was_built(built: BuiltTagger) -> None:
    masked = Redactor(b"k" * 32, names=built.folder / "model.safetensors").redact_text("mail a@example.org")
    assert masked.startswith("mail <EMAIL_")


def test_nothing_is_committed(place: Place, built: BuiltTagger) -> None:
    assert built.folder.is_relative_to(place.workspace.private)
    assert place.registry.git.run("status", "--porcelain").strip() in {"", b""}


def test_the_plan_names_every_text_by_its_digest(place: Place) -> None:
    step = plan_tagger(place, Recipe(tagger=MINI))
    assert {"recipe", "text presidio/synth.jsonl.gz", "text cortex_names/templates.txt"} <= set(step.inputs)
    other = plan_tagger(place, Recipe(tagger=msgspec.structs.replace(MINI, seed=1)))
    assert step.digest != other.digest


def test_a_pack_that_does_not_ship_is_named_before_anything_is_trained(place: Place) -> None:
    bad = msgspec.structs.replace(MINI, marked=("no/such",))
    with pytest.raises(UsageError, match=r"such\.jsonl\.gz"):
        plan_tagger(place, Recipe(tagger=bad))


def test_a_recipe_without_the_table_is_refused(place: Place) -> None:
    with pytest.raises(UsageError, match=r"no \[tagger\] table"):
        plan_tagger(place, Recipe())


def test_the_shipped_weights_are_those_of_the_shipped_recipe() -> None:
    folder = default_names().parent
    manifest = tomllib.loads((folder / "manifest.toml").read_text())
    assert manifest["digest"] == "sha256:" + hashlib.sha256(default_names().read_bytes()).hexdigest()
    recipe = load_recipe(starter_root() / "recipes" / "names.toml")
    assert recipe.tagger is not None
    assert (recipe.tagger.name, manifest["name"], Path(manifest["recipe"]).stem) == (
        "cortex-names",
        "cortex-names",
        "names",
    )

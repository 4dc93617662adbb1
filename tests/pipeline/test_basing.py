from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.bases import digest_folder, find_folder
from cortex_cli.models.generation import load_model
from cortex_cli.pipeline.basing import BuiltBase, build_base, plan_recipe_base
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.pipeline.recipes import Recipe
from cortex_cli.registry.fsck import check
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.workspace import Workspace
from cortex_cli.train.spec import LoopSpec, PretrainSpec, ShapeSpec, TextSpec

pytestmark = pytest.mark.model

# Takes the name of the shipped base on purpose: a rebuild must not replace it.
MINI = PretrainSpec(
    name="cortex-tiny",
    texts=(
        TextSpec(pack="clinc150/train", reader="utterance", share=0.02),
        TextSpec(pack="tldr/pages", reader="command", share=0.01),
    ),
    shape=ShapeSpec(vocabulary=400, hidden=32, layers=1, heads=2, feed_forward=64, context=64),
    loop=LoopSpec(learning_rate=3e-3, batch_tokens=1024, epochs=1.0, window=32, threads=1),
    held_out=0.05,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = start_workspace(tmp_path_factory.mktemp("base") / "lab").root
    return open_place(Workspace(root), now=lambda: datetime(2026, 1, 5, tzinfo=UTC))


@pytest.fixture(scope="module")
def built(place: Place) -> BuiltBase:
    return build_base(place, Recipe(pretrain=MINI), name="mini")


def test_a_rebuilt_base_is_registered_beside_the_shipped_one(place: Place, built: BuiltBase) -> None:
    snapshot = place.registry.snapshot()

    assert built.model.name.startswith("cortex-tiny-")
    assert snapshot.model(built.model.name) == built.model
    assert snapshot.model("cortex-tiny").kind == "embedded"
    assert snapshot.commit == built.commit
    assert check(place.registry, place.objects) == []


def test_it_can_be_found_checked_and_loaded(place: Place, built: BuiltBase) -> None:
    folder = find_folder(built.model, place.starter, place.workspace.root)

    assert folder == built.folder
    assert digest_folder(folder) == built.model.digest
    assert load_model(folder, max_tokens=2)([]) == []


def test_its_card_holds_the_figures_of_this_build(built: BuiltBase) -> None:
    card = (built.folder / "README.md").read_text(encoding="utf-8")

    assert "trained from scratch by `recipes/mini.toml`" in card
    assert f"| held out loss | {built.figures['held_out_loss']:,} |" in card
    assert f"| steps | {built.figures['steps']:,} |" in card


def test_building_it_again_gives_the_same_model_and_no_commit(place: Place, built: BuiltBase) -> None:
    again = build_base(place, Recipe(pretrain=MINI), name="mini")

    assert again.model == built.model
    assert place.registry.snapshot().commit == built.commit


def test_a_pack_that_does_not_ship_is_named_before_anything_is_trained(place: Place, tmp_path: Path) -> None:
    bad = PretrainSpec(name="x", texts=(TextSpec(pack="no/such", reader="dialogue"),))

    with pytest.raises(UsageError, match="'no/such' does not ship"):
        plan_recipe_base(place, Recipe(pretrain=bad))

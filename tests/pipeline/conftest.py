"""A workspace in which the loop ran once, on the shipped base and real utterances, in miniature."""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.manifests import Variant
from cortex_cli.pipeline.collecting import Sources, collect_sources
from cortex_cli.pipeline.curating import Made, curate_recipe
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.pipeline.recipes import Recipe, load_recipe
from cortex_cli.pipeline.traffic import Period, Request, read_dispatch_requests, replay_requests
from cortex_cli.pipeline.training import Trained, register_challenger, train_recipe
from cortex_cli.pipeline.variants import open_variant
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.workspace import Workspace

# A part of the tools, so that a few seconds of training tell the adapter from the base.
TOOLS = ("flip_coin", "roll_dice", "tell_joke", "spelling", "oil_change_how", "text", "flight_status", "gas_type")
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Lab:
    """The workspace, the recipe it ran, and what each stage left."""

    place: Place
    recipe: Recipe
    base: Variant
    made: Made
    trained: Trained
    challenger: Variant
    requests: list[Request]
    held_out: list[Request]


def of_tools(packs: Path, part: str, per_tool: int) -> list[Request]:
    found: dict[str, list[Request]] = {}
    for request in read_dispatch_requests(packs, part):
        found.setdefault(request.reference, []).append(request)
    wanted = [f'{{"tool": "{tool}"}}' for tool in TOOLS]
    return [request for group in zip(*(found[call][:per_tool] for call in wanted), strict=True) for request in group]


def small(recipe: Recipe) -> Recipe:
    assert recipe.train is not None
    loop = msgspec.structs.replace(recipe.train.loop, epochs=6.0, batch_tokens=512, max_seconds=0.0, threads=1)
    return msgspec.structs.replace(recipe, train=msgspec.structs.replace(recipe.train, loop=loop, min_examples=50))


def copy_lab(lab: Lab, root: Path) -> Lab:
    """A copy of *lab* in *root*, for tests that change its registry or its journal."""
    shutil.copytree(lab.place.workspace.root, root)
    ticks = iter(range(1_000_000))
    place = open_place(Workspace(root), now=lambda: START + timedelta(days=1, seconds=next(ticks)))
    return replace(lab, place=place)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    root = tmp_path_factory.mktemp("loop") / "lab"
    start_workspace(root, name="lab")
    ticks = iter(range(1_000_000))
    place = open_place(Workspace(root), now=lambda: START + timedelta(seconds=next(ticks)))
    packs = place.starter / "datasets" / "texts"
    requests, held_out = of_tools(packs, "train", 30), of_tools(packs, "val", 10)
    snapshot = place.registry.snapshot()
    base = snapshot.variant(snapshot.agent("dispatch").champion)
    log = root / ".cortex" / "week.jsonl"
    model = open_variant(place, snapshot, base)
    lines = replay_requests(
        model, requests, agent="dispatch", variant=base.id, judge="json", period=Period(START - timedelta(days=7), 7.0)
    )
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(b"".join(lines))
    collect_sources(place, Sources((str(log),), "cortex", "dispatch"))
    recipe = small(load_recipe(root / "recipes" / "dispatch.toml"))
    made = curate_recipe(place, recipe, name="dispatch")
    trained = train_recipe(place, recipe, name="dispatch")
    challenger = register_challenger(place, "dispatch", trained.adapter)
    return Lab(place, recipe, base, made, trained, challenger, requests, held_out)

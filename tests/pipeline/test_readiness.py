import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.manifests import Adapter, Model, Prices
from cortex_cli.pipeline.readiness import Ground, Readiness, read_pace, read_readiness
from cortex_cli.registry.actions import add_adapter, add_model, render_manifest
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.journal import Journal
from cortex_cli.train.spec import TrainSpec
from tests.pipeline.memories import NOW, Memory, copy_memory, make_version, open_memory, talk


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    return open_memory(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def memory(made: Memory, tmp_path: Path) -> Memory:
    return copy_memory(made, tmp_path / "workspace")


def ask(memory: Memory, trained: str = "") -> Readiness:
    place = memory.place
    with place.registry.snapshot() as snapshot, memory.journal() as journal:
        ground = Ground(snapshot, journal, place.objects, {"dispatch": trained} if trained else {}, NOW.date())
        return read_readiness(ground, place.workspace.root / "recipes")[0]


def write_recipe(memory: Memory, **table: object) -> None:
    base = {"agent": "dispatch", "dataset": "dispatch", "base": "tiny", "min_examples": 10} | table
    lines = ["[train]", *(f"{name} = {json.dumps(value)}" for name, value in base.items())]
    path = memory.place.workspace.root / "recipes" / "dispatch.toml"
    path.write_text("\n".join([*lines, "[train.loop]", "epochs = 3.0", ""]), encoding="utf-8")


def set_model(memory: Memory, **fields: object) -> None:
    draft = Model(name="tiny", kind="local", source="base")
    add_model(memory.place.registry, msgspec.structs.replace(draft, **fields))


def test_examples_are_held_against_what_the_recipe_asks_for(memory: Memory) -> None:
    found = ask(memory)
    assert (found.agent, found.recipe, found.dataset, found.state) == ("dispatch", "dispatch", "dispatch/v0002", "live")
    data = found.data_collection
    assert (data.training_examples, data.min_required, data.ready, data.progress_percent) == (5, 10, False, 50.0)
    write_recipe(memory, min_examples=5)
    assert ask(memory).data_collection.ready
    assert ask(memory).data_collection.progress_percent == 100.0


def test_before_there_is_a_version_everything_is_still_to_come(memory: Memory) -> None:
    write_recipe(memory, dataset="other")
    found = ask(memory)
    assert (found.dataset, found.state, found.data_collection.training_examples) == ("", "", 0)
    assert (found.cost_estimate.example_count, found.cost_estimate.estimated_tokens) == (0, 0)


def test_what_has_come_since_the_last_training_is_counted(memory: Memory) -> None:
    assert ask(memory).data_collection.new_since_training == 12
    assert not ask(memory).fine_tuning.has_triggered
    trained = ask(memory, memory.adapter.id)
    assert (trained.fine_tuning.has_triggered, trained.fine_tuning.models_trained) == (True, 1)
    assert trained.data_collection.new_since_training == 0
    version = make_version(memory.place, {"train": [[memory.records[0]]]}, "v0003")
    moved = msgspec.structs.replace(version, journal=(1, 24))
    memory.place.registry.commit(
        Trailers("curate", "dispatch"), {"datasets/dispatch/v0003.toml": render_manifest(moved)}
    )
    adapter = msgspec.structs.replace(memory.adapter, dataset="dispatch/v0003")
    add_adapter(memory.place.registry, adapter)
    with memory.journal() as journal:
        journal.append(talk(number) for number in range(40, 43))
    assert ask(memory, adapter.id).data_collection.new_since_training == 3


def test_epochs_are_counted_and_the_text_is_measured(memory: Memory) -> None:
    cost = ask(memory).cost_estimate
    letters = [len(record.output) + len(record.messages[0].content) for record in memory.records[3::2]]
    assert (cost.example_count, cost.epochs) == (5, 3.0)
    assert cost.estimated_tokens == round(sum(letters) / 4 * 3)
    assert cost.basis == "estimated from the text of 5 examples, 4 letters per token, x 3 epochs; local: no API cost"
    assert cost.estimated_cost_usd == 0.0


def test_tokens_that_a_training_of_this_recipe_counted_are_taken(memory: Memory) -> None:
    table = {"agent": "dispatch", "dataset": "dispatch", "base": "tiny", "min_examples": 10, "loop": {"epochs": 3.0}}
    digest = digest_value(msgspec.to_builtins(msgspec.convert(table, TrainSpec)))
    counted = msgspec.structs.replace(memory.adapter, recipe_digest=digest, tokens=3000, examples=10)
    add_adapter(memory.place.registry, counted)
    cost = ask(memory, memory.adapter.id).cost_estimate
    assert cost.estimated_tokens == 1500
    assert cost.basis.startswith(f"tokens counted by the training of {memory.adapter.id}")


def test_an_api_costs_what_its_manifest_says_and_else_the_preset(memory: Memory) -> None:
    set_model(memory, kind="api", prices=Prices(input=2000.0))
    cost = ask(memory).cost_estimate
    assert cost.estimated_cost_usd == round(cost.estimated_tokens * 0.002, 4)
    assert "$2000 per million tokens of 'tiny'" in cost.basis
    set_model(memory, kind="api")
    cost = ask(memory).cost_estimate
    assert cost.estimated_cost_usd == round(cost.estimated_tokens * 0.001 / 1000, 4)
    assert "preset of $0.001 per thousand tokens" in cost.basis


def test_a_version_whose_content_is_not_here_is_estimated_by_the_preset(memory: Memory) -> None:
    memory.place.objects.delete(memory.versions[1].parts["train"].digest)
    cost = ask(memory).cost_estimate
    assert cost.estimated_tokens == 5 * 500 * 3
    assert cost.basis.startswith("preset of 500 tokens per example")


@pytest.mark.parametrize("state", ["revoked", "quarantined"])
def test_a_version_that_must_not_be_trained_on_has_no_examples(memory: Memory, state: str) -> None:
    held = render_manifest(msgspec.structs.replace(memory.versions[1], state=state))
    memory.place.registry.commit(Trailers("drop", "dispatch"), {"datasets/dispatch/v0002.toml": held})
    found = ask(memory)
    assert (found.state, found.data_collection.training_examples, found.data_collection.ready) == (state, 0, False)


def fill(memory: Memory, days: int, per_day: int) -> None:
    for day in range(days):
        moment = NOW - timedelta(days=days - 1 - day)
        with Journal(memory.place.workspace.journal_path, now=lambda moment=moment: moment) as journal:  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            journal.append(talk(1000 + 100 * day + number, agent="steady") for number in range(per_day))


def test_the_pace_is_read_from_arrivals_and_unknown_with_too_few(memory: Memory) -> None:
    memory.place.workspace.journal_path.unlink()
    fill(memory, 2, 4)
    with memory.journal() as journal:
        assert read_pace(journal, "steady", NOW.date()) == (None, 2)
    fill(memory, 5, 4)
    with memory.journal() as journal:
        assert read_pace(journal, "nobody", NOW.date()) == (None, 0)
        pace = read_pace(journal, "steady", NOW.date() + timedelta(days=5))
        assert pace.per_day is not None
        assert pace.per_day < 4


def test_the_day_on_which_there_will_be_enough_is_told_where_it_can_be(memory: Memory) -> None:
    assert ask(memory).data_collection.ready_on == ""
    memory.place.workspace.journal_path.unlink()
    for day in range(4):
        moment = NOW - timedelta(days=3 - day)
        with Journal(memory.place.workspace.journal_path, now=lambda moment=moment: moment) as journal:  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            journal.append([talk(500 + 2 * day), talk(501 + 2 * day)])
    assert ask(memory).data_collection.per_day == 2.0
    assert ask(memory).data_collection.ready_on == ""
    counted = msgspec.structs.replace(memory.versions[1], counts={"read": 20, "examples": 6})
    path = "datasets/dispatch/v0002.toml"
    memory.place.registry.commit(Trailers("curate", "dispatch"), {path: render_manifest(counted)})
    # Five of twenty became training examples: five more need twenty interactions, ten days at two a day.
    assert ask(memory).data_collection.ready_on == "2026-06-11"
    write_recipe(memory, min_examples=5)
    assert ask(memory).data_collection.ready_on == "2026-06-01"
    write_recipe(memory, min_examples=10_000_000)
    assert ask(memory).data_collection.ready_on == ""


BROKEN: dict[str, Callable[[Path], object]] = {
    "not TOML": lambda path: path.write_text("[train", encoding="utf-8"),
    "not UTF-8": lambda path: path.write_bytes(b"\xff"),
    "no training": lambda path: path.write_text('summary = "x"\n', encoding="utf-8"),
    "a wrong field": lambda path: path.write_text("[train]\nagent = 1\n", encoding="utf-8"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_recipe_asks_for_nothing(memory: Memory, kind: str) -> None:
    BROKEN[kind](memory.place.workspace.root / "recipes" / "aaa.toml")
    assert ask(memory).recipe == "dispatch"


def test_a_dataset_version_that_is_named_is_the_one_that_counts(memory: Memory) -> None:
    write_recipe(memory, dataset="dispatch/v0001")
    assert ask(memory).dataset == "dispatch/v0001"
    write_recipe(memory, dataset="dispatch/v0009")
    assert ask(memory).dataset == ""


def test_an_adapter_that_left_the_registry_was_no_training(memory: Memory) -> None:
    assert not ask(memory, "dispatch-000000000000").fine_tuning.has_triggered
    empty = Adapter(
        id="x",
        name="x",
        agent="x",
        base="x",
        base_digest="",
        files=(),
        dataset="gone/v0001",
        dataset_digest="",
        recipe="",
        recipe_digest="",
    )
    path = "registry/adapters/dispatch-000000000001.toml"
    adrift = render_manifest(msgspec.structs.replace(empty, id="dispatch-000000000001"))
    memory.place.registry.commit(Trailers("train", "dispatch", to="dispatch-000000000001"), {path: adrift})
    found = ask(memory, "dispatch-000000000001")
    assert found.data_collection.new_since_training == 12


def test_a_place_at_another_moment_is_only_another_day(memory: Memory) -> None:
    later = replace(memory, place=replace(memory.place, now=lambda: NOW + timedelta(days=400)))
    assert ask(later) == ask(memory)

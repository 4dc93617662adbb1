"""The training stage around the loop: what is refused, what it goes on from, what it keeps, and what trackers see."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from cortex_cli.curate.versions import read_examples, read_sealed
from cortex_cli.domain.errors import ConflictError, GateRefusedError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import Adapter, DatasetVersion, Model, Part, adapter_id, dataset_digest
from cortex_cli.pipeline.fitting import fit_job, folder_of, look_ahead
from cortex_cli.pipeline.job import Job, Means, find_earlier
from cortex_cli.pipeline.material import draw_share, gather
from cortex_cli.pipeline.recipes import EvaluateSpec, Recipe
from cortex_cli.pipeline.training import Trained, Withheld, forecast_needs, open_job, run_training, train_recipe
from cortex_cli.registry.actions import add_adapter, add_dataset, add_model
from cortex_cli.train.loop import Progress
from cortex_cli.train.spec import TrainSpec
from tests.pipeline.conftest import Lab, copy_lab

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def lab(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return copy_lab(lab, tmp_path_factory.mktemp("own") / "lab")


def table(lab: Lab) -> TrainSpec:
    assert lab.recipe.train is not None
    return lab.recipe.train


def vary(lab: Lab, **fields: object) -> Recipe:
    """The recipe of the lab with other fields and one epoch."""
    spec = table(lab)
    loop = msgspec.structs.replace(spec.loop, epochs=1.0, checkpoint_every=1000)
    return msgspec.structs.replace(
        lab.recipe, evaluate=None, train=msgspec.structs.replace(spec, **{"loop": loop, **fields})
    )


def job_of(lab: Lab, recipe: Recipe) -> Job:
    return open_job(lab.place, lab.place.registry.snapshot(), recipe, name="dispatch")


def keep(lab: Lab, name: str, examples: Iterable[Example], version: str = "v0001") -> DatasetVersion:
    """A live version whose training part is *examples*, registered; the other parts are the lab's."""
    lines = [msgspec.json.encode(each) + b"\n" for each in examples]
    digest = lab.place.objects.put_bytes(b"".join(lines))
    train = Part(digest, sum(map(len, lines)), len(lines))
    parts = {**lab.made.version.parts, "train": train}
    made = msgspec.structs.replace(
        lab.made.version,
        name=name,
        version=version,
        parts=parts,
        digest=dataset_digest(parts, lab.made.version.lineage),
    )
    add_dataset(lab.place.registry, made)
    return made


def learned(lab: Lab) -> list[Example]:
    return list(read_examples(lab.place.objects, lab.made.version, "train"))


def test_every_stage_is_told_and_the_plan_stands_beside_what_happened(lab: Lab) -> None:
    stages: list[str] = []
    steps: list[Progress] = []
    means = Means(watch=steps.append, tell=lambda stage, _text: stages.append(stage), hourly=36.0)
    found = run_training(lab.place, vary(lab, min_examples=51), name="dispatch", means=means)
    assert isinstance(found, Trained)
    assert stages == ["check", "prepare", "configure", "start", "register"]
    adapter = lab.place.registry.snapshot().adapter(found.adapter.id)
    assert adapter.planned["steps"] == adapter.steps == len(steps)
    assert adapter.measured["memory"] > 100 * 2**20
    assert adapter.cost == pytest.approx(adapter.measured["seconds"] / 100, abs=0.01)
    assert adapter.planned["memory"] == pytest.approx(adapter.measured["memory"], rel=0.3)


def test_a_second_look_ahead_trusts_the_first(lab: Lab) -> None:
    job = job_of(lab, vary(lab, min_examples=52))
    snapshot = lab.place.registry.snapshot()
    examples = gather(lab.place, snapshot, job).examples
    first = look_ahead(lab.place, snapshot, job, examples, Means())
    again = look_ahead(lab.place, snapshot, job, examples[:100], Means(), fresh=False)
    assert again.trained == first.trained
    assert again.steps < first.steps
    assert again.seconds < first.seconds


def test_a_plan_counts_the_very_steps_and_changes_nothing(lab: Lab) -> None:
    before = lab.place.registry.snapshot().commit
    outlook = forecast_needs(lab.place, job_of(lab, vary(lab, min_examples=53)))
    assert outlook.examples == lab.made.version.parts["train"].rows
    assert outlook.faults == ()
    assert outlook.peak == sum(outlook.memory.values())
    assert lab.place.registry.snapshot().commit == before


def test_too_few_new_examples_are_waited_for(lab: Lab) -> None:
    recipe = vary(lab, min_new=10, min_examples=56)
    found = run_training(lab.place, recipe, name="dispatch")
    assert isinstance(found, Withheld)
    assert found.reason.endswith("was trained, the recipe asks for 10")
    with pytest.raises(GateRefusedError, match="examples have come since"):
        train_recipe(lab.place, recipe, name="dispatch")


def test_what_is_already_in_the_test_part_is_refused(lab: Lab) -> None:
    keep(lab, "spoilt", [*learned(lab), *read_sealed(lab.place.objects, lab.made.version)])
    with pytest.raises(ConflictError, match="are in its 'test' part too"):
        train_recipe(lab.place, vary(lab, dataset="spoilt"), name="dispatch")


def test_what_a_suite_asks_is_not_learned(lab: Lab, tmp_path: Path) -> None:
    asked = learned(lab)[0]
    suite = tmp_path / "suite.jsonl"
    suite.write_bytes(msgspec.json.encode({"request": asked.messages[0].content, "reference": asked.answer}) + b"\n")
    recipe = msgspec.structs.replace(vary(lab, min_examples=54), evaluate=EvaluateSpec(suite=str(suite)))
    with pytest.raises(ConflictError, match=r"1 of the training examples .* ask what suite") as refused:
        train_recipe(lab.place, recipe, name="dispatch")
    assert "cortex curate" in refused.value.hint
    assert refused.value.state == "nothing was trained"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model(name="bare", kind="local", source="models/bare"), "has no config.json"),
        (Model(name="far", kind="hub", source="someone/far", revision="a" * 40), "far"),
    ],
)
def test_a_base_whose_weights_are_not_here_is_refused_before_anything_runs(lab: Lab, model: Model, said: str) -> None:
    add_model(lab.place.registry, model)
    with pytest.raises(UsageError, match=said) as refused:
        train_recipe(lab.place, vary(lab, base=model.name), name="dispatch")
    assert refused.value.state
    assert refused.value.hint


def test_most_examples_longer_than_the_window_are_refused(lab: Lab) -> None:
    loop = msgspec.structs.replace(table(lab).loop, window=6)
    with pytest.raises(UsageError, match="longer than the window of 6 tokens"):
        train_recipe(lab.place, vary(lab, loop=loop), name="dispatch")


def test_what_does_not_fit_is_refused_with_the_change_to_make(lab: Lab) -> None:
    job = job_of(lab, vary(lab, min_examples=55))
    snapshot = lab.place.registry.snapshot()
    material = gather(lab.place, snapshot, job)
    outlook = look_ahead(lab.place, snapshot, job, material.examples, Means(), fresh=False)
    full = msgspec.structs.replace(outlook, faults=("disk: 9 GiB are needed, 1 GiB are free",), advice=("free some",))
    with pytest.raises(UsageError, match="does not fit: disk: 9 GiB") as refused:
        fit_job(lab.place, snapshot, job, material.examples, Means(), full)
    assert refused.value.hint == "free some"
    assert not (folder_of(lab.place, job) / "adapter").exists()


def grow(lab: Lab, name: str) -> tuple[Recipe, Adapter]:
    """An adapter trained on three quarters of the examples, and the recipe that goes on from it with all of them."""
    examples = learned(lab)
    keep(lab, name, [each for number, each in enumerate(examples) if number % 4])
    recipe = vary(lab, dataset=name, start="latest", replay=0.5, base="cortex-tiny")
    first = train_recipe(lab.place, vary(lab, dataset=name), name=name)
    keep(lab, name, examples, "v0002")
    return recipe, first.adapter


def test_going_on_learns_the_new_with_a_part_of_the_old(lab: Lab) -> None:
    recipe, first = grow(lab, "grown")
    found = train_recipe(lab.place, recipe, name="grown")
    new = lab.made.version.parts["train"].rows - first.examples
    assert found.adapter.parent == first.id
    assert found.adapter.ancestors == ("grown/v0001",)
    assert found.adapter.replayed == new
    assert found.adapter.examples == 2 * new
    assert train_recipe(lab.place, recipe, name="grown").skipped


def test_what_was_revoked_is_never_replayed_and_revokes_what_went_on_from_it(lab: Lab) -> None:
    recipe, first = grow(lab, "ended")
    snapshot = lab.place.registry.snapshot()
    old = next(each for each in snapshot.datasets("ended") if each.version == "v0001")
    add_dataset(lab.place.registry, msgspec.structs.replace(old, state="quarantined"))
    material = gather(lab.place, lab.place.registry.snapshot(), job_of(lab, recipe))
    assert material.replayed == 0
    add_dataset(lab.place.registry, msgspec.structs.replace(old, state="revoked"))
    late = msgspec.structs.replace(
        first, name="late", id=adapter_id("late", first.files), dataset="ended/v0002", ancestors=("ended/v0001",)
    )
    add_adapter(lab.place.registry, late)
    assert lab.place.registry.snapshot().adapter(late.id).state == "revoked"


def test_what_answers_never_goes_on_from_an_encoder_nor_an_encoder_from_it(lab: Lab) -> None:
    registry, first = lab.place.registry, lab.trained.adapter
    files = tuple(msgspec.structs.replace(blob, name=f"e-{blob.name}") for blob in first.files)
    encoder = msgspec.structs.replace(first, id=adapter_id("dispatch", files), files=files, objective="mntp")
    add_adapter(registry, encoder)
    spec = table(lab)
    newest = find_earlier(registry, registry.snapshot(), spec)
    assert newest is not None
    assert newest.objective == "sft"
    assert find_earlier(registry, registry.snapshot(), msgspec.structs.replace(spec, objective="mntp")) == encoder


def test_nothing_goes_on_from_a_revoked_adapter(lab: Lab) -> None:
    gone = msgspec.structs.replace(
        lab.trained.adapter, name="gone", id=adapter_id("gone", lab.trained.adapter.files), state="revoked"
    )
    add_adapter(lab.place.registry, gone)
    with pytest.raises(ConflictError, match="is revoked, so nothing goes on from it"):
        train_recipe(lab.place, vary(lab, start=gone.id), name="dispatch")
    earlier = find_earlier(lab.place.registry, lab.place.registry.snapshot(), table(lab))
    assert earlier is not None
    assert earlier.id != gone.id


def test_a_mixture_keeps_what_people_taught(lab: Lab) -> None:
    job = job_of(lab, vary(lab, mixture=0.5))
    kept = gather(lab.place, lab.place.registry.snapshot(), job).examples
    taught = [each for each in learned(lab) if each.source != "accepted"]
    assert {each.id for each in taught if each.source != "pair"} <= {each.id for each in kept}


def test_a_smaller_share_is_part_of_a_larger_one(lab: Lab) -> None:
    examples = learned(lab)
    small, large = ({each.id for each in draw_share(examples, share, 3)} for share in (0.2, 0.6))
    assert small < large
    assert len(small) == round(0.2 * len(examples))
    assert draw_share(examples, 0.2, 4) != draw_share(examples, 0.2, 3)


def test_a_tracker_sees_numbers_and_no_text(lab: Lab) -> None:
    pytest.importorskip("tensorboard", reason="the tensorboard extra is not installed")
    recipe = vary(lab, track=("tensorboard",), min_examples=57)
    found = run_training(lab.place, recipe, name="dispatch")
    assert isinstance(found, Trained)
    folder = folder_of(lab.place, job_of(lab, recipe))
    assert found.adapter.trackers == {"tensorboard": f"{folder.name}/tensorboard"}
    sent = b"".join(path.read_bytes() for path in (folder / "tensorboard").iterdir())
    assert b"train/loss" in sent
    for example in learned(lab):
        assert example.id.encode() not in sent
        assert example.messages[0].content.encode() not in sent

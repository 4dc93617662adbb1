"""What is decided about a training: the search, the forecast, and the specialists, on real examples."""

import tomllib

import msgspec
import pytest

from cortex_cli.domain.errors import ConflictError
from cortex_cli.domain.interactions import Interaction, Message, Origin, Scale, interaction_id
from cortex_cli.pipeline.opportunities import rank_opportunities, task_quality
from cortex_cli.pipeline.recipes import Recipe, load_recipe
from cortex_cli.pipeline.specialising import name_specialist, train_specialists
from cortex_cli.pipeline.training import Trained, Withheld, run_training
from cortex_cli.train.spec import TrainSpec
from cortex_cli.train.study import PerSpec, PredictSpec, SearchSpec
from tests.pipeline.conftest import Lab, copy_lab

SEARCH = SearchSpec(
    trials=3, minutes=60.0, ranks=(8,), learning_rate=(5e-3, 1e-2), epochs=(1.0,), halving=3, metric="loss"
)


@pytest.fixture(scope="module")
def lab(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return copy_lab(lab, tmp_path_factory.mktemp("own") / "lab")


def vary(lab: Lab, **fields: object) -> Recipe:
    spec = lab.recipe.train
    assert spec is not None
    loop = msgspec.structs.replace(spec.loop, epochs=1.0, checkpoint_every=1000)
    made: TrainSpec = msgspec.structs.replace(spec, **{"loop": loop, **fields})
    return msgspec.structs.replace(lab.recipe, evaluate=None, train=made)


@pytest.mark.model
def test_the_winner_of_a_search_is_a_recipe_that_finds_itself_done(lab: Lab) -> None:
    pytest.importorskip("optuna", reason="the search extra is not installed")
    recipe = vary(lab, search=SEARCH)
    found = run_training(lab.place, recipe, name="tuned")
    assert isinstance(found, Trained)
    assert found.searched is not None
    best = found.searched.found.best
    assert best is not None
    assert best.choice is not None
    assert found.adapter.plan == found.step.digest != found.adapter.run

    winner = load_recipe(found.searched.recipe)
    assert winner.train is not None
    assert winner.train.loop.learning_rate == best.choice.learning_rate
    assert tomllib.loads(found.searched.recipe.read_text(encoding="utf-8"))["train"]["dataset"] == "dispatch/v0001"
    again = run_training(lab.place, winner, name="tuned")
    assert isinstance(again, Trained)
    assert (again.skipped, again.adapter.id) == (True, found.adapter.id)
    assert run_training(lab.place, recipe, name="tuned").skipped  # type: ignore[union-attr]


@pytest.mark.model
def test_a_search_in_which_every_trial_fails_registers_nothing(lab: Lab) -> None:
    pytest.importorskip("optuna", reason="the search extra is not installed")
    before = lab.place.registry.snapshot().commit
    recipe = vary(lab, search=msgspec.structs.replace(SEARCH, bases=("nowhere",), trials=2))
    with pytest.raises(ConflictError, match=r"none of 2 trials saw the whole data: .*nowhere"):
        run_training(lab.place, recipe, name="tuned")
    assert lab.place.registry.snapshot().commit == before


@pytest.mark.model
def test_a_candidate_that_will_hardly_win_is_not_trained_and_the_forecast_is_kept(lab: Lab) -> None:
    loop = msgspec.structs.replace(lab.recipe.train.loop, epochs=1.0, learning_rate=1e-7)  # type: ignore[union-attr]
    recipe = vary(lab, loop=loop, predict=PredictSpec(shares=(0.1, 0.2, 0.4), chance=0.9))
    before = lab.place.registry.snapshot().commit
    found = run_training(lab.place, recipe, name="hopeless")
    assert isinstance(found, Withheld)
    assert found.forecast is not None
    assert found.forecast.skip
    assert "skipped" in found.reason
    assert lab.place.registry.snapshot().commit == before
    assert run_training(lab.place, recipe, name="hopeless") == found


def test_an_opportunity_holds_by_the_rule_and_its_weight_is_tasks_times_potential_times_examples() -> None:
    tasks = {"travel": [0.0] * 60 + [1.0] * 40, "easy": [1.0] * 90, "rare": [0.0] * 20}
    good = {"travel": 80, "easy": 80, "rare": 80, "unasked": 70}
    found = {each.domain: each for each in rank_opportunities(tasks, good, PerSpec())}
    travel = found["travel"]
    assert (travel.task_count, travel.avg_quality, travel.training_examples) == (100, 0.4, 80)
    assert (travel.improvement_potential, travel.weight, travel.priority) == (0.6, 48.0, "medium")
    assert travel.reason == ""
    assert found["easy"].reason == "mean quality 1.00, below 0.75 is asked for"
    assert found["rare"].reason == "20 tasks, more than 50 are asked for"
    assert found["unasked"].reason.startswith("0 tasks")
    assert next(iter(found)) == "travel"


@pytest.mark.parametrize("count", [50, 51])
def test_the_bounds_of_the_rule_are_beyond_fifty(count: int) -> None:
    (found,) = rank_opportunities({"a": [0.0] * count}, {"a": count}, PerSpec())
    assert bool(found.reason) == (count == 50)


def test_what_people_say_counts_before_a_number_and_that_before_the_outcome() -> None:
    draft = Interaction(
        id="", agent="a", time="2026-01-01T00:00:00Z", messages=(Message("user", "x"),), origin=Origin("log")
    )
    plain = msgspec.structs.replace(draft, id=interaction_id(draft), outcome="success")
    rated = msgspec.structs.replace(plain, quality=4.0, quality_scale=Scale(0.0, 5.0))
    assert task_quality(plain, []) == 1.0
    assert task_quality(rated, []) == 0.8
    assert task_quality(msgspec.structs.replace(plain, outcome="unknown"), []) is None


@pytest.mark.parametrize(
    ("domain", "name"),
    [("travel", "dispatch-travel"), ("Auto & Commute", "dispatch-auto-commute"), ("…", "dispatch-other")],
)
def test_a_specialist_has_the_name_of_its_agent_and_domain(domain: str, name: str) -> None:
    assert name_specialist("dispatch", domain) == name


@pytest.mark.model
def test_domains_without_enough_to_compare_by_are_told_and_nothing_is_registered(lab: Lab) -> None:
    before = lab.place.registry.snapshot().commit
    spec = PerSpec(min_tasks=1, min_examples=1, max_quality=1.0)
    found = train_specialists(lab.place, vary(lab, per=spec), name="specialist")
    assert found.adapters == ()
    assert {
        contest.reason.partition(",")[0].split(" ", 1)[1]
        for contest in found.contests
        if not contest.opportunity.reason
    } == {"held-out examples"}
    assert lab.place.registry.snapshot().commit == before

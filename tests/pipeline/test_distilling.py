"""What is learned from a teacher: whose answers, which of them, and what that saves."""

import dataclasses
import json
import os
import subprocess
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cortex_cli.curate.spec import CurateSpec, QualitySpec
from cortex_cli.domain.errors import AuthenticationError, CortexError, UsageError
from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.domain.manifests import Model, Prices
from cortex_cli.models.bases import digest_folder
from cortex_cli.models.transport import Limits
from cortex_cli.pipeline.distilling import Means, teach
from cortex_cli.pipeline.lessons import Lesson, open_book, plan_lesson
from cortex_cli.pipeline.recipes import Recipe
from cortex_cli.pipeline.teachers import Ask, check_logits, find_teacher, localise, open_teacher
from cortex_cli.pipeline.training import train_recipe
from cortex_cli.pipeline.variants import open_variant
from cortex_cli.registry.actions import add_model, add_variant, make_variant
from cortex_cli.train.objectives import DistilSpec
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from tests.models.provider import Turn, failed, said
from tests.models.tiny import make_adapter, make_base
from tests.pipeline.scenes import LESSONS, Scene, call, copy_scene, open_scene
from tests.pipeline.schooling import TOOL_OF, asking, give, knowing, lesson, teaching, train_part


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return open_scene(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def scene(made: Scene, tmp_path: Path) -> Scene:
    return copy_scene(made, tmp_path / "workspace")


def test_every_request_comes_back_with_the_teachers_answer_under_its_own_id(scene: Scene) -> None:
    with teaching(scene, knowing) as provider:
        taught = give(scene, lesson(scene))

    before = train_part(scene)
    assert [each.id for each in taught.examples] == [each.id for each in before]
    assert [each.answer for each in taught.examples] == [call(TOOL_OF[each.messages[-1].content]) for each in before]
    assert {each.source for each in taught.examples} == {"supervised"}
    assert taught.counts == {}
    assert len(provider.asked) == len(before) == 10


def test_of_several_samples_the_answer_of_most_is_learned(scene: Scene) -> None:
    def wavering(request: dict[str, Any], number: int) -> Turn:
        wrong = number % 3 == 0
        return said('{"tool": "other"}') if wrong else knowing(request, number)

    with teaching(scene, wavering) as provider:
        model = asking(scene, Limits(together=1, tries=1), temperature=0.7)
        means = Means(ask=model)
        taught = teach(scene.place, scene.place.registry.snapshot(), lesson(scene, samples=3), means)

    assert len(provider.asked) == 30
    assert [each.answer for each in taught.examples] == [
        call(TOOL_OF[each.messages[-1].content]) for each in train_part(scene)
    ]
    assert {each.quality for each in taught.examples} == {2 / 3}
    assert taught.figures["agreement"] == pytest.approx(2 / 3, abs=1e-3)


def test_samples_that_do_not_agree_enough_are_left_out(scene: Scene) -> None:
    lock = threading.Lock()
    seen: dict[str, int] = {}

    def unsure_of_timers(request: dict[str, Any], number: int) -> Turn:
        text = request["messages"][-1]["content"]
        with lock:
            seen[text] = seen.get(text, 0) + 1
        return said(f'{{"tool": "t{seen[text]}"}}') if "timer" in text else knowing(request, number)

    with teaching(scene, unsure_of_timers):
        taught = give(scene, lesson(scene, samples=3, agreement=0.6))

    assert taught.counts == {"no_agreement": 2}
    assert len(taught.examples) == 8
    assert taught.figures["agreement"] == 1.0


def test_answers_that_are_none_are_counted_by_what_they_are(scene: Scene) -> None:
    odd = {
        "set a timer for ten minutes": said(""),
        "start a timer for one hour": said('{"tool": "set_ti', finish="length"),
        "wake me up at seven": said("", refusal="I will not wake anybody"),
        "set an alarm for six": said("I would set an alarm."),
    }

    def moody(request: dict[str, Any], number: int) -> Turn:
        return odd.get(request["messages"][-1]["content"]) or knowing(request, number)

    with teaching(scene, moody) as provider:
        taught = give(scene, lesson(scene))
        give(scene, lesson(scene))

    assert taught.counts == {"empty_output": 1, "cut_short": 1, "refused": 1, "no_agreement": 1}
    assert len(taught.examples) == 6
    assert len(provider.asked) == 10  # a refusal is an answer and is not asked again


def test_the_rules_of_the_recipes_curation_hold_for_the_teacher_too(scene: Scene) -> None:
    lock = threading.Lock()
    seen: dict[str, int] = {}

    def unsure_of_music(request: dict[str, Any], number: int) -> Turn:
        text = request["messages"][-1]["content"]
        with lock:
            seen[text] = seen.get(text, 0) + 1
            is_odd = TOOL_OF[text] == "play_music" and seen[text] == 2
        return said("{}") if is_odd else knowing(request, number)

    quality = QualitySpec(preset="seeds")  # 4.0 on 1 to 5 is 0.75 of the samples
    with teaching(scene, unsure_of_music):
        strict = give(scene, lesson(scene, CurateSpec(agent="dispatch", quality=quality), samples=3))
        short = give(scene, lesson(scene, CurateSpec(agent="dispatch", max_chars=40), samples=3))

    assert strict.counts == {"low_quality": 4}
    assert len(strict.examples) == 6
    assert short.counts["too_long"] > 0


def test_an_answer_that_passes_nothing_is_an_error_with_all_reasons(scene: Scene) -> None:
    rambling = teaching(scene, lambda _request, _number: said("no JSON at all"))
    with rambling, pytest.raises(UsageError, match="can be learned: 10 no_agreement") as caught:
        give(scene, lesson(scene))

    assert "10 answers are kept in" in caught.value.state


def test_the_saving_is_told_by_the_prices_of_the_manifests(scene: Scene) -> None:
    add_model(scene.place.registry, Model(name="tiny", kind="local", source="base", prices=Prices(0.2, 0.8)))
    with teaching(scene, knowing):
        figures = give(scene, lesson(scene)).figures

    assert figures["teacher_calls"] == 10
    assert (figures["teacher_tokens_in"], figures["teacher_tokens_out"]) == (200, 100)
    assert figures["teacher_dollars"] == pytest.approx(0.0012)
    assert figures["teacher_dollars_per_1000"] == pytest.approx(0.12)
    assert figures["student_dollars_per_1000"] == pytest.approx(0.012)
    assert figures["saved_dollars_per_1000"] == pytest.approx(0.108)
    assert figures["requests_to_pay_off"] == pytest.approx(1000 * 0.0012 / 0.108, abs=0.1)
    assert figures["as_dataset"] == 1.0


def test_a_teacher_that_disagrees_with_the_dataset_is_told(scene: Scene) -> None:
    with teaching(scene, lambda _request, _number: said('{"tool": "play_music"}')):
        figures = give(scene, lesson(scene)).figures

    assert figures["as_dataset"] == pytest.approx(0.4)


def test_a_variant_teaches_under_its_own_prompt_and_answers_when_it_is_served(scene: Scene) -> None:
    prompt = scene.root / "prompts" / "dispatch" / "long.md"
    prompt.write_text(
        '+++\nsummary = "s"\n[variables]\nutterance = "str"\n+++\n<|system|>\nTools: set_timer\n<|user|>\n{{ utterance }}\n'
    )
    env = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
    for command in (["add", "-A", "prompts"], ["commit", "-qm", "prompt"]):
        subprocess.run(["git", *command], cwd=scene.root, check=True, env={**os.environ, **env})
    with teaching(scene, knowing) as provider:
        snapshot = scene.place.registry.snapshot()
        variant = make_variant(snapshot, agent="dispatch", model="big", prompt="prompts/dispatch/long.md")
        add_variant(scene.place.registry, variant)
        snapshot = scene.place.registry.snapshot()
        planned = lesson(scene)
        planned = planned._replace(teacher=find_teacher(snapshot, f"variant:{variant.id}", "dispatch"))
        taught = give(scene, planned)
        served = open_variant(scene.place, snapshot, variant)([train_part(scene)[0].messages])

    assert provider.asked[0]["messages"][0] == {"role": "system", "content": "Tools: set_timer"}
    assert taught.examples[0].messages == train_part(scene)[0].messages  # the student has a prompt of its own
    assert served[0].text == taught.examples[0].answer


def test_the_key_of_a_teacher_is_asked_for_before_anything_is_sent(scene: Scene) -> None:
    add_model(scene.place.registry, Model(name="big", kind="api", source="openai:gpt-5-mini"))
    snapshot = scene.place.registry.snapshot()

    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        open_teacher(scene.place, snapshot, find_teacher(snapshot, "big", "dispatch"), lesson(scene).spec.distil, {})


def test_distributions_of_a_teacher_without_weights_here_are_refused_before_anything_is_asked(scene: Scene) -> None:
    with teaching(scene, knowing) as provider, pytest.raises(UsageError, match="its distributions are not told"):
        give(scene, lesson(scene, level="logits"))

    assert provider.asked == []


def test_distributions_under_another_prompt_are_refused(scene: Scene) -> None:
    planned, snapshot = lesson_of_variant(scene, level="logits"), scene.place.registry.snapshot()
    teacher = dataclasses.replace(planned.teacher, prompt_blob="0" * 40)

    with pytest.raises(UsageError, match="answers under another prompt than the champion of 'dispatch'"):
        check_logits(scene.place, snapshot, teacher, planned.spec)


def test_a_teacher_that_does_not_exist_is_named(scene: Scene) -> None:
    with pytest.raises(CortexError, match="big"):
        lesson(scene)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A scene whose variants are a tiny model of random weights, with and without an adapter."""
    root = tmp_path_factory.mktemp("local")
    base = make_base(root / "base", [*TOOL_OF, *(call(tool) for tool in LESSONS)])
    scene = open_scene(root / "workspace", make_adapter(base, root / "adapter"))
    add_model(scene.place.registry, Model(name="tiny", kind="local", source=str(base)))
    return scene


@pytest.mark.model
def test_the_files_of_a_local_teacher_are_linked_with_its_adapter(local: Scene, tmp_path: Path) -> None:
    spec, snapshot = lesson_of_variant(local, level="logits").spec, local.place.registry.snapshot()
    ready = localise(local.place, snapshot, spec, tmp_path / "teacher")
    folder = Path(ready.distil.teacher)

    assert (folder / "config.json").read_bytes() == (local.root.parent / "base" / "config.json").read_bytes()
    assert (folder / "config.json").is_symlink()
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    texts = lesson_of_variant(local).spec
    assert localise(local.place, snapshot, texts, tmp_path / "none") == texts


@pytest.mark.model
def test_distributions_over_another_vocabulary_are_refused(local: Scene, tmp_path: Path) -> None:
    other = make_base(tmp_path / "other", ["a text of words that make other tokens", *TOOL_OF])
    add_model(local.place.registry, Model(name="other", kind="local", source=str(other)))
    planned, snapshot = lesson_of_variant(local, level="logits"), local.place.registry.snapshot()

    check_logits(local.place, snapshot, planned.teacher, planned.spec)
    spec = msgspec.structs.replace(planned.spec, base="other")
    with pytest.raises(UsageError, match="reads another vocabulary than the base 'other'") as caught:
        check_logits(local.place, snapshot, planned.teacher, spec)
    assert 'level = "sequence"' in caught.value.hint


@pytest.mark.model
def test_the_samples_of_a_local_teacher_differ_and_are_the_same_when_drawn_again(local: Scene) -> None:
    snapshot, planned = local.place.registry.snapshot(), lesson_of_variant(local, samples=3, heat=1.0)
    with pytest.raises(UsageError, match="can be learned"):  # random weights say nothing that is JSON
        teach(local.place, snapshot, planned)
    path = open_book(local.place, planned).path
    first = {
        (line["key"], line["sample"]): line.get("text") for line in map(json.loads, path.read_bytes().splitlines())
    }
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[::2]))  # as if every second answer had been lost
    with pytest.raises(UsageError, match="can be learned"):
        teach(local.place, snapshot, planned)
    again = {
        (line["key"], line["sample"]): line.get("text") for line in map(json.loads, path.read_bytes().splitlines())
    }

    assert len(first) == 30
    assert again == first
    assert len({text for (key, _), text in first.items() if key == min(first)[0]}) > 1


def lesson_of_variant(scene: Scene, **distil: Any) -> Lesson:
    table = DistilSpec(teacher=f"variant:{scene.tuned.id}", max_tokens=4, **distil)
    spec = TrainSpec(agent="dispatch", dataset="dispatch", base="tiny", objective="distil", distil=table)
    return plan_lesson(scene.place.registry.snapshot(), spec, scene.dataset, None)


def test_the_tables_of_the_shipped_recipe_are_those_of_a_distillation() -> None:
    from cortex_cli.pipeline.recipes import load_recipe
    from cortex_cli.store.starter import starter_root

    recipe = load_recipe(starter_root() / "recipes" / "distil.toml")
    assert recipe.train is not None
    assert (recipe.train.objective, recipe.train.distil.level) == ("distil", "sequence")
    assert recipe.train.distil.max_cost > 0
    assert msgspec.to_builtins(recipe.train.distil)["teacher"]


def whole(scene: Scene, base: Path, **distil: Any) -> Recipe:
    """A recipe that trains a few steps over the base in *base*, registered as `tiny`."""
    add_model(
        scene.place.registry,
        Model(name="tiny", kind="local", source=str(base), prices=Prices(), digest=digest_folder(base)),
    )
    table = DistilSpec(**{"teacher": "big", "max_tokens": 16, **distil})
    loop = LoopSpec(epochs=1.0, batch_tokens=256, window=96, threads=1, dtype="float32")
    lora = LoraSpec(rank=2, alpha=4.0, targets=("q_proj",))
    train = TrainSpec(
        agent="dispatch", dataset="dispatch", base="tiny", objective="distil", min_examples=5, distil=table
    )
    return Recipe(summary="s", train=msgspec.structs.replace(train, loop=loop, lora=lora))


@pytest.mark.model
def test_a_distillation_becomes_an_adapter_and_a_teacher_that_dies_leaves_none(scene: Scene, tmp_path: Path) -> None:
    recipe = whole(scene, make_base(tmp_path / "base", [*TOOL_OF, *(call(tool) for tool in LESSONS)]))
    before = scene.place.registry.snapshot()
    closed = teaching(scene, lambda _request, _number: failed(403, "no such key"))
    with closed, pytest.raises(AuthenticationError):
        train_recipe(scene.place, recipe, name="distil")
    dead = scene.place.registry.snapshot()
    with teaching(scene, knowing):
        trained = train_recipe(scene.place, recipe, name="distil")

    assert [each.id for each in dead.adapters()] == [each.id for each in before.adapters()]
    assert trained.adapter.objective == "distil"
    assert trained.adapter.examples == 10
    assert trained.adapter.id in [each.id for each in scene.place.registry.snapshot().adapters()]


@pytest.mark.model
def test_distributions_of_a_variant_are_learned_from_linked_files(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", [*TOOL_OF, *(call(tool) for tool in LESSONS)])
    scene = open_scene(tmp_path / "workspace", make_adapter(base, tmp_path / "adapter"))
    recipe = whole(scene, base, teacher=f"variant:{scene.tuned.id}", level="logits", samples=1)
    answers = Means(ask=saying(call("set_timer")))
    spec = recipe.train
    assert spec is not None
    taught = teach(
        scene.place,
        scene.place.registry.snapshot(),
        plan_lesson(scene.place.registry.snapshot(), spec, scene.dataset, None),
        answers,
    )
    trained = train_recipe(scene.place, recipe, name="distil")  # what was answered is not asked again

    assert {each.answer for each in taught.examples} == {call("set_timer")}
    assert trained.adapter.examples == 10
    assert trained.adapter.final_loss > 0


def saying(text: str) -> Ask:
    """A teacher that says the same to everybody."""

    def ask(prompts: Iterable[tuple[Prompt, int]]) -> Generator[tuple[int, Answer], None, None]:
        for number, _ in enumerate(prompts):
            yield number, Answer(text=text)

    return ask

from pathlib import Path

import msgspec
import pytest

from cortex_cli.curate.spec import CurateSpec, FeedbackSpec, QualitySpec
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Model, Prices, Variant
from cortex_cli.pipeline.lessons import (
    check_cap,
    count_dollars,
    count_tokens,
    estimate_lesson,
    list_questions,
    open_book,
)
from cortex_cli.pipeline.teachers import find_teacher
from cortex_cli.pipeline.variants import is_remote, open_variant
from cortex_cli.registry.actions import add_model
from tests.pipeline.scenes import Scene, copy_scene, open_scene
from tests.pipeline.schooling import lesson, train_part


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = open_scene(tmp_path_factory.mktemp("made") / "workspace")
    add_model(scene.place.registry, api("openai:gpt-5-mini"))
    return scene


@pytest.fixture
def scene(made: Scene, tmp_path: Path) -> Scene:
    return copy_scene(made, tmp_path / "workspace")


def api(source: str) -> Model:
    return Model(name="big", kind="api", source=source, prices=Prices(0.25, 2.0))


def test_a_request_is_asked_once_however_often_the_dataset_has_it(scene: Scene) -> None:
    planned = lesson(scene)
    rows = [*train_part(scene), *train_part(scene)]
    data = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    part = msgspec.structs.replace(
        planned.dataset.parts["train"], digest=scene.place.objects.put_bytes(data), size=len(data), rows=len(rows)
    )
    twice = planned._replace(dataset=msgspec.structs.replace(planned.dataset, parts={"train": part}))

    assert [each.example.id for each in list_questions(scene.place, twice)] == [row.id for row in rows[:10]]


def test_the_test_part_is_never_asked(scene: Scene) -> None:
    planned = lesson(scene)
    moved = {"test": planned.dataset.parts["train"], "train": planned.dataset.parts["train"]}
    empty = msgspec.structs.replace(moved["train"], digest=scene.place.objects.put_bytes(b""), size=0, rows=0)
    sealed = planned._replace(dataset=msgspec.structs.replace(planned.dataset, parts={**moved, "train": empty}))
    questions = list(list_questions(scene.place, sealed))

    assert questions == []
    with pytest.raises(UsageError, match="has no request to ask a teacher"):
        check_cap(sealed, estimate_lesson(sealed, questions, open_book(scene.place, sealed)))


def test_of_the_rules_of_curation_those_stay_that_can_be_asked_of_an_answer(scene: Scene) -> None:
    told = CurateSpec(
        agent="other",
        domains=("kitchen",),
        sources=("quality",),
        feedback=FeedbackSpec(preset="seeds"),
        quality=QualitySpec(preset="seeds"),
        max_chars=99,
    )
    rules = lesson(scene, told).rules

    assert (rules.agent, rules.domains, rules.max_chars) == ("dispatch", (), 99)
    assert "accepted" in rules.sources
    assert rules.feedback == FeedbackSpec()
    assert (rules.quality.preset, rules.quality.min_seconds, rules.quality.max_seconds) == ("seeds", 0.0, 0.0)


def test_another_model_behind_the_same_name_is_another_teacher(scene: Scene) -> None:
    before = lesson(scene)
    add_model(scene.place.registry, api("openai:gpt-5"))
    after = lesson(scene)
    add_model(scene.place.registry, msgspec.structs.replace(api("openai:gpt-5"), prices=Prices(9.0, 9.0)))

    assert before.teacher.identity != after.teacher.identity
    assert open_book(scene.place, before).path != open_book(scene.place, after).path
    assert lesson(scene).teacher.identity == after.teacher.identity  # a price decides no answer


def test_an_adapter_over_an_api_is_refused_wherever_it_would_answer(scene: Scene) -> None:
    add_model(scene.place.registry, msgspec.structs.replace(api("openai:gpt-5-mini"), name="tiny"))
    snapshot = scene.place.registry.snapshot()
    tuned: Variant = snapshot.variant(scene.tuned.id)

    with pytest.raises(UsageError, match="whose weights are not here"):
        find_teacher(snapshot, f"variant:{tuned.id}", "dispatch")
    with pytest.raises(UsageError, match="whose weights are not here"):
        open_variant(scene.place, snapshot, tuned)


def test_what_answers_over_http_is_told_from_what_is_here() -> None:
    kinds = {"api": True, "ollama": True, "embedded": False, "local": False, "hub": False}

    for kind, remote in kinds.items():
        assert is_remote(msgspec.structs.replace(api("x"), kind=kind)) is remote


def test_tokens_are_counted_up_and_priced_per_million() -> None:
    assert [count_tokens(text) for text in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]
    assert count_dollars(Prices(0.25, 2.0), 1_000_000, 500_000) == 1.25
    assert count_dollars(Prices(), 10**9, 10**9) == 0.0

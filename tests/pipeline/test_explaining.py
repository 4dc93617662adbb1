from pathlib import Path

import msgspec
import pytest

from cortex_cli.curate.versions import read_examples
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.manifests import Model, Part, adapter_id
from cortex_cli.explain.explanation import Explanation
from cortex_cli.explain.mend import AddDemonstrations, find_conflicts
from cortex_cli.pipeline.cases import TrainingExamples
from cortex_cli.pipeline.explaining import (
    AdapterReport,
    FailureReport,
    OpenScore,
    explain_adapter,
    explain_failures,
    explain_interaction,
    open_no_score,
    open_score,
)
from cortex_cli.registry.actions import add_adapter, add_dataset, add_model, render_manifest
from cortex_cli.registry.trailers import Trailers
from tests.pipeline.scenes import FAILURES, LESSONS, Scene, answered, call, copy_scene, corrected, judged, open_scene


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return open_scene(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def scene(made: Scene, tmp_path: Path) -> Scene:
    return copy_scene(made, tmp_path / "workspace")


def explain(scene: Scene, name: str, open_model: OpenScore = open_no_score) -> Explanation:
    with scene.journal() as journal:
        return explain_interaction(scene.place, journal, name, open_model=open_model)


def group(scene: Scene, since: str = "") -> FailureReport:
    with scene.journal() as journal:
        return explain_failures(scene.place, journal, "dispatch", since=since)


def inspect(scene: Scene, name: str, since: str = "") -> AdapterReport:
    with scene.journal() as journal:
        return explain_adapter(scene.place, journal, name, since=since)


def test_a_failure_is_explained_from_what_its_adapter_learned(scene: Scene) -> None:
    found = explain(scene, scene.failures[0].id)
    assert (found.basis.dataset, found.basis.rows, found.basis.trained) == ("dispatch/v0001", 10, True)
    assert [symptom.name for symptom in found.symptoms] == ["contradiction"]
    assert [(span.text, span.count) for span in found.answer_spans] == [("set_alarm", 4)]
    assert found.similar[0].request in LESSONS["set_timer"]
    assert found.notes == ()
    assert found.case.replayed


def test_the_suggestion_counts_the_failures_that_made_the_same_confusion(scene: Scene) -> None:
    suggestions = explain(scene, scene.failures[0].id).suggestions
    assert suggestions == (
        AddDemonstrations(expected="set_timer", answered="set_alarm", trained=2, rival=4, median=4, failures=3),
    )


def test_a_base_variant_is_held_against_examples_it_never_learned_and_says_so(scene: Scene) -> None:
    found = explain(scene, scene.lessons[0].id)
    assert (found.basis.dataset, found.basis.trained) == ("dispatch/v0001", False)
    assert any("was not trained on dispatch/v0001" in note for note in found.notes)
    assert any("nobody said that this answer was wrong" in note for note in found.notes)


def test_of_several_datasets_the_newest_live_one_is_taken(scene: Scene) -> None:
    newer = msgspec.structs.replace(scene.dataset, version="v0002", parent="dispatch/v0001")
    add_dataset(scene.place.registry, newer)
    assert explain(scene, scene.lessons[0].id).basis.dataset == "dispatch/v0002"


def test_a_variant_that_is_not_registered_is_explained_without_its_words(scene: Scene) -> None:
    foreign = answered("set a timer", call("set_alarm"), "dispatch-000000000000")
    scene.append(foreign, judged(foreign, thumbs=False))
    found = explain(scene, foreign.id, open_score)
    assert [symptom.name for symptom in found.symptoms] == ["rejected"]
    assert any("does not have the variant that answered" in note for note in found.notes)


def test_an_agent_that_was_only_collected_for_is_explained_by_exact_answers(scene: Scene) -> None:
    foreign = answered("hello", "", "", agent="stranger")
    scene.append(foreign)
    found = explain(scene, foreign.id)
    assert [symptom.name for symptom in found.symptoms] == ["no-answer"]
    assert found.notes[0] == "agent 'stranger' has no dataset, so no training example was looked at"


def test_lost_examples_are_a_note_and_the_rest_is_explained(scene: Scene) -> None:
    scene.place.objects.delete(scene.dataset.parts["train"].digest)
    found = explain(scene, scene.failures[0].id)
    assert (found.basis.rows, found.similar) == (0, ())
    assert "are not in this workspace" in found.notes[0]
    assert [symptom.name for symptom in found.symptoms] == ["contradiction"]


def test_altered_examples_are_an_integrity_error(scene: Scene) -> None:
    path = scene.place.objects.path(scene.dataset.parts["train"].digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"jazz", b"rock"))
    with pytest.raises(IntegrityError, match="corrupt"):
        explain(scene, scene.failures[0].id)


def test_a_model_behind_an_api_is_a_note_and_not_an_error(scene: Scene) -> None:
    add_model(scene.place.registry, Model(name="tiny", kind="api", source="openai/gpt"))
    note = explain(scene, scene.failures[0].id, open_score).notes[0]
    assert note.startswith("the words were not weighed: variant ")
    assert "whose weights are not here" in note


def test_a_model_whose_folder_is_gone_is_a_note(scene: Scene) -> None:
    assert "has no config.json" in explain(scene, scene.failures[0].id, open_score).notes[0]


def test_recorded_confidence_is_compared_with_right_answers_of_the_same_variant(scene: Scene) -> None:
    right = [
        msgspec.structs.replace(lesson, id=f"{lesson.id}s", variant=scene.tuned.id, meta={"logprob": f"-0.{number}1"})
        for number, lesson in enumerate(scene.lessons)
    ]
    unsure = msgspec.structs.replace(scene.failures[0], id="i-unsure", meta={"logprob": "-3.5"})
    scene.append(*right, *(judged(each, thumbs=True) for each in right), unsure, judged(unsure, thumbs=False))
    found = {symptom.name: symptom for symptom in explain(scene, "i-unsure").symptoms}
    assert found["low-confidence"].evidence == {"logprob": -3.5, "usual": -0.81}


def test_too_few_right_answers_say_nothing_of_what_is_usual(scene: Scene) -> None:
    unsure = msgspec.structs.replace(scene.failures[0], id="i-unsure", meta={"logprob": "-3.5"})
    scene.append(unsure, judged(unsure, thumbs=False))
    assert [symptom.name for symptom in explain(scene, "i-unsure").symptoms] == ["rejected"]


def test_failures_are_grouped_by_what_was_taken_for_what(scene: Scene) -> None:
    found = group(scene)
    assert (found.seen, found.judged, found.failures, found.replayed) == (13, 13, 3, 3)
    assert found.symptoms == {"contradiction": 3}
    first = found.clusters[0]
    assert (first.cluster.expected, first.cluster.answered, first.cluster.size) == ("set_timer", "set_alarm", 3)
    assert (first.trained, first.rival) == (2, 4)
    assert {case.messages[0].content for case in first.cases} == set(FAILURES)
    assert isinstance(first.suggestions[0], AddDemonstrations)


def test_failures_before_the_day_are_left_out(scene: Scene) -> None:
    assert (group(scene, "2026-03-03").failures, group(scene, "2026-03-03").seen) == (2, 2)
    assert group(scene, "2027-01-01").failures == 0


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "01.02.2026"])
def test_what_is_no_day_is_refused(scene: Scene, day: str) -> None:
    with pytest.raises(UsageError, match="is not a day"):
        group(scene, day)


def test_more_clusters_than_can_be_shown_are_counted(scene: Scene) -> None:
    odd = [answered(f"zq{number}x{number}", "nonsense", "", day=5) for number in range(25)]
    scene.append(*odd, *(corrected(each, call(f"tool_{number}")) for number, each in enumerate(odd)))
    found = group(scene)
    assert len(found.clusters) == 20
    assert found.more == 26 - 20
    assert found.symptoms["wrong-format"] == 25


def test_an_agent_without_answers_has_no_failures(scene: Scene) -> None:
    scene.place.workspace.journal_path.unlink()
    found = group(scene)
    assert (found.seen, found.failures, found.clusters) == (0, 0, ())


def test_an_adapter_is_told_by_what_it_learned_and_how_it_fails(scene: Scene) -> None:
    found = inspect(scene, scene.adapter.id)
    assert found.variants == (scene.tuned.id,)
    assert (found.domains, found.sources, found.months) == ({"home": 10}, {"accepted": 10}, {"2026-03": 10})
    assert found.answers == {"set_alarm": 4, "play_music": 4, "set_timer": 2}
    assert (found.failures.seen, found.failures.failures, found.conflicts) == (3, 3, ())
    assert inspect(scene, scene.adapter.id, "2026-03-04").failures.failures == 1


def test_a_dataset_that_left_the_registry_is_a_note(scene: Scene) -> None:
    scene.place.registry.commit(Trailers("forget", "dispatch"), {"datasets/dispatch/v0001.toml": None})
    found = inspect(scene, scene.adapter.id)
    assert found.answers == {}
    assert "is not in the registry" in found.failures.notes[0]


def test_unknown_ids_are_usage_errors_with_a_next_step(scene: Scene) -> None:
    with pytest.raises(UsageError, match="there is no interaction 'i-x' among the 13") as caught:
        explain(scene, "i-x")
    assert caught.value.hint
    with pytest.raises(UsageError, match="there is no adapter"):
        inspect(scene, "dispatch-000000000000")
    with pytest.raises(UsageError, match="there is no agent"), scene.journal() as journal:
        explain_failures(scene.place, journal, "dispatcher")


def test_contradictions_in_the_data_of_an_adapter_are_shown(scene: Scene) -> None:
    rows = list(read_examples(scene.place.objects, scene.dataset, "train"))
    wrong = msgspec.structs.replace(rows[0], id="x-wrong", answer=call("other"))
    lines = b"".join(canonical_json(row) + b"\n" for row in [*rows, wrong])
    part = Part(digest=scene.place.objects.put_bytes(lines), size=len(lines), rows=len(rows) + 1)
    data = TrainingExamples(scene.place.objects, msgspec.structs.replace(scene.dataset, parts={"train": part}))
    assert [(each.first, each.second) for each in find_conflicts(data, "json")] == [(rows[0].id, "x-wrong")]


def test_a_quarantined_dataset_is_a_note(scene: Scene) -> None:
    held = msgspec.structs.replace(scene.dataset, state="quarantined")
    scene.place.registry.commit(Trailers("drop", "dispatch"), {"datasets/dispatch/v0001.toml": render_manifest(held)})
    assert explain(scene, scene.failures[0].id).notes == ("dataset 'dispatch/v0001' is quarantined",)
    assert explain(scene, scene.lessons[0].id).basis.dataset == ""


def test_an_adapter_that_no_variant_carries_has_no_failures(scene: Scene) -> None:
    blob = scene.place.objects.put_chunks([b"weights"], "adapter_model.safetensors")
    lonely = msgspec.structs.replace(scene.adapter, id=adapter_id("dispatch", (blob,)), files=(blob,))
    add_adapter(scene.place.registry, lonely)
    found = inspect(scene, lonely.id)
    assert (found.variants, found.failures.seen, found.failures.failures) == ((), 0, 0)


def test_a_group_without_a_demonstration_names_its_cases_and_suggests_nothing(scene: Scene) -> None:
    odd = [answered(f"order pizza number {number}", "no json", "", day=6) for number in range(3)]
    scene.append(*odd, *(judged(each, thumbs=False) for each in odd))
    pizza = next(each for each in group(scene).clusters if "pizza" in each.cluster.words)
    assert (pizza.cluster.size, pizza.cluster.by, pizza.suggestions) == (3, "requests", ())
    assert (pizza.trained, pizza.rival) == (0, 0)


def test_nothing_is_written_by_explaining(scene: Scene) -> None:
    def listing() -> list[tuple[str, int]]:
        files = (path for path in scene.root.rglob("*") if path.is_file() and "locks" not in path.parts)
        return sorted((str(path), path.stat().st_size) for path in files if not path.name.startswith("journal.db-"))

    before = listing()
    explain(scene, scene.failures[0].id)
    group(scene)
    inspect(scene, scene.adapter.id)
    assert listing() == before


@pytest.mark.model
def test_words_are_weighed_by_the_very_model_that_answered(tmp_path: Path) -> None:
    from tests.models.tiny import make_adapter, make_base

    base = make_base(tmp_path / "workspace" / "base", [*FAILURES, call("set_timer"), call("set_alarm")])
    files = make_adapter(base, tmp_path / "adapter")
    scene = open_scene(tmp_path / "workspace", files)
    found = explain(scene, scene.failures[0].id, open_score)
    assert found.notes == ()
    weighed = found.attribution
    assert weighed is not None
    assert [part.text for part in weighed.parts] == FAILURES[0].split()
    assert (weighed.answer, weighed.against) == (call("set_alarm"), call("set_timer"))
    assert any(abs(part.weight) > 0.001 for part in weighed.parts)
    assert found.case.logprob is not None
    assert weighed.answer_logprob < found.case.logprob < 0


@pytest.mark.model
def test_a_request_longer_than_the_model_reads_is_a_note(tmp_path: Path) -> None:
    from tests.models.tiny import make_adapter, make_base

    base = make_base(tmp_path / "workspace" / "base", [*FAILURES, call("set_timer")])
    scene = open_scene(tmp_path / "workspace", make_adapter(base, tmp_path / "adapter"))
    endless = answered("timer " * 5000, call("set_alarm"), scene.tuned.id)
    scene.append(endless, judged(endless, thumbs=False))
    found = explain(scene, endless.id, open_score)
    assert found.attribution is None
    assert "tokens, at most 128 are weighed" in found.notes[0]
    assert found.similar


@pytest.mark.model
def test_confidence_is_measured_where_it_was_not_recorded(tmp_path: Path) -> None:
    from tests.models.tiny import make_adapter, make_base

    base = make_base(tmp_path / "workspace" / "base", [*FAILURES, call("set_timer"), call("set_alarm")])
    scene = open_scene(tmp_path / "workspace", make_adapter(base, tmp_path / "adapter"))
    right = [answered(f"timer number {n}", call("set_alarm"), scene.tuned.id, day=8) for n in range(12)]
    odd = answered("timer", "zq " * 9, scene.tuned.id, day=9)
    scene.append(*right, *(judged(each, thumbs=True) for each in right), odd, judged(odd, thumbs=False))
    found = explain(scene, odd.id, open_score)
    unsure = [symptom for symptom in found.symptoms if symptom.name == "low-confidence"]
    assert found.case.logprob is not None
    assert all(symptom.evidence["logprob"] == found.case.logprob for symptom in unsure)
    assert explain(scene, odd.id).case.logprob is None

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Interaction, Origin
from cortex_cli.domain.manifests import dataset_digest
from cortex_cli.pipeline.forgetting import Selectors, forget
from cortex_cli.pipeline.lineage import Lineage, Node, open_trail, trace
from cortex_cli.registry.actions import (
    add_adapter,
    add_dataset,
    add_variant,
    make_variant,
    render_manifest,
    rollback,
)
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.workspace import keyed_id, open_key
from tests.pipeline.scenes import PROMPT, Scene, answered, call, copy_scene, judged, open_scene


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return open_scene(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def scene(made: Scene, tmp_path: Path) -> Scene:
    return copy_scene(made, tmp_path / "workspace")


def ask(scene: Scene, name: str) -> Lineage:
    with scene.journal() as journal:
        return trace(open_trail(scene.place, journal), name)


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def find(node: Node, kind: str) -> Node:
    return next(each for each in walk(node) if each.kind == kind)


def git(scene: Scene, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=scene.root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_an_answer_leads_to_the_records_that_its_adapter_learned_from(scene: Scene) -> None:
    found = ask(scene, scene.failures[0].id)
    chain = [(node.kind, node.id) for node in walk(found.made_of)]
    assert chain == [
        ("interaction", scene.failures[0].id),
        ("feedback", found.made_of.children[0].id),
        ("source", "log"),
        ("variant", scene.tuned.id),
        ("prompt", "prompts/dispatch/main.md"),
        ("model", "tiny"),
        ("adapter", scene.adapter.id),
        ("model", "tiny"),
        ("dataset", "dispatch/v0001"),
        ("journal", f"{scene.dataset.journal[0]}..{scene.dataset.journal[1]}"),
        ("source", "log"),
    ]


def test_the_records_behind_a_dataset_are_counted(scene: Scene) -> None:
    journal = find(ask(scene, "dispatch/v0001").made_of, "journal")
    assert journal.facts == {"interactions": 10, "kept": 10, "feedback_on_kept": 10}
    assert journal.missing == ""


def test_later_records_are_not_behind_an_earlier_dataset(scene: Scene) -> None:
    more = answered("play the radio", call("play_music"), scene.base.id, day=9)
    scene.append(more, judged(more, thumbs=True), judged(scene.lessons[0], thumbs=False, name="late"))
    assert find(ask(scene, "dispatch/v0001").made_of, "journal").facts["feedback_on_kept"] == 10


def test_records_that_are_gone_are_said_to_be_gone(scene: Scene, tmp_path: Path) -> None:
    scene.place.workspace.journal_path.unlink()
    journal = find(ask(scene, "dispatch/v0001").made_of, "journal")
    assert journal.missing == "10 of 10 kept interactions are not in this journal"


def test_each_thing_names_the_commit_that_brought_it_in(scene: Scene) -> None:
    made = ask(scene, scene.failures[0].id).made_of
    for kind, path in [
        ("variant", f"registry/variants/{scene.tuned.id}.toml"),
        ("adapter", f"registry/adapters/{scene.adapter.id}.toml"),
        ("dataset", "datasets/dispatch/v0001.toml"),
        ("model", "registry/models/tiny.toml"),
        ("prompt", "prompts/dispatch/main.md"),
    ]:
        node = find(made, kind)
        assert node.commit == git(scene, "log", "--format=%H", "--diff-filter=A", "--", path)
        assert node.time
        assert node.actor


def test_a_prompt_that_changed_since_still_names_the_commit_of_its_text(scene: Scene) -> None:
    first = git(scene, "log", "--format=%H", "--", "prompts/dispatch/main.md")
    (scene.root / "prompts/dispatch/main.md").write_text(PROMPT + "now\n", encoding="utf-8")
    git(scene, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qam", "another prompt")
    node = find(ask(scene, scene.tuned.id).made_of, "prompt")
    assert (node.commit, node.facts["changed_since"]) == (first, True)


def test_an_answer_leads_on_to_the_dataset_that_learned_from_it(scene: Scene) -> None:
    went = ask(scene, scene.lessons[0].id).went_into
    assert [(node.kind, node.id) for node in walk(went[0])] == [
        ("dataset", "dispatch/v0001"),
        ("adapter", scene.adapter.id),
        ("variant", scene.tuned.id),
        ("agent", "dispatch"),
    ]
    assert ask(scene, scene.failures[0].id).went_into == ()


@pytest.mark.parametrize("name", ["dispatch/v0001", "dispatch"])
def test_a_dataset_leads_to_adapters_variants_and_agents(scene: Scene, name: str) -> None:
    found = ask(scene, name)
    assert (found.kind, found.id) == ("dataset", "dispatch/v0001")
    assert [node.kind for node in walk(found.went_into[0])] == ["adapter", "variant", "agent"]


def test_an_adapter_is_traced_both_ways(scene: Scene) -> None:
    found = ask(scene, scene.adapter.id)
    assert found.kind == "adapter"
    assert find(found.made_of, "dataset").facts["train"] == 10
    assert [node.id for node in found.went_into] == [scene.tuned.id]


def test_the_role_of_a_variant_follows_the_agent(scene: Scene) -> None:
    assert [node.facts["role"] for node in ask(scene, scene.tuned.id).went_into] == ["champion"]
    assert [node.facts["role"] for node in ask(scene, scene.base.id).went_into] == ["previous"]
    rollback(scene.place.registry, "dispatch", objects=scene.place.objects)
    assert [node.facts["role"] for node in ask(scene, scene.base.id).went_into] == ["champion"]


def test_a_base_variant_has_no_adapter_in_its_tree(scene: Scene) -> None:
    assert [node.kind for node in walk(ask(scene, scene.base.id).made_of)] == ["variant", "prompt", "model"]


def test_judgements_are_told_with_who_said_what(scene: Scene) -> None:
    feedback = find(ask(scene, scene.lessons[0].id).made_of, "feedback")
    assert feedback.facts == {"kind": "boolean", "verdict": "accepted", "by": "anna", "annotator": "human"}


@pytest.mark.parametrize(
    ("variant", "words"), [("", "recorded without a variant"), ("dispatch-000000000000", "not in the")]
)
def test_an_answer_whose_variant_is_not_known_keeps_the_rest_of_its_tree(
    scene: Scene, variant: str, words: str
) -> None:
    foreign: Interaction = answered("hello", "hi", variant)
    scene.append(foreign)
    node = ask(scene, foreign.id).made_of.children[-1]
    assert (node.kind, node.id) == ("variant", variant)
    assert words in node.missing


def test_a_lost_lineage_object_leaves_the_dataset_traceable(scene: Scene) -> None:
    scene.place.objects.delete(scene.dataset.lineage.digest)
    found = ask(scene, "dispatch/v0001")
    assert find(found.made_of, "journal").facts["kept"] == 0
    assert ask(scene, scene.lessons[0].id).went_into == ()


def test_a_question_makes_no_key(scene: Scene) -> None:
    scene.place.workspace.key_path.unlink()
    ask(scene, scene.lessons[0].id)
    assert not scene.place.workspace.key_path.exists()


@pytest.mark.parametrize("name", ["i-nothing", "dispatch/v0009", "dispatch/", "nope", "-x", "../../etc", ""])
def test_what_does_not_exist_is_a_usage_error_with_a_next_step(scene: Scene, name: str) -> None:
    with pytest.raises(UsageError, match="there is no interaction, variant, adapter or dataset") as caught:
        ask(scene, name)
    assert caught.value.hint


def test_a_near_miss_is_guessed(scene: Scene) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{scene.tuned.id}'"):
        ask(scene, scene.tuned.id[:-1])


def test_a_challenger_is_named_as_one(scene: Scene) -> None:
    registry = scene.place.registry
    agent = registry.snapshot().agent("dispatch")
    other = make_variant(registry.snapshot(), agent="dispatch", model="tiny", parameters={"max_tokens": 8})
    add_variant(registry, other)
    running = msgspec.structs.replace(agent, challengers=(other.id,))
    registry.commit(Trailers("ab", "dispatch"), {"registry/agents/dispatch.toml": render_manifest(running)})
    found = ask(scene, other.id)
    assert [node.facts["role"] for node in found.went_into] == ["challenger"]
    assert found.made_of.facts == {"agent": "dispatch", "max_tokens": 8}


def test_a_variant_that_answers_for_nobody_went_into_nothing(scene: Scene) -> None:
    registry = scene.place.registry
    other = make_variant(registry.snapshot(), agent="dispatch", model="tiny", parameters={"max_tokens": 8})
    add_variant(registry, other)
    assert ask(scene, other.id).went_into == ()


@pytest.mark.parametrize(
    ("path", "kind"), [("registry/adapters/{}.toml", "adapter"), ("registry/models/tiny.toml", "model")]
)
def test_what_left_the_registry_stays_in_the_tree_as_missing(scene: Scene, path: str, kind: str) -> None:
    scene.place.registry.commit(Trailers("drop", "dispatch"), {path.format(scene.adapter.id): None})
    node = find(ask(scene, scene.tuned.id).made_of, kind)
    assert node.missing == "not in the registry"
    assert node.id in {scene.adapter.id, "tiny"}


def test_a_dataset_that_left_the_registry_stays_in_the_tree_as_missing(scene: Scene) -> None:
    scene.place.registry.commit(Trailers("drop", "dispatch"), {"datasets/dispatch/v0001.toml": None})
    node = find(ask(scene, scene.adapter.id).made_of, "dataset")
    assert (node.id, node.missing, node.children) == ("dispatch/v0001", "not in the registry", ())


def test_a_dataset_that_is_not_the_one_trained_on_is_said_to_be_another(scene: Scene) -> None:
    registry = scene.place.registry
    forged = msgspec.structs.replace(scene.adapter, dataset_digest="sha256:" + "1" * 64)
    path = f"registry/adapters/{scene.adapter.id}.toml"
    registry.commit(Trailers("train", "dispatch"), {path: render_manifest(forged)})
    assert "another digest" in find(ask(scene, scene.adapter.id).made_of, "dataset").missing


def test_a_revoked_adapter_and_a_quarantined_dataset_say_so(scene: Scene) -> None:
    registry = scene.place.registry
    revoked = msgspec.structs.replace(scene.adapter, state="revoked")
    held = msgspec.structs.replace(scene.dataset, state="quarantined")
    files: dict[str, bytes | None] = {
        f"registry/adapters/{scene.adapter.id}.toml": render_manifest(revoked),
        "datasets/dispatch/v0001.toml": render_manifest(held),
    }
    registry.commit(Trailers("drop", "dispatch"), files)
    made = ask(scene, scene.tuned.id).made_of
    assert find(made, "adapter").facts["state"] == "revoked"
    assert find(made, "dataset").facts["state"] == "quarantined"


def test_the_first_commit_of_a_thing_is_named_and_not_the_last(scene: Scene) -> None:
    first = find(ask(scene, scene.adapter.id).made_of, "adapter").commit
    add_adapter(scene.place.registry, msgspec.structs.replace(scene.adapter, scores={"success": 0.8}))
    assert find(ask(scene, scene.adapter.id).made_of, "adapter").commit == first


def test_an_answer_in_two_versions_leads_on_to_both(scene: Scene) -> None:
    newer = msgspec.structs.replace(scene.dataset, version="v0002", parent="dispatch/v0001")
    add_dataset(scene.place.registry, newer)
    assert [node.id for node in ask(scene, scene.lessons[0].id).went_into] == ["dispatch/v0001", "dispatch/v0002"]
    assert ask(scene, "dispatch").id == "dispatch/v0002"
    assert find(ask(scene, "dispatch").made_of, "dataset").facts["parent"] == "dispatch/v0001"


def test_more_judgements_than_can_be_shown_are_counted(scene: Scene) -> None:
    target = scene.failures[0]
    scene.append(*(judged(target, thumbs=False, name=f"judge {number}") for number in range(15)))
    made = ask(scene, target.id).made_of
    assert made.facts["judgements"] == 16
    assert sum(node.kind == "feedback" for node in made.children) == 10


def test_the_journal_of_another_agent_is_not_behind_a_dataset(scene: Scene) -> None:
    scene.append(answered("hello", "hi", "", agent="stranger"))
    assert find(ask(scene, "dispatch").made_of, "journal").facts["interactions"] == 10


def test_an_alias_leads_to_the_answer_and_to_where_it_was_read(scene: Scene) -> None:
    told = msgspec.structs.replace(
        answered("hello", "hi", ""), aliases=("chatcmpl-1",), origin=Origin("monday.jsonl", 7, "sha256:" + "a" * 64)
    )
    scene.append(told, msgspec.structs.replace(judged(told, thumbs=True), target="chatcmpl-1"))
    found = ask(scene, "chatcmpl-1")
    assert (found.kind, found.id) == ("interaction", told.id)
    assert found.made_of.facts["judgements"] == 1
    source = find(found.made_of, "source")
    assert (source.id, source.facts["line"]) == ("monday.jsonl", 7)


def test_the_files_behind_a_dataset_are_told_with_what_was_kept_of_each(scene: Scene) -> None:
    source = find(ask(scene, "dispatch/v0001").made_of, "source")
    assert (source.id, source.facts) == ("log", {"kept": 10})


def test_answers_that_were_merged_into_one_example_all_went_into_its_version(scene: Scene) -> None:
    twin = answered("set a timer for ten minutes", call("set_timer"), scene.base.id, day=9)
    scene.append(twin)
    key = open_key(scene.place.workspace)
    lines = [f"{keyed_id(key, each.id)} {keyed_id(key, twin.id)}\n" for each in scene.lessons]
    lineage = scene.place.objects.put_chunks(["".join(lines).encode()], "lineage")
    draft = msgspec.structs.replace(scene.dataset, version="v0002", lineage=lineage, journal=(1, 100))
    add_dataset(scene.place.registry, msgspec.structs.replace(draft, digest=dataset_digest(draft.parts, draft.lineage)))
    assert [node.id for node in ask(scene, twin.id).went_into] == ["dispatch/v0002"]
    assert find(ask(scene, "dispatch/v0002").made_of, "journal").facts["kept"] == 11


def test_what_was_forgotten_is_told_with_day_and_reason(scene: Scene) -> None:
    gone = scene.lessons[0]
    forget(scene.place, Selectors(interaction=gone.id), reason="asked for")
    found = ask(scene, gone.id)
    assert found.made_of == Node(
        kind="interaction", id=gone.id, time="2026-03-01T00:00:00Z", missing="forgotten: asked for"
    )
    assert found.went_into == ()
    journal = find(ask(scene, "dispatch/v0001").made_of, "journal")
    assert journal.missing == "which interactions it was made of was forgotten with its content"
    assert find(ask(scene, scene.tuned.id).made_of, "dataset").facts["state"] == "revoked"


def test_of_what_is_not_in_the_journal_the_forgotten_are_counted(scene: Scene) -> None:
    with scene.journal() as journal:
        journal.erase([scene.lessons[0].id], reason="", time="", key=open_key(scene.place.workspace))
    missing = find(ask(scene, "dispatch/v0001").made_of, "journal").missing
    assert missing == "1 of 10 kept interactions are not in this journal, 1 of them forgotten"

"""The stages one after the other, on the workspace of conftest."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from cortex_cli.curate.versions import read_examples, read_sealed
from cortex_cli.domain.errors import ConflictError, FaultsError, IntegrityError, LockedError, UsageError
from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.domain.manifests import Policy
from cortex_cli.evaluate.gates import GateSpec
from cortex_cli.evaluate.suites import Case, suite_of_cases
from cortex_cli.optimize.prompts import parse_prompt
from cortex_cli.pipeline.contest import Contest, find_contest, run_contest
from cortex_cli.pipeline.curating import curate_recipe
from cortex_cli.pipeline.evaluating import evaluate_variant, find_suite
from cortex_cli.pipeline.recipes import Recipe, load_recipe, stage_digest
from cortex_cli.pipeline.training import plan_recipe, register_challenger, train_recipe
from cortex_cli.pipeline.variants import link_adapter, open_variant, render_request
from cortex_cli.registry.actions import add_dataset
from cortex_cli.registry.fsck import check
from cortex_cli.release.verifying import verify_experiment
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.starter import starter_root
from tests.pipeline.conftest import Lab

pytestmark = pytest.mark.model


def heldout_suite(lab: Lab) -> object:
    cases = (Case(f"h{n}", (Message("user", r.text),), r.reference, r.domain) for n, r in enumerate(lab.held_out))
    return suite_of_cases("held-out", cases)


def journaled(lab: Lab) -> list[Interaction]:
    with Journal(lab.place.workspace.journal_path) as journal:
        return [found for _, found in journal.interactions(agent="dispatch")]


def test_replayed_traffic_is_journaled_with_its_verdicts_and_says_so(lab: Lab) -> None:
    interactions = journaled(lab)
    with Journal(lab.place.workspace.journal_path) as journal:
        verdicts = [journal.feedback_on(found.id)[0] for found in interactions]

    # A request that names somebody is masked; the others stand in the journal as they were asked.
    pairs = [
        (request.text, found.messages[0].content) for request, found in zip(lab.requests, interactions, strict=True)
    ]
    masked = [kept for asked, kept in pairs if asked != kept]
    assert len(masked) < 0.1 * len(pairs)
    assert all("<" in kept for kept in masked)
    assert all(found.replayed and found.variant == lab.base.id for found in interactions)
    assert {verdict.annotator for verdict in verdicts} == {"replayed"}
    for found, verdict in zip(interactions, verdicts, strict=True):
        assert (found.outcome == "success") == (verdict.kind == "boolean")


def test_corrections_become_examples_with_the_wrong_answer_beside_them(lab: Lab) -> None:
    version = lab.made.version
    examples = [*read_examples(lab.place.objects, version, ""), *read_sealed(lab.place.objects, version)]
    asked = zip(lab.requests, journaled(lab), strict=True)
    wanted = {found.messages[0].content: request.reference for request, found in asked}

    near = version.rejected.get("near_duplicate", 0)
    assert len(examples) == len(wanted) - near > 0.9 * len(wanted)
    assert all(example.answer == wanted[example.messages[0].content] for example in examples)
    assert all(example.rejected for example in examples if example.source == "correction")
    assert lab.made.version.counts["replayed"] == len(examples)


def test_curating_the_same_journal_again_makes_no_new_version(lab: Lab) -> None:
    head = lab.place.registry.snapshot().commit
    again = curate_recipe(lab.place, lab.recipe, name="dispatch")

    assert again.known
    assert again.version == lab.place.registry.snapshot().dataset("dispatch")
    assert lab.place.registry.snapshot().commit == head


def test_an_agent_without_interactions_gives_no_version(lab: Lab) -> None:
    recipe = load_recipe(lab.place.workspace.root / "recipes" / "shell.toml")

    with pytest.raises(UsageError, match="no example of agent 'shell' survives"):
        curate_recipe(lab.place, recipe, name="shell")


def test_a_dry_run_records_nothing(lab: Lab) -> None:
    head = lab.place.registry.snapshot().commit
    assert lab.recipe.curate is not None
    other = msgspec.structs.replace(lab.recipe, curate=msgspec.structs.replace(lab.recipe.curate, limit=20))
    made = curate_recipe(lab.place, other, name="dispatch", record=False)

    assert made.version.version == "v0002"
    assert made.commit == ""
    assert lab.place.registry.snapshot().commit == head


def test_the_adapter_is_registered_with_all_that_made_it(lab: Lab) -> None:
    adapter = lab.place.registry.snapshot().adapter(lab.trained.adapter.id)

    assert adapter.dataset == "dispatch/v0001"
    assert adapter.dataset_digest == lab.made.version.digest
    assert adapter.base_digest == lab.place.registry.snapshot().model("cortex-tiny").digest
    assert adapter.examples == lab.made.version.parts["train"].rows
    assert {blob.name for blob in adapter.files} == {"adapter_config.json", "adapter_model.safetensors"}
    assert all(lab.place.objects.verify(blob.digest) for blob in adapter.files)
    assert lab.challenger.adapter == adapter.id


def test_training_what_is_done_already_does_nothing(lab: Lab) -> None:
    again = train_recipe(lab.place, lab.recipe, name="dispatch")

    assert again.skipped
    assert again.adapter == lab.trained.adapter
    assert register_challenger(lab.place, "dispatch", again.adapter) == lab.challenger


def test_another_setting_is_another_step(lab: Lab) -> None:
    assert lab.recipe.train is not None
    other = msgspec.structs.replace(lab.recipe, train=msgspec.structs.replace(lab.recipe.train, min_examples=51))
    snapshot = lab.place.registry.snapshot()

    assert plan_recipe(snapshot, lab.recipe, name="x").step.done == lab.trained.adapter.id
    assert plan_recipe(snapshot, other, name="x").step.done == ""
    assert stage_digest(lab.recipe.train) != stage_digest(other.train)  # type: ignore[arg-type]


def test_two_trainings_in_one_workspace_are_refused_with_the_holder(lab: Lab) -> None:
    assert lab.recipe.train is not None
    other = msgspec.structs.replace(lab.recipe, train=msgspec.structs.replace(lab.recipe.train, min_examples=52))
    lock = lab.place.workspace.locks_root / "train.lock"

    with hold(lock, purpose="train nightly"), pytest.raises(LockedError, match="train nightly"):
        train_recipe(lab.place, other, name="dispatch")


def test_a_revoked_dataset_is_never_trained_on(lab: Lab) -> None:
    bad = msgspec.structs.replace(lab.made.version, name="bad", version="v0001", state="quarantined")
    add_dataset(lab.place.registry, bad)
    assert lab.recipe.train is not None
    recipe = msgspec.structs.replace(lab.recipe, train=msgspec.structs.replace(lab.recipe.train, dataset="bad"))

    with pytest.raises(ConflictError, match="'bad/v0001' is quarantined and must not be trained on"):
        train_recipe(lab.place, recipe, name="dispatch")


def test_a_recipe_without_the_table_says_which_is_missing(lab: Lab) -> None:
    with pytest.raises(UsageError, match=r"no \[train\] table"):
        train_recipe(lab.place, Recipe(), name="empty")
    with pytest.raises(UsageError, match=r"no \[curate\] table"):
        curate_recipe(lab.place, Recipe(), name="empty")


def test_the_adapter_beats_the_base_on_requests_it_never_saw(lab: Lab) -> None:
    found = evaluate_variant(lab.place, lab.challenger.id, heldout_suite(lab), GateSpec())  # type: ignore[arg-type]

    assert found.champion is not None
    assert found.comparison is not None
    assert found.champion.success < 0.2
    assert found.scores.success > found.champion.success + 0.3
    assert found.comparison.low > 0
    assert found.passed


def test_a_suite_is_named_by_dataset_part_or_file(lab: Lab, tmp_path: Path) -> None:
    snapshot = lab.place.registry.snapshot()
    path = tmp_path / "suite.jsonl"
    path.write_text(json.dumps({"request": "flip a coin", "reference": '{"tool": "flip_coin"}'}) + "\n")

    assert find_suite(lab.place, snapshot, "dispatch:train").name == "dispatch/v0001:train"
    assert len(find_suite(lab.place, snapshot, str(path)).cases) == 1
    with pytest.raises(UsageError, match="does not exist"):
        find_suite(lab.place, snapshot, "missing.jsonl")
    with pytest.raises(UsageError, match="has no part 'other'"):
        find_suite(lab.place, snapshot, "dispatch:other")


def test_an_altered_adapter_is_found_before_it_is_loaded(lab: Lab) -> None:
    blob = lab.trained.adapter.files[0]
    path = lab.place.objects.path(blob.digest)
    kept = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(kept[:-1] + b"!")
    try:
        with pytest.raises(IntegrityError, match="has lost or altered"):
            link_adapter(lab.place, lab.trained.adapter)
    finally:
        path.write_bytes(kept)
        path.chmod(0o444)
    assert (link_adapter(lab.place, lab.trained.adapter) / blob.name).read_bytes() == kept


def test_a_prompt_edited_later_does_not_change_a_registered_variant(lab: Lab) -> None:
    path = lab.place.workspace.root / lab.base.prompt
    kept = path.read_text()
    path.write_text(kept.replace("{{ utterance }}", "Other: {{ utterance }}"))
    try:
        opened = open_variant(lab.place, lab.place.registry.snapshot(), lab.base)
    finally:
        path.write_text(kept)

    assert render_request(opened.prompt, (Message("user", "hi"),)) == (Message("user", "hi"),)


def test_a_request_fills_the_one_variable_of_its_prompt() -> None:
    one = parse_prompt('+++\nsummary = "x"\n[variables]\nq = "str"\n+++\nAsk: {{ q }}\n', "p")
    two = parse_prompt('+++\nsummary = "x"\n[variables]\nq = "str"\nr = "str"\n+++\n{{ q }}{{ r }}\n', "p")
    talk = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))

    assert render_request(one, talk) == (*talk[:2], Message("user", "Ask: c"))
    with pytest.raises(UsageError, match="takes 2 variables"):
        render_request(two, talk)


class Right:
    """Answers every third request wrong, or all of them right."""

    def __init__(self, answers: dict[str, str], *, wrong_every: int) -> None:
        self.answers = answers
        self.wrong_every = wrong_every
        self.asked = 0

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        return [self._answer(prompt[-1].content) for prompt in prompts]

    def _answer(self, text: str) -> Answer:
        self.asked += 1
        wrong = self.wrong_every and self.asked % self.wrong_every == 0
        return Answer(text="{}" if wrong else self.answers[text], seconds=0.01)


def contest(lab: Lab, *, champion_wrong: int, challenger_wrong: int) -> Contest:
    answers = {request.text: request.reference for request in lab.requests}
    models = {
        lab.base.id: Right(answers, wrong_every=champion_wrong),
        lab.challenger.id: Right(answers, wrong_every=challenger_wrong),
    }
    policy = Policy(min_tasks=100)
    return Contest("dispatch", lab.base.id, lab.challenger.id, models, "json", policy)  # type: ignore[arg-type]


def test_a_contest_is_decided_recorded_and_can_be_verified(lab: Lab) -> None:
    one = contest(lab, champion_wrong=2, challenger_wrong=0)
    decided = run_contest(lab.place, one, lab.requests)

    assert decided.state == "decided"
    assert decided.replayed
    assert decided.verdict is not None
    assert decided.verdict.outcome == "promote"
    assert decided.verdict.tasks == len(lab.requests)
    assert verify_experiment(lab.place.registry.snapshot(), lab.place.objects, decided.id).holds
    assert find_contest(lab.place, one) == decided
    assert run_contest(lab.place, one, lab.requests) == decided


def test_the_registry_is_sound_after_the_whole_loop(lab: Lab) -> None:
    findings = check(lab.place.registry, lab.place.objects)

    assert [finding for finding in findings if "bad" not in str(finding)] == []


@pytest.mark.parametrize("path", sorted((starter_root() / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_recipe_is_sound(path: Path) -> None:
    assert load_recipe(path).summary


def test_all_faults_of_a_recipe_are_reported_together(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('[train]\nagent = 3\nlop = {}\n[curat]\nx = 1\n[release]\nmode = "magic"\n')

    with pytest.raises(FaultsError) as caught:
        load_recipe(path)

    told = str(caught.value)
    assert "train.agent: Expected `str`" in told
    assert "train.dataset: is missing" in told
    assert "train.lop: unknown key, did you mean 'loop'?" in told
    assert "curat: unknown key, did you mean 'curate'?" in told
    assert "release.mode: Invalid enum value 'magic'" in told


def test_a_recipe_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_recipe(tmp_path / "no.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not UTF-8"):
        load_recipe(tmp_path / "x.toml")

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.digests import digest_bytes
from cortex_cli.domain.errors import ConflictError, CortexError, IntegrityError, UsageError
from cortex_cli.domain.manifests import (
    Adapter,
    Agent,
    Blob,
    DatasetVersion,
    Experiment,
    Model,
    Prices,
    Variant,
    Verdict,
    variant_id,
)
from cortex_cli.domain.tables import parse_toml
from cortex_cli.registry.actions import (
    Moved,
    add_adapter,
    add_agent,
    add_dataset,
    add_experiment,
    add_model,
    add_variant,
    finish_experiment,
    make_variant,
    promote,
    render_manifest,
    rollback,
)
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers, parse_message
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

User = Callable[..., str]
MakeVariant = Callable[..., Variant]
MakeAdapter = Callable[..., Adapter]
MakeDataset = Callable[..., DatasetVersion]
MakeExperiment = Callable[..., Experiment]


def account(user: User, rev: str = "HEAD") -> Trailers:
    found = parse_message(user("log", "-1", "--format=%B", rev))
    assert found is not None
    return found


def touched(user: User, rev: str = "HEAD") -> list[str]:
    return user("show", "--name-only", "--format=", rev).split()


# How manifests are written


def test_a_manifest_is_toml_with_its_schema_and_without_defaults() -> None:
    agent = Agent(agent="dispatch", champion="b", challengers=("c", "a"), split={"c": 0.25, "a": 0.25})
    assert render_manifest(agent).decode() == (
        'schema = 1\nagent = "dispatch"\nchampion = "b"\nchallengers = [\n    "c",\n    "a",\n]\n'
        "\n[split]\na = 0.25\nc = 0.25\n"
    )


@given(
    parameters=st.dictionaries(
        st.text(st.characters(categories=["Ll"]), min_size=1, max_size=8),
        st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=20),
        max_size=4,
    )
)
def test_a_variant_keeps_its_id_through_toml(parameters: dict[str, str | int | float | bool]) -> None:
    draft = Variant(id="", agent="a", model="m", prompt="p", prompt_blob="b", parameters=parameters)
    made = msgspec.structs.replace(draft, id=variant_id(draft))
    read = parse_toml(render_manifest(made).decode(), Variant, source="x")
    assert read == made
    assert variant_id(read) == made.id


def test_equal_manifests_have_equal_bytes_whatever_the_order_of_their_tables() -> None:
    first = Agent(agent="a", challengers=("x", "y"), split={"x": 0.1, "y": 0.2})
    second = Agent(agent="a", challengers=("x", "y"), split={"y": 0.2, "x": 0.1})
    assert render_manifest(first) == render_manifest(second)


# Agents, models and variants


def test_an_agent_is_added_by_one_commit(registry: Registry, user: User) -> None:
    commit = add_agent(registry, Agent(agent="router", summary="routes"))
    assert user("rev-parse", "HEAD") == commit
    assert touched(user) == ["registry/agents/router.toml"]
    assert account(user).action == "agent"
    assert registry.snapshot().agent("router") == Agent(agent="router", summary="routes")


def test_adding_the_same_agent_again_is_nothing_to_do(registry: Registry) -> None:
    first = add_agent(registry, Agent(agent="router"))
    assert add_agent(registry, Agent(agent="router")) == first


def test_an_agent_with_another_state_is_not_overwritten(registry: Registry, variant: MakeVariant) -> None:
    promote(registry, "dispatch", variant(seed=1).id)
    with pytest.raises(UsageError, match="'dispatch' exists already"):
        add_agent(registry, Agent(agent="dispatch"))


@pytest.mark.parametrize("name", ["../evil", "a/b", "Big", ""])
def test_an_agent_whose_name_is_no_name_is_refused(registry: Registry, user: User, name: str) -> None:
    before = user("rev-parse", "HEAD")
    with pytest.raises(UsageError):
        add_agent(registry, Agent(agent=name))
    assert user("rev-parse", "HEAD") == before


def test_an_agent_refers_to_variants_of_its_own_only(registry: Registry, variant: MakeVariant) -> None:
    other = variant(seed=1, agent="shell")
    with pytest.raises(UsageError, match="belongs to agent 'shell'"):
        add_agent(registry, Agent(agent="router", challengers=(other.id,)))
    with pytest.raises(UsageError, match="there is no variant"):
        add_agent(registry, Agent(agent="router", champion="router-000000000000"))


@pytest.mark.parametrize("split", [{"router-000000000000": 0.5}, {"": 1.0}])
def test_a_split_is_of_challengers_and_below_one(registry: Registry, split: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="split"):
        add_agent(registry, Agent(agent="router", split=split))


def test_a_model_may_change_its_prices(registry: Registry, user: User) -> None:
    model = Model(name="gpt", kind="api", source="openai/gpt")
    add_model(registry, model)
    changed = msgspec.structs.replace(model, prices=Prices(1.0, 2.0))
    add_model(registry, changed)
    assert registry.snapshot().model("gpt") == changed
    assert account(user).target == "gpt"


def test_a_variant_is_named_by_its_content(registry: Registry, user: User) -> None:
    made = make_variant(registry.snapshot(), agent="dispatch", model="base", parameters={"temperature": 0.5})
    assert made.id == variant_id(made)
    assert made.prompt == "prompts/dispatch/default.md"
    assert made.prompt_blob == user("rev-parse", "HEAD:prompts/dispatch/default.md")
    assert add_variant(registry, made) == made
    assert registry.snapshot().variant(made.id) == made
    assert account(user).to == made.id


def test_a_variant_is_made_of_what_is_committed(registry: Registry, root: Path) -> None:
    (root / "prompts" / "dispatch" / "new.md").write_text("not committed\n", encoding="utf-8")
    snapshot = registry.snapshot()
    with pytest.raises(UsageError, match=r"no committed prompt 'prompts/dispatch/new\.md'"):
        make_variant(snapshot, agent="dispatch", model="base", prompt="prompts/dispatch/new.md")
    with pytest.raises(UsageError, match="there is no model 'bose'"):
        make_variant(snapshot, agent="dispatch", model="bose")
    with pytest.raises(UsageError, match="there is no agent 'nobody'"):
        make_variant(snapshot, agent="nobody", model="base")
    with pytest.raises(UsageError, match="there is no adapter"):
        make_variant(snapshot, agent="dispatch", model="base", adapter="dispatch-000000000000")


def test_the_prompt_called_default_is_taken_among_several(registry: Registry) -> None:
    note = Trailers("note", "dispatch")
    registry.commit(note, {"prompts/dispatch/terse.md": b"briefly\n"})
    made = make_variant(registry.snapshot(), agent="dispatch", model="base")
    assert made.prompt == "prompts/dispatch/default.md"
    registry.commit(note, {"prompts/dispatch/default.md": None, "prompts/dispatch/long.md": b"at length\n"})
    with pytest.raises(UsageError, match="2 committed prompts and none called default"):
        make_variant(registry.snapshot(), agent="dispatch", model="base")


def test_the_text_of_a_variants_prompt_stays_readable_when_the_file_changes(
    registry: Registry, variant: MakeVariant
) -> None:
    made = variant(seed=1)
    registry.commit(Trailers("note", "dispatch"), {made.prompt: b"changed\n"})
    assert registry.snapshot().read_blob(made.prompt_blob) == b"answer as dispatch\n"


def test_a_variant_that_is_not_its_content_is_refused(registry: Registry) -> None:
    made = make_variant(registry.snapshot(), agent="dispatch", model="base")
    with pytest.raises(IntegrityError, match="not what its content says"):
        add_variant(registry, msgspec.structs.replace(made, parameters={"temperature": 2.0}))
    forged = msgspec.structs.replace(made, prompt_blob="0" * 40)
    with pytest.raises(IntegrityError, match="git does not hold"):
        add_variant(registry, msgspec.structs.replace(forged, id=variant_id(forged)))


# Adapters and dataset versions


def test_an_adapter_is_the_commit_of_its_training(registry: Registry, user: User, adapter: MakeAdapter) -> None:
    trained = adapter(b"weights")
    add_adapter(registry, trained)
    assert registry.snapshot().adapter(trained.id) == trained
    assert (account(user).action, account(user).to, account(user).run_id) == ("train", trained.id, "r-1")


def test_an_adapter_may_gain_scores_and_be_revoked(registry: Registry, adapter: MakeAdapter) -> None:
    trained = adapter(b"weights")
    add_adapter(registry, trained)
    add_adapter(registry, msgspec.structs.replace(trained, scores={"exact": 0.75}, state="revoked"))
    assert registry.snapshot().adapter(trained.id).state == "revoked"


def test_an_adapter_whose_id_is_not_that_of_its_files_is_refused(registry: Registry, adapter: MakeAdapter) -> None:
    trained = adapter(b"weights")
    with pytest.raises(IntegrityError):
        add_adapter(registry, msgspec.structs.replace(trained, id="dispatch-000000000000"))


def test_a_dataset_version_is_the_commit_of_its_curation(registry: Registry, user: User, dataset: MakeDataset) -> None:
    add_dataset(registry, dataset("v0001", b"rows"))
    add_dataset(registry, dataset("v0002", b"more rows", parent="calls/v0001"))
    assert (account(user).action, account(user).from_, account(user).to) == ("curate", "calls/v0001", "calls/v0002")
    assert touched(user) == ["datasets/calls/v0002.toml"]


def test_a_dataset_version_is_never_given_other_content(registry: Registry, dataset: MakeDataset) -> None:
    first = dataset("v0001", b"rows")
    add_dataset(registry, first)
    with pytest.raises(ConflictError, match="'calls/v0001' exists with other content"):
        add_dataset(registry, dataset("v0001", b"other rows"))
    add_dataset(registry, msgspec.structs.replace(first, state="quarantined"))
    assert registry.snapshot().dataset("calls").state == "quarantined"


def test_a_dataset_whose_digest_is_not_that_of_its_parts_is_refused(registry: Registry, dataset: MakeDataset) -> None:
    with pytest.raises(IntegrityError):
        add_dataset(registry, msgspec.structs.replace(dataset("v0001", b"rows"), digest=digest_bytes(b"x")))


def test_what_belongs_to_an_unknown_agent_is_refused(
    registry: Registry, adapter: MakeAdapter, dataset: MakeDataset
) -> None:
    with pytest.raises(UsageError, match="there is no agent 'nobody'"):
        add_adapter(registry, adapter(b"weights", agent="nobody"))
    with pytest.raises(UsageError, match="there is no agent 'nobody'"):
        add_dataset(registry, msgspec.structs.replace(dataset("v0001", b"x"), agent="nobody"))


# Promotion


def test_a_promotion_is_one_commit_of_one_file(registry: Registry, user: User, variant: MakeVariant) -> None:
    first, second = variant(seed=1), variant(seed=2)
    assert promote(registry, "dispatch", first.id).generation == 1
    moved = promote(registry, "dispatch", second.id, expect=first.id)
    assert moved == Moved("dispatch", first.id, second.id, 2, user("rev-parse", "HEAD"))
    assert touched(user) == ["registry/agents/dispatch.toml"]
    state = registry.snapshot().agent("dispatch")
    assert (state.champion, state.previous, state.generation) == (second.id, first.id, 2)
    assert user("log", "-1", "--format=%s") == f"promote(dispatch): champion {first.id} -> {second.id}"
    found = account(user)
    assert (found.from_, found.to, found.generation, found.actor) == (first.id, second.id, 2, "human")


def test_promoting_the_champion_again_is_refused(registry: Registry, user: User, variant: MakeVariant) -> None:
    only = variant(seed=1)
    promote(registry, "dispatch", only.id)
    before = user("rev-parse", "HEAD")
    with pytest.raises(UsageError, match="already the champion of 'dispatch'") as caught:
        promote(registry, "dispatch", only.id)
    assert caught.value.state == "nothing was changed"
    assert user("rev-parse", "HEAD") == before


def test_a_stale_expectation_tells_who_moved_the_champion_when_and_by_which_commit(
    registry: Registry, user: User, variant: MakeVariant
) -> None:
    first, second, third = (variant(seed=seed) for seed in (1, 2, 3))
    promote(registry, "dispatch", first.id)
    mover = promote(registry, "dispatch", second.id)
    add_agent(registry, Agent(agent="later"))
    before = user("rev-parse", "HEAD")
    with pytest.raises(ConflictError) as caught:
        promote(registry, "dispatch", third.id, expect=first.id)
    message = caught.value.message
    assert f"expected '{first.id}', found '{second.id}'" in message
    assert f"by Ada in commit {mover.commit[:12]}" in message
    assert user("log", "-1", "--format=%cd", "--date=format:%Y-%m-%d", mover.commit) in message
    assert caught.value.exit_code == 12
    assert caught.value.state == "nothing was changed"
    assert user("rev-parse", "HEAD") == before


def test_a_champion_moved_by_the_nightly_run_is_told_as_such(
    registry: Registry, variant: MakeVariant, root: Path
) -> None:
    first, second = variant(seed=1), variant(seed=2)
    promote(Registry(Workspace(root), actor="cron on gpu-3"), "dispatch", first.id)
    with pytest.raises(ConflictError, match="by cron on gpu-3 in commit"):
        promote(registry, "dispatch", second.id, expect=second.id)


def test_an_expectation_is_met_by_the_present_champion_only(registry: Registry, variant: MakeVariant) -> None:
    first, second = variant(seed=1), variant(seed=2)
    with pytest.raises(ConflictError, match="found 'none'"):
        promote(registry, "dispatch", first.id, expect=second.id)
    promote(registry, "dispatch", first.id)
    assert promote(registry, "dispatch", second.id, expect=first.id).before == first.id


def test_a_variant_of_another_agent_or_of_none_is_refused(registry: Registry, variant: MakeVariant) -> None:
    other = variant(seed=1, agent="shell")
    with pytest.raises(UsageError, match="belongs to agent 'shell', not 'dispatch'"):
        promote(registry, "dispatch", other.id)
    with pytest.raises(UsageError, match="there is no variant"):
        promote(registry, "dispatch", "dispatch-000000000000")
    with pytest.raises(UsageError, match="there is no agent"):
        promote(registry, "nobody", other.id)


@pytest.mark.parametrize("name", ["../../etc", "dispatch/../shell", "dispatch\nCortex-Action: x"])
def test_a_promotion_of_a_name_that_is_none_is_refused(registry: Registry, variant: MakeVariant, name: str) -> None:
    made = variant(seed=1)
    with pytest.raises(UsageError):
        promote(registry, name, made.id)
    with pytest.raises(UsageError):
        promote(registry, "dispatch", name)


def test_evidence_with_a_newline_is_refused_and_nothing_changed(
    registry: Registry, user: User, variant: MakeVariant
) -> None:
    made = variant(seed=1)
    before = user("rev-parse", "HEAD")
    with pytest.raises(UsageError, match="Cortex-Evidence must be one printable line"):
        promote(registry, "dispatch", made.id, evidence="sha256:0\nCortex-Action: rollback")
    assert user("rev-parse", "HEAD") == before


def test_the_promoted_challenger_is_no_challenger_any_more(
    registry: Registry, variant: MakeVariant, experiment: MakeExperiment
) -> None:
    first, second, third = (variant(seed=seed) for seed in (1, 2, 3))
    promote(registry, "dispatch", first.id)
    add_experiment(registry, experiment("x-1", first.id, (second.id, third.id), mode="split"))
    promote(registry, "dispatch", second.id)
    state = registry.snapshot().agent("dispatch")
    assert state.challengers == (third.id,)
    assert list(state.split) == [third.id]
    assert state.experiment == "x-1"


def test_a_revoked_adapter_is_not_promoted(registry: Registry, variant: MakeVariant, adapter: MakeAdapter) -> None:
    trained = adapter(b"weights")
    add_adapter(registry, trained)
    made = variant(seed=1, adapter=trained.id)
    add_adapter(registry, msgspec.structs.replace(trained, state="revoked"))
    with pytest.raises(ConflictError, match="is revoked"):
        promote(registry, "dispatch", made.id)


def test_a_corrupt_state_is_not_promoted_upon(registry: Registry, root: Path, user: User, variant: MakeVariant) -> None:
    made = variant(seed=1)
    (root / "registry" / "agents" / "dispatch.toml").write_text("champion = \n", encoding="utf-8")
    user("commit", "--quiet", "--all", "--message=break")
    before = user("rev-parse", "HEAD")
    with pytest.raises(UsageError, match="not TOML"):
        promote(registry, "dispatch", made.id)
    assert user("rev-parse", "HEAD") == before


def test_a_state_that_the_user_is_editing_is_not_promoted_over(
    registry: Registry, root: Path, user: User, variant: MakeVariant
) -> None:
    made = variant(seed=1)
    path = root / "registry" / "agents" / "dispatch.toml"
    path.write_text(path.read_text(encoding="utf-8") + 'summary = "mine"\n', encoding="utf-8")
    before = user("rev-parse", "HEAD")
    with pytest.raises(ConflictError, match=r"agents/dispatch\.toml"):
        promote(registry, "dispatch", made.id)
    assert user("rev-parse", "HEAD") == before
    assert "mine" in path.read_text(encoding="utf-8")


# Rollback


@pytest.fixture
def served(registry: Registry, variant: MakeVariant, adapter: MakeAdapter) -> tuple[Adapter, Variant, Variant]:
    """An agent whose previous champion has an adapter and whose present one has none."""
    trained = adapter(b"weights")
    add_adapter(registry, trained)
    tuned, plain = variant(seed=1, adapter=trained.id), variant(seed=2)
    promote(registry, "dispatch", tuned.id)
    promote(registry, "dispatch", plain.id)
    return trained, tuned, plain


Served = tuple[Adapter, Variant, Variant]


def test_rollback_restores_the_previous_champion_by_a_commit_forward(
    registry: Registry, user: User, objects: ObjectStore, served: Served
) -> None:
    _, tuned, plain = served
    before = user("rev-parse", "HEAD")
    moved = rollback(registry, "dispatch", objects=objects)
    assert moved == Moved("dispatch", plain.id, tuned.id, 3, user("rev-parse", "HEAD"))
    assert user("rev-parse", "HEAD~1") == before
    state = registry.snapshot().agent("dispatch")
    assert (state.champion, state.previous, state.generation) == (tuned.id, plain.id, 3)
    assert user("log", "-1", "--format=%s") == f"rollback(dispatch): champion {plain.id} -> {tuned.id}"


def test_rolling_back_twice_is_where_one_began(registry: Registry, objects: ObjectStore, served: Served) -> None:
    rollback(registry, "dispatch", objects=objects)
    assert rollback(registry, "dispatch", objects=objects).after == served[2].id
    assert registry.snapshot().agent("dispatch").generation == 4


def test_rollback_goes_to_any_variant_that_is_named(
    registry: Registry, objects: ObjectStore, variant: MakeVariant, served: Served
) -> None:
    promote(registry, "dispatch", variant(seed=3).id)
    assert rollback(registry, "dispatch", to=served[1].id, objects=objects).after == served[1].id


def test_rollback_without_a_previous_champion_is_refused(
    registry: Registry, objects: ObjectStore, variant: MakeVariant
) -> None:
    with pytest.raises(UsageError, match="no previous champion"):
        rollback(registry, "dispatch", objects=objects)
    only = variant(seed=1)
    promote(registry, "dispatch", only.id)
    with pytest.raises(UsageError, match="no previous champion"):
        rollback(registry, "dispatch", objects=objects)
    with pytest.raises(UsageError, match="already the champion"):
        rollback(registry, "dispatch", to=only.id, objects=objects)


@pytest.mark.parametrize("damage", ["missing", "short", "altered"])
def test_rollback_checks_every_blob_before_anything_moves(
    registry: Registry, user: User, objects: ObjectStore, served: Served, damage: str
) -> None:
    blob = served[0].files[0]
    path = objects.path(blob.digest)
    path.chmod(0o644)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"short" if damage == "short" else b"WEIGHTS")
    before = user("rev-parse", "HEAD")
    with pytest.raises(IntegrityError) as caught:
        rollback(registry, "dispatch", objects=objects)
    assert "'adapter.safetensors'" in caught.value.message
    assert blob.digest in caught.value.message
    assert ("missing" if damage == "missing" else "corrupt") in caught.value.message
    assert caught.value.exit_code == 13
    assert caught.value.state == "nothing was changed"
    assert user("rev-parse", "HEAD") == before


def test_rollback_to_a_revoked_adapter_is_refused(registry: Registry, objects: ObjectStore, served: Served) -> None:
    add_adapter(registry, msgspec.structs.replace(served[0], state="revoked"))
    with pytest.raises(ConflictError, match="is revoked"):
        rollback(registry, "dispatch", objects=objects)


# Experiments


@pytest.fixture
def rivals(registry: Registry, variant: MakeVariant) -> tuple[Variant, Variant]:
    """A champion and a variant that would like to be."""
    first, second = variant(seed=1), variant(seed=2)
    promote(registry, "dispatch", first.id)
    return first, second


Rivals = tuple[Variant, Variant]


def test_a_running_experiment_stands_in_the_state_of_its_agent_from_the_same_commit(
    registry: Registry, user: User, experiment: MakeExperiment, rivals: Rivals
) -> None:
    add_experiment(registry, experiment("x-1", rivals[0].id, (rivals[1].id,)))
    assert touched(user) == ["registry/agents/dispatch.toml", "registry/experiments/x-1.toml"]
    state = registry.snapshot().agent("dispatch")
    assert (state.experiment, state.challengers, state.split) == ("x-1", (rivals[1].id,), {})
    assert state.generation == 1


def test_a_split_experiment_gives_everybody_an_equal_share(
    registry: Registry, variant: MakeVariant, experiment: MakeExperiment, rivals: Rivals
) -> None:
    third = variant(seed=3)
    add_experiment(registry, experiment("x-1", rivals[0].id, (rivals[1].id, third.id), mode="split"))
    split = registry.snapshot().agent("dispatch").split
    assert split == {rivals[1].id: 0.333333, third.id: 0.333333}


def test_an_experiment_needs_the_present_champion_and_usable_challengers(
    registry: Registry, variant: MakeVariant, experiment: MakeExperiment, rivals: Rivals
) -> None:
    with pytest.raises(ConflictError, match="champion of 'dispatch' changed"):
        add_experiment(registry, experiment("x-1", rivals[1].id, (variant(seed=3).id,)))
    with pytest.raises(UsageError, match="already the champion"):
        add_experiment(registry, experiment("x-1", rivals[0].id, (rivals[0].id,)))
    with pytest.raises(UsageError, match="belongs to agent 'shell'"):
        add_experiment(registry, experiment("x-1", rivals[0].id, (variant(seed=3, agent="shell").id,)))


def test_one_experiment_of_an_agent_runs_at_a_time(
    registry: Registry, experiment: MakeExperiment, rivals: Rivals
) -> None:
    first = experiment("x-1", rivals[0].id, (rivals[1].id,))
    commit = add_experiment(registry, first)
    assert add_experiment(registry, first) == commit
    with pytest.raises(ConflictError, match="'x-1' of agent 'dispatch' is running"):
        add_experiment(registry, experiment("x-2", rivals[0].id, (rivals[1].id,)))
    with pytest.raises(UsageError, match="'x-1' exists already"):
        add_experiment(registry, msgspec.structs.replace(first, salt="other"))


def test_the_verdict_is_committed_with_its_evidence_and_clears_the_state(
    registry: Registry,
    user: User,
    objects: ObjectStore,
    experiment: MakeExperiment,
    verdict: Callable[[str], Verdict],
    rivals: Rivals,
) -> None:
    begun = experiment("x-1", rivals[0].id, (rivals[1].id,))
    add_experiment(registry, begun)
    evidence = Blob("ledger.jsonl", objects.put_bytes(b"{}\n"), 3)
    ended = msgspec.structs.replace(begun, state="decided", evidence=evidence, verdict=verdict(rivals[1].id))
    commit = finish_experiment(registry, ended)
    assert (account(user).from_, account(user).to, account(user).evidence) == ("x-1", "promote", evidence.digest)
    state = registry.snapshot().agent("dispatch")
    assert (state.experiment, state.challengers, state.champion) == ("", (), rivals[0].id)
    assert registry.snapshot().experiment("x-1") == ended
    assert finish_experiment(registry, ended) == commit


def test_a_promotion_cites_the_evidence_of_its_experiment(
    registry: Registry,
    user: User,
    objects: ObjectStore,
    experiment: MakeExperiment,
    verdict: Callable[[str], Verdict],
    rivals: Rivals,
) -> None:
    begun = experiment("x-1", rivals[0].id, (rivals[1].id,))
    add_experiment(registry, begun)
    with pytest.raises(UsageError, match="has no verdict yet"):
        promote(registry, "dispatch", rivals[1].id, experiment="x-1")
    evidence = Blob("ledger.jsonl", objects.put_bytes(b"{}\n"), 3)
    finish_experiment(
        registry, msgspec.structs.replace(begun, state="decided", evidence=evidence, verdict=verdict(rivals[1].id))
    )
    promote(registry, "dispatch", rivals[1].id, expect=rivals[0].id, experiment="x-1")
    assert (account(user).evidence, account(user).run_id) == (evidence.digest, "x-1")


def test_an_experiment_that_tried_something_else_is_no_evidence(
    registry: Registry, variant: MakeVariant, experiment: MakeExperiment, rivals: Rivals
) -> None:
    add_experiment(registry, experiment("x-1", rivals[0].id, (rivals[1].id,)))
    with pytest.raises(UsageError, match="did not try"):
        promote(registry, "dispatch", variant(seed=3).id, experiment="x-1")
    with pytest.raises(UsageError, match="there is no experiment"):
        promote(registry, "dispatch", rivals[1].id, experiment="x-9")


def test_an_experiment_ends_once_and_as_the_one_that_began(
    registry: Registry, experiment: MakeExperiment, verdict: Callable[[str], Verdict], rivals: Rivals
) -> None:
    begun = experiment("x-1", rivals[0].id, (rivals[1].id,))
    add_experiment(registry, begun)
    ended = msgspec.structs.replace(begun, state="decided", verdict=verdict(rivals[1].id))
    with pytest.raises(ConflictError, match="another definition"):
        finish_experiment(registry, msgspec.structs.replace(ended, salt="other"))
    finish_experiment(registry, ended)
    with pytest.raises(ConflictError, match="is decided, it cannot become stopped"):
        finish_experiment(registry, msgspec.structs.replace(ended, state="stopped"))


def test_every_action_leaves_a_registry_that_git_finds_sound(
    registry: Registry, user: User, served: Served, root: Path
) -> None:
    assert user("fsck", "--full", "--strict", "--no-dangling") == ""
    assert user("status", "--porcelain") == ""
    for path in (root / "registry").rglob("*.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8"))["schema"] == 1


def test_every_refusal_says_that_nothing_was_changed(registry: Registry, objects: ObjectStore) -> None:
    refusals: list[Callable[[], object]] = [
        lambda: promote(registry, "nobody", "x-000000000000"),
        lambda: rollback(registry, "dispatch", objects=objects),
        lambda: add_agent(registry, Agent(agent="dispatch", summary="other")),
        lambda: make_variant(registry.snapshot(), agent="dispatch", model="none"),
    ]
    for refuse in refusals:
        with pytest.raises(CortexError) as caught:
            refuse()
        assert caught.value.state == "nothing was changed"

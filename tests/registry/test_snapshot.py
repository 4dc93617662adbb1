from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.domain.errors import FaultsError, IntegrityError, UsageError
from cortex_cli.domain.manifests import Adapter, Agent, DatasetVersion, Experiment, Variant
from cortex_cli.registry.actions import add_adapter, add_dataset, add_experiment, promote
from cortex_cli.registry.git import Git
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.snapshot import AGENTS, Snapshot, check_id, dataset_path

User = Callable[..., str]
Write = Callable[[str, str], None]


@pytest.fixture
def write(root: Path, user: User) -> Write:
    """Commit a file by hand, as a user might."""

    def make(path: str, text: str) -> None:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        user("add", "--force", path)
        user("commit", "--quiet", f"--message=write {path}")

    return make


def test_a_snapshot_names_the_commit_it_was_taken_at(registry: Registry, user: User) -> None:
    assert registry.snapshot().commit == user("rev-parse", "HEAD")
    assert registry.snapshot("HEAD~1").commit == user("rev-parse", "HEAD~1")


def test_the_worktree_is_never_read(registry: Registry, root: Path) -> None:
    (root / "registry" / "agents" / "dispatch.toml").write_text("not even TOML", encoding="utf-8")
    (root / "registry" / "agents" / "ghost.toml").write_text('agent = "ghost"\n', encoding="utf-8")
    assert [agent.agent for agent in registry.snapshot().agents()] == ["dispatch", "shell"]


def test_a_snapshot_does_not_move_when_the_registry_does(registry: Registry, variant: Callable[..., Variant]) -> None:
    before = registry.snapshot()
    first = variant(seed=1)
    promote(registry, "dispatch", first.id)
    assert before.agent("dispatch").champion == ""
    assert registry.snapshot().agent("dispatch").champion == first.id


def test_one_process_serves_a_whole_block(registry: Registry) -> None:
    with registry.snapshot() as snapshot:
        assert snapshot.agent("shell") == Agent(agent="shell")
        assert [model.name for model in snapshot.models()] == ["base"]
        assert snapshot.read("cortex.toml") == b'schema = 1\nname = "lab"\n'


def test_a_block_within_a_block_shares_its_process_and_leaves_it_open(registry: Registry) -> None:
    with registry.snapshot() as outer:
        first = outer._objects
        with outer as inner:
            assert inner._objects is first
        assert outer._objects is first
        assert outer.agent("shell").agent == "shell"
    assert outer._objects is None
    assert outer.agent("dispatch").agent == "dispatch"


def test_a_branch_without_commits_is_an_empty_snapshot(tmp_path: Path) -> None:
    snapshot = Snapshot(Git.create(tmp_path), "")
    assert snapshot.read("cortex.toml") is None
    assert snapshot.list("registry") == []
    assert snapshot.list("") == []
    assert snapshot.agents() == []
    assert snapshot.datasets() == []


def test_files_are_listed_by_their_path_at_any_depth(registry: Registry) -> None:
    assert registry.snapshot().list("prompts") == ["prompts/dispatch/default.md", "prompts/shell/default.md"]
    assert registry.snapshot().list("nowhere") == []
    assert "cortex.toml" in registry.snapshot().list("")


def test_a_folder_is_no_file_and_a_file_no_folder(registry: Registry) -> None:
    snapshot = registry.snapshot()
    assert snapshot.read("registry") is None
    assert snapshot.blob("registry/agents") == ""
    assert dict(snapshot.entries("cortex.toml")) == {}


def test_a_blob_is_found_by_its_id_whatever_commit_it_is_of(registry: Registry, write: Write) -> None:
    old = registry.snapshot().blob("prompts/shell/default.md")
    write("prompts/shell/default.md", "another text\n")
    snapshot = registry.snapshot()
    assert snapshot.blob("prompts/shell/default.md") != old
    assert snapshot.read_blob(old) == b"answer as shell\n"
    assert snapshot.read_blob("0" * 40) is None
    assert snapshot.read_blob(snapshot.commit) is None


@pytest.mark.parametrize(
    ("ask", "word", "hint"),
    [
        (lambda snapshot: snapshot.agent("dispach"), "agent 'dispach', did you mean 'dispatch'", "cortex status"),
        (lambda snapshot: snapshot.agent("zzz"), "agent 'zzz'; known: dispatch, shell", "cortex status"),
        (lambda snapshot: snapshot.model("bose"), "model 'bose', did you mean 'base'", "cortex status"),
        (lambda snapshot: snapshot.variant("dispatch-000000000000"), "variant 'dispatch-0", "cortex status"),
        (lambda snapshot: snapshot.adapter("dispatch-000000000000"), "adapter 'dispatch-0", "cortex log"),
        (lambda snapshot: snapshot.experiment("x-1"), "experiment 'x-1'; known: none", "cortex ab status"),
        (lambda snapshot: snapshot.dataset("calls"), "dataset 'calls'; known: none", "cortex dataset ls"),
    ],
)
def test_what_is_unknown_is_told_with_what_is_near(
    registry: Registry, ask: Callable[[Snapshot], object], word: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        ask(registry.snapshot())
    assert f"there is no {word}" in caught.value.message
    assert caught.value.hint == hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["../../cortex", "/etc/passwd", "a/b", "..", "", "Dispatch", "x\ny", "-rf", "a" * 65])
def test_a_name_that_may_not_become_a_path_is_refused(registry: Registry, name: str) -> None:
    snapshot = registry.snapshot()
    for ask in (
        snapshot.agent,
        snapshot.model,
        snapshot.variant,
        snapshot.adapter,
        snapshot.experiment,
        snapshot.dataset,
    ):
        with pytest.raises(UsageError):
            ask(name)


def test_a_dataset_path_is_checked_in_both_parts() -> None:
    assert dataset_path("calls", "v0001") == "datasets/calls/v0001.toml"
    for name, version in (("../x", "v0001"), ("calls", "../v0001"), ("calls", "1")):
        with pytest.raises(UsageError):
            dataset_path(name, version)


def test_an_id_is_a_name_or_a_content_addressed_id() -> None:
    assert check_id("x-1") == "x-1"
    assert check_id("a" * 64 + "-0123456789ab") == "a" * 64 + "-0123456789ab"
    with pytest.raises(UsageError):
        check_id("X 1")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("agent = ", "not TOML"),
        ('agent = "dispatch"\nchampoin = ""\n', "champoin: unknown key, did you mean 'champion'"),
        ('agent = "dispatch"\ngeneration = "many"\n', "generation: Expected `int`, got `str`"),
        ("generation = 1\n", "agent: is missing"),
        ('agent = "shell"\n', "agent: is 'shell', the file says 'dispatch'"),
    ],
)
def test_a_faulty_manifest_is_named_with_its_fault(registry: Registry, write: Write, text: str, fault: str) -> None:
    write("registry/agents/dispatch.toml", text)
    with pytest.raises(FaultsError) as caught:
        registry.snapshot().agent("dispatch")
    assert "'registry/agents/dispatch.toml' has 1 fault" in caught.value.message
    assert fault in caught.value.message
    assert caught.value.exit_code == 2


def test_all_faults_of_a_manifest_are_told_at_once(registry: Registry, write: Write) -> None:
    write("registry/agents/dispatch.toml", 'agent = 1\ngenration = 2\njudge = "oracle"\n')
    with pytest.raises(FaultsError) as caught:
        registry.snapshot().agents()
    assert len(caught.value.faults) == 3


def test_a_manifest_that_is_not_text_is_a_fault(registry: Registry, root: Path, user: User) -> None:
    (root / "registry" / "agents" / "dispatch.toml").write_bytes(b'agent = "\xff"\n')
    user("commit", "--quiet", "--all", "--message=bytes")
    with pytest.raises(FaultsError, match="not UTF-8"):
        registry.snapshot().agent("dispatch")


def test_files_that_are_no_manifests_are_passed_over(registry: Registry, write: Write) -> None:
    write("registry/agents/README.md", "notes\n")
    write("datasets/README.md", "notes\n")
    write("datasets/calls/README.md", "notes\n")
    assert list(registry.snapshot().names(AGENTS)) == ["dispatch", "shell"]
    assert registry.snapshot().datasets() == []


def test_variants_are_those_of_the_agent(registry: Registry, variant: Callable[..., Variant]) -> None:
    mine = sorted(variant(seed=seed).id for seed in (1, 2))
    other = variant(seed=1, agent="shell")
    snapshot = registry.snapshot()
    assert [item.id for item in snapshot.variants("dispatch")] == mine
    assert [item.id for item in snapshot.variants("shell")] == [other.id]
    assert len(snapshot.variants()) == 3
    assert snapshot.variant(other.id) == other


def test_every_kind_of_manifest_comes_back_as_it_went_in(
    registry: Registry,
    variant: Callable[..., Variant],
    adapter: Callable[..., Adapter],
    dataset: Callable[..., DatasetVersion],
    experiment: Callable[..., Experiment],
) -> None:
    version, trained = dataset("v0001", b"row\n"), adapter(b"weights")
    add_dataset(registry, version)
    add_adapter(registry, trained)
    first, second = variant(seed=1), variant(seed=2, adapter=trained.id)
    promote(registry, "dispatch", first.id)
    tried = experiment("x-1", first.id, (second.id,))
    add_experiment(registry, tried)
    with registry.snapshot() as snapshot:
        assert snapshot.datasets() == [version]
        assert snapshot.adapters() == [trained]
        assert snapshot.adapter(trained.id) == trained
        assert snapshot.experiments() == [tried]
        assert snapshot.experiment("x-1") == tried
        assert {item.id for item in snapshot.variants()} == {first.id, second.id}


def test_the_newest_dataset_version_is_the_highest_number(
    registry: Registry, dataset: Callable[..., DatasetVersion]
) -> None:
    for version in ("v9999", "v0002", "v10000"):
        add_dataset(registry, dataset(version, version.encode()))
    snapshot = registry.snapshot()
    assert snapshot.dataset("calls").version == "v10000"
    assert snapshot.dataset("calls", "v0002").version == "v0002"
    assert [version for _, version in snapshot.versions("calls")] == ["v0002", "v9999", "v10000"]
    with pytest.raises(UsageError, match="no version of dataset 'calls' called 'v0003'"):
        snapshot.dataset("calls", "v0003")


def test_a_dataset_that_names_itself_otherwise_is_a_fault(
    registry: Registry, dataset: Callable[..., DatasetVersion], root: Path, user: User
) -> None:
    add_dataset(registry, dataset("v0001", b"row\n"))
    (root / "datasets" / "calls" / "v0001.toml").rename(root / "datasets" / "calls" / "v0002.toml")
    user("add", "datasets")
    user("commit", "--quiet", "--message=rename")
    with pytest.raises(FaultsError, match="is calls/v0001, the file says calls/v0002"):
        registry.snapshot().dataset("calls")


def test_an_unknown_revision_is_a_usage_error(registry: Registry) -> None:
    with pytest.raises(UsageError, match="'nowhere' names no commit"):
        registry.snapshot("nowhere")


def test_a_folder_that_git_lost_is_not_taken_for_an_empty_one(registry: Registry, root: Path, user: User) -> None:
    oid = user("rev-parse", "HEAD:registry")
    (root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(IntegrityError, match="missing or corrupt"):
        registry.snapshot().agents()


def test_a_manifest_that_git_lost_is_not_taken_for_an_absent_one(registry: Registry, root: Path, user: User) -> None:
    oid = user("rev-parse", "HEAD:registry/agents/shell.toml")
    (root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(IntegrityError, match="missing or corrupt"):
        registry.snapshot().agent("shell")

"""A real workspace with a real git, and the hand of its user beside Cortex."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.manifests import (
    Adapter,
    Agent,
    Blob,
    DatasetVersion,
    Experiment,
    Model,
    Part,
    Policy,
    Variant,
    Verdict,
    adapter_id,
    dataset_digest,
)
from cortex_cli.registry.actions import add_agent, add_model, add_variant, make_variant
from cortex_cli.registry.repository import Registry
from cortex_cli.store.clock import Clock
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

User = Callable[..., str]


def run_git(root: Path, *args: str, stdin: str = "") -> str:
    """Run git in *root* as its user would, and return what it says."""
    done = subprocess.run(["git", *args], cwd=root, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing but a user's name, and no git variable from outside."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    home.joinpath(".gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two agents, a model and a prompt each, made once and copied for every test."""
    root = tmp_path_factory.mktemp("template")
    for agent in ("dispatch", "shell"):
        (root / "prompts" / agent).mkdir(parents=True)
        (root / "prompts" / agent / "default.md").write_text(f"answer as {agent}\n", encoding="utf-8")
    (root / "cortex.toml").write_text('schema = 1\nname = "lab"\n', encoding="utf-8")
    (root / ".gitignore").write_text(".cortex/\n", encoding="utf-8")
    run_git(root, "init", "--quiet", "--initial-branch=main", "--template=")
    run_git(root, "add", ".")
    person = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    run_git(root, *person, "commit", "--quiet", "--message=a workspace")
    registry = Registry(Workspace(root), actor="test")
    add_model(registry, Model(name="base", kind="embedded", source="starter:base"))
    for agent in ("dispatch", "shell"):
        add_agent(registry, Agent(agent=agent))
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """The folder of this test's workspace."""
    return Path(shutil.copytree(template, tmp_path / "lab", symlinks=True))


@pytest.fixture
def registry(root: Path) -> Registry:
    """The registry of this test's workspace, written by a human who waits two seconds."""
    return Registry(Workspace(root), wait=2.0)


@pytest.fixture
def objects(registry: Registry) -> ObjectStore:
    """The object store of this test's workspace."""
    return ObjectStore(registry.workspace.objects_root)


@pytest.fixture
def user(root: Path) -> User:
    """Git in the hand of the user: `user("status", "--short")`."""

    def run(*args: str, stdin: str = "") -> str:
        return run_git(root, *args, stdin=stdin)

    return run


@pytest.fixture
def variant(registry: Registry) -> Callable[..., Variant]:
    """Commit a variant: `variant(seed=1)`, `variant(seed=2, adapter=adapter.id)`."""

    def make(*, seed: int, agent: str = "dispatch", adapter: str = "") -> Variant:
        draft = make_variant(registry.snapshot(), agent=agent, model="base", adapter=adapter, parameters={"seed": seed})
        return add_variant(registry, draft)

    return make


@pytest.fixture
def adapter(objects: ObjectStore) -> Callable[..., Adapter]:
    """Build an adapter whose files are objects: `adapter(b"weights")`; nothing is committed."""

    def make(weights: bytes, *, agent: str = "dispatch") -> Adapter:
        blob = Blob(name="adapter.safetensors", digest=objects.put_bytes(weights), size=len(weights))
        config = Blob(name="config.json", digest=objects.put_bytes(b"{}"), size=2)
        files = (blob, config)
        return Adapter(
            id=adapter_id(agent, files),
            name=agent,
            agent=agent,
            base="base",
            base_digest=digest_value("base"),
            files=files,
            dataset=f"{agent}/v0001",
            dataset_digest=digest_value("dataset"),
            recipe="recipes/dispatch.toml",
            recipe_digest=digest_value("recipe"),
            run="r-1",
            examples=3,
            final_loss=0.25,
            scores={"exact": 0.5},
            created="2026-01-02T03:04:05Z",
        )

    return make


@pytest.fixture
def dataset(objects: ObjectStore) -> Callable[..., DatasetVersion]:
    """Build a dataset version whose parts are objects: `dataset("v0001", b"rows")`; nothing is committed."""

    def make(version: str, rows: bytes, *, parent: str = "") -> DatasetVersion:
        parts = {"train": Part(digest=objects.put_bytes(rows), size=len(rows), rows=1)}
        lineage = Blob(name="lineage.jsonl", digest=objects.put_bytes(b"k-1\n"), size=4)
        digest = dataset_digest(parts, lineage)
        return DatasetVersion(
            name="calls", version=version, agent="dispatch", parts=parts, lineage=lineage, digest=digest, parent=parent
        )

    return make


@pytest.fixture
def experiment() -> Callable[..., Experiment]:
    """Build an experiment: `experiment("x-1", champion, (challenger,))`; nothing is committed."""

    def make(name: str, champion: str, challengers: tuple[str, ...], *, mode: str = "shadow") -> Experiment:
        return Experiment(
            id=name,
            agent="dispatch",
            champion=champion,
            challengers=challengers,
            mode="split" if mode == "split" else "shadow",
            policy=Policy(),
            salt=hashlib.sha256(name.encode()).hexdigest()[:8],
        )

    return make


@pytest.fixture
def verdict() -> Callable[[str], Verdict]:
    """Build the verdict that promotes a challenger."""

    def make(challenger: str) -> Verdict:
        return Verdict(outcome="promote", challenger=challenger, reason="e-value 25 over 20", tasks=120, wins=40)

    return make


@pytest.fixture
def later() -> Clock:
    """A clock two minutes ahead: for it, what was left just now is stale."""
    return lambda: datetime.now(UTC) + timedelta(minutes=2)

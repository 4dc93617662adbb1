"""A real workspace with an agent, its champion and two other variants, and outcomes to record in it."""

import itertools
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cortex_cli.domain.manifests import Agent, Experiment, Model, Policy
from cortex_cli.registry import actions
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.start import start_workspace
from cortex_cli.release.experiments import Opening, open_experiment
from cortex_cli.release.ledger import Row, Score
from cortex_cli.store.clock import Clock
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace


class Pairs:
    """Builds shadow rows of a champion and a challenger."""

    def __init__(self, champion: str, challenger: str) -> None:
        self.champion = champion
        self.challenger = challenger

    def __call__(self, outcomes: Iterable[tuple[float, float]]) -> list[Row]:
        """Return one row per pair of successes, champion first."""
        return [
            Row(unit=f"u{number}", scores={self.champion: Score(success=old), self.challenger: Score(success=new)})
            for number, (old, new) in enumerate(outcomes)
        ]

    def better(self, count: int) -> list[Row]:
        """Return pairs of which the challenger wins three in ten and loses one in ten."""
        pattern = [(0.0, 1.0), (1.0, 1.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
        return self(itertools.islice(itertools.cycle([*pattern, *[(1.0, 1.0)] * 3]), count))


def _noon() -> datetime:
    return datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of a workspace with agent 'dispatch' and three variants, the first its champion."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    starter = tmp_path / "starter"
    (starter / "prompts" / "dispatch").mkdir(parents=True)
    (starter / "prompts" / "dispatch" / "main.md").write_text("answer\n", encoding="utf-8")
    root = start_workspace(tmp_path / "lab", name="lab", starter=starter).root
    registry = Registry(Workspace(root), actor="test", wait=2.0)
    actions.add_model(registry, Model(name="base", kind="embedded", source="starter:base"))
    actions.add_agent(registry, Agent(agent="dispatch"))
    for seed in range(3):
        draft = actions.make_variant(registry.snapshot(), agent="dispatch", model="base", parameters={"seed": seed})
        actions.add_variant(registry, draft)
        if seed == 0:
            actions.promote(registry, "dispatch", draft.id)
    return registry


@pytest.fixture
def objects(registry: Registry) -> ObjectStore:
    """The object store of the workspace."""
    return ObjectStore(registry.workspace.objects_root)


@pytest.fixture
def variants(registry: Registry) -> tuple[str, str, str]:
    """The champion, then the two others."""
    snapshot = registry.snapshot()
    champion = snapshot.agent("dispatch").champion
    first, second = (variant.id for variant in snapshot.variants("dispatch") if variant.id != champion)
    return champion, first, second


@pytest.fixture
def experiment(registry: Registry, variants: tuple[str, str, str]) -> Experiment:
    """A running shadow experiment of the first challenger, judged against reference answers."""
    opening = Opening(
        agent="dispatch", champion=variants[0], challengers=(variants[1],), policy=Policy(min_tasks=50), replayed=True
    )
    return open_experiment(registry, opening, _noon)


@pytest.fixture
def pairs(variants: tuple[str, str, str]) -> Pairs:
    """Rows of the champion and the first challenger: `pairs([(1.0, 0.0)])`, `pairs.better(200)`."""
    return Pairs(*variants[:2])


@pytest.fixture
def noon() -> Clock:
    """A clock that stands still."""
    return _noon

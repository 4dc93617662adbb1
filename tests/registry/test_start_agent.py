from pathlib import Path

import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.registry.fsck import check
from cortex_cli.registry.history import read_log
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.start import start_agent, start_workspace
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(Workspace(start_workspace(tmp_path / "lab").root))


def test_a_new_agent_begins_with_the_bare_model_in_one_commit(registry: Registry) -> None:
    begun = start_agent(registry, "support", model="cortex-tiny", judge="json")
    snapshot = registry.snapshot()

    assert snapshot.commit == begun.commit
    assert snapshot.agent("support") == begun.agent
    assert snapshot.variant(begun.agent.champion) == begun.variant
    assert (begun.agent.generation, begun.agent.judge) == (1, "json")
    assert [event.action for event in read_log(registry, "support")] == ["agent"]
    assert check(registry, ObjectStore(registry.workspace.objects_root)) == []
    assert (registry.workspace.root / "prompts/support/main.md").is_file()


def test_a_prompt_that_is_committed_is_used_as_it_is(registry: Registry) -> None:
    prompt = registry.workspace.root / "prompts" / "support" / "main.md"
    prompt.parent.mkdir()
    text = '+++\nsummary = "mine"\n[variables]\nq = "str"\n+++\nMine: {{ q }}\n'
    prompt.write_text(text)
    registry.git.run("add", "prompts")
    registry.git.run("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "-m", "mine")
    begun = start_agent(registry, "support", model="cortex-tiny")

    assert registry.snapshot().read_blob(begun.variant.prompt_blob) == text.encode()
    assert prompt.read_text() == text


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("dispatch", "cortex-tiny", "exists already"),
        ("new", "nothing", "nothing"),
        ("../x", "cortex-tiny", "not allowed"),
    ],
)
def test_what_cannot_begin_leaves_nothing_behind(registry: Registry, name: str, model: str, said: str) -> None:
    before = registry.snapshot().commit
    with pytest.raises(UsageError, match=said):
        start_agent(registry, name, model=model)

    assert registry.snapshot().commit == before
    assert registry.git.run("status", "--porcelain") == b""

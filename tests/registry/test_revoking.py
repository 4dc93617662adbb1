from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.errors import IntegrityError
from cortex_cli.domain.manifests import Agent
from cortex_cli.registry.actions import add_adapter, render_manifest
from cortex_cli.registry.audit import audit_history
from cortex_cli.registry.history import read_log
from cortex_cli.registry.revoking import Descent, find_adapters, revoke
from cortex_cli.registry.trailers import Trailers, parse_message, render_message
from tests.pipeline.memories import Memory, add_trained, copy_memory, open_memory


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    return open_memory(tmp_path_factory.mktemp("made") / "workspace")


@pytest.fixture
def memory(made: Memory, tmp_path: Path) -> Memory:
    return copy_memory(made, tmp_path / "workspace")


def states(memory: Memory) -> dict[str, str]:
    with memory.place.registry.snapshot() as snapshot:
        found: dict[str, str] = {f"{each.name}/{each.version}": each.state for each in snapshot.datasets()}
        return found | {each.id: each.state for each in snapshot.adapters()}


def test_what_descends_is_marked_in_one_commit_with_its_reason(memory: Memory) -> None:
    descent = Descent(("dispatch/v0001", "dispatch/v0002"), (memory.adapter.id,))
    commit = revoke(memory.place.registry, descent, reason="by law", run="forget-1")
    event = next(read_log(memory.place.registry))
    assert (event.commit, event.reason, event.run_id) == (commit, "by law", "forget-1")
    assert event.subject == "forget(dispatch): revoked 2 dataset versions, 1 adapter"
    assert set(states(memory).values()) == {"revoked"}


def test_marking_again_or_what_left_the_registry_makes_no_commit(memory: Memory) -> None:
    descent = Descent(("dispatch/v0001", "gone/v0001"), ("gone-000000000000",))
    assert revoke(memory.place.registry, descent, reason="", run="forget-1") != ""
    assert revoke(memory.place.registry, descent, reason="", run="forget-2") == ""
    assert states(memory)["dispatch/v0002"] == "live"


def test_an_adapter_descends_by_the_name_and_by_the_content_of_its_version(memory: Memory) -> None:
    elsewhere = msgspec.structs.replace(memory.versions[0], name="renamed")
    with memory.place.registry.snapshot() as snapshot:
        assert [each.id for each in find_adapters(snapshot, memory.versions[:1])] == [memory.adapter.id]
        assert [each.id for each in find_adapters(snapshot, [elsewhere])] == [memory.adapter.id]
        assert find_adapters(snapshot, memory.versions[1:]) == []


def test_what_learned_from_a_version_that_was_revoked_meanwhile_is_revoked(memory: Memory) -> None:
    revoke(memory.place.registry, Descent(("dispatch/v0002",), ()), reason="", run="forget-1")
    late = add_trained(memory.place, memory.versions[1], b"other weights")
    assert states(memory)[late.id] == "revoked"
    assert states(memory)[memory.adapter.id] == "live"


def test_a_new_score_does_not_bring_a_revoked_adapter_back(memory: Memory) -> None:
    revoke(memory.place.registry, Descent(("dispatch/v0001",), (memory.adapter.id,)), reason="", run="forget-1")
    add_adapter(memory.place.registry, msgspec.structs.replace(memory.adapter, scores={"success": 1.0}))
    assert states(memory)[memory.adapter.id] == "revoked"


def test_the_account_of_a_forgetting_may_change_nothing_else(memory: Memory) -> None:
    revoke(memory.place.registry, Descent(("dispatch/v0001",), ()), reason="", run="forget-1")
    assert [each for each in audit_history(memory.place.registry.git) if each.severity == "error"] == []
    files: dict[str, bytes | None] = {"registry/agents/dispatch.toml": render_manifest(Agent(agent="dispatch"))}
    memory.place.registry.commit(Trailers("forget", "dispatch", to="1 adapter"), files)
    told = [each.what for each in audit_history(memory.place.registry.git) if each.severity == "error"]
    assert any("'registry/agents/dispatch.toml' was written as well" in what for what in told)


def test_a_reason_is_read_back_and_cannot_stand_twice() -> None:
    record = Trailers("forget", "dispatch", to="1 adapter", reason="asked for")
    message = render_message(record)
    assert "Cortex-Reason: asked for\n" in message
    found = parse_message(message)
    assert found is not None
    assert found.reason == "asked for"
    with pytest.raises(IntegrityError, match="stands twice"):
        parse_message(message + "Cortex-Reason: another\n")

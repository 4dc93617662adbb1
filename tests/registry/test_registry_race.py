import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cortex_cli.registry.audit import audit_history
from cortex_cli.registry.fsck import check
from cortex_cli.registry.repository import Registry
from cortex_cli.store.objects import ObjectStore

User = Callable[..., str]

WRITERS = 8
EACH = 50


def test_no_commit_of_eight_processes_is_lost_and_no_reader_sees_half_a_move(
    registry: Registry, objects: ObjectStore, root: Path, user: User
) -> None:
    script = str(Path(__file__).with_name("committer.py"))
    command = [sys.executable, script, "race", str(root)]
    writers = [
        subprocess.Popen([*command, f"w{number}", str(EACH)], stdout=subprocess.PIPE, text=True)
        for number in range(WRITERS)
    ]
    seen = _poll(registry, writers)
    acknowledged = [line for writer in writers for line in writer.communicate()[0].split()]
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    assert len(set(acknowledged)) == WRITERS * EACH == 400

    reachable = user("rev-list", "HEAD").split()
    assert set(acknowledged) <= set(reachable)
    assert registry.snapshot().agent("dispatch").generation == 400
    assert {path.read_text(encoding="utf-8") for path in (root / "registry" / "notes").iterdir()} == {f"{EACH}\n"}
    assert user("rev-list", "--min-parents=2", "HEAD") == ""
    assert list(audit_history(registry.git)) == []
    assert user("fsck", "--full", "--strict", "--unreachable", "--no-progress") == ""
    assert user("status", "--porcelain") == ""
    assert len(seen) > 20
    assert seen == sorted(seen)
    # The champions of these commits are made up, and that is all that may be wrong with them.
    assert [item for item in check(registry, objects) if "no variant of its own" not in item.what] == []


def _poll(registry: Registry, writers: list[subprocess.Popen[str]]) -> list[int]:
    """Read the state as fast as possible while the writers run; return the generations in the order seen."""
    seen: list[int] = []
    while any(writer.poll() is None for writer in writers):
        state = registry.snapshot().agent("dispatch")
        if state.generation:
            assert state.champion == f"dispatch-{state.generation:012x}"
            assert state.challengers == (state.champion,)
            seen.append(state.generation)
    return seen

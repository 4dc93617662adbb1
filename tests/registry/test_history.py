import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Variant
from cortex_cli.registry.actions import promote
from cortex_cli.registry.git import Git
from cortex_cli.registry.history import blame, diff, find_mover, read_log
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.workspace import Workspace

User = Callable[..., str]
MakeVariant = Callable[..., Variant]


def test_events_come_newest_first_with_all_they_say(registry: Registry, user: User, variant: MakeVariant) -> None:
    made = variant(seed=1)
    moved = promote(registry, "dispatch", made.id, evidence="sha256:1")
    event = next(read_log(registry))
    assert event.commit == moved.commit
    assert event.time == user("log", "-1", "--format=%cd", "--date=format:%Y-%m-%dT%H:%M:%SZ")
    assert (event.author, event.actor) == ("Ada", "human")
    assert (event.action, event.target, event.from_, event.to) == ("promote", "dispatch", "", made.id)
    assert (event.generation, event.evidence, event.fault) == (1, "sha256:1", "")
    assert event.subject == f"promote(dispatch): champion none -> {made.id}"
    assert [item.action for item in read_log(registry)] == ["promote", "variant", "agent", "agent", "model"]


def test_commits_of_the_user_are_left_out_unless_asked_for(registry: Registry, user: User) -> None:
    user("commit", "--quiet", "--allow-empty", "--message=mine\n\nwith a body\n\nSigned-off-by: Ada")
    assert "mine" not in [event.subject for event in read_log(registry)]
    everything = list(read_log(registry, scope="everything"))
    assert everything[0].subject == "mine"
    assert everything[0].action == ""
    assert len(everything) == int(user("rev-list", "--count", "HEAD"))


def test_the_log_of_an_agent_is_what_was_done_to_it(registry: Registry, variant: MakeVariant) -> None:
    variant(seed=1)
    variant(seed=1, agent="shell")
    assert [event.action for event in read_log(registry, "shell")] == ["variant", "agent"]
    assert list(read_log(registry, "nobody")) == []


@pytest.mark.parametrize("limit", [0, 1, 2, 100])
def test_a_limit_counts_what_is_shown(registry: Registry, user: User, limit: int) -> None:
    user("commit", "--quiet", "--allow-empty", "--message=mine")
    assert len(list(read_log(registry, limit=limit))) == min(limit, 3)


def test_a_forged_account_is_shown_as_faulty_and_hides_nothing(registry: Registry, user: User) -> None:
    user("commit", "--quiet", "--allow-empty", "--message=x\n\nCortex-Action: promote\nCortex-Action: rollback")
    user("commit", "--quiet", "--allow-empty", "--message=y\n\nCortex-Action: promote\nCortex-Generation: many")
    faulty = [event for event in read_log(registry) if event.fault]
    assert len(faulty) == 2
    assert "stands twice" in faulty[1].fault
    assert "many" in faulty[0].fault
    assert len(list(read_log(registry))) == 5


def test_a_message_that_is_not_utf_8_does_not_stop_the_log(registry: Registry, root: Path) -> None:
    tree = registry.git.run("rev-parse", "HEAD^{tree}").decode().strip()
    head = registry.git.head()
    people = b"author J\xe9r\xf4me <j> 1767323045 +0000\ncommitter J <j> 1767323045 +0000\n"
    raw = f"tree {tree}\nparent {head}\n".encode() + people + b"\ncaf\xe9\n\nCortex-Action: note\nCortex-Target: x\n"
    oid = registry.git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=raw).decode().strip()
    registry.git.run("update-ref", "refs/heads/main", oid)
    event = next(read_log(registry))
    assert (event.action, event.time) == ("note", "2026-01-02T03:04:05Z")
    assert event.subject.startswith("caf")
    event.subject.encode()  # no surrogate that a JSON encoder would choke on


def test_empty_messages_and_a_branch_without_commits_are_no_trouble(
    registry: Registry, user: User, tmp_path: Path
) -> None:
    user("commit", "--quiet", "--allow-empty", "--allow-empty-message", "--message=")
    assert len(list(read_log(registry, scope="everything"))) == 5
    empty = tmp_path / "empty"
    empty.mkdir()
    Git.create(empty)
    assert list(read_log(Registry(Workspace(empty)))) == []


def test_a_history_longer_than_one_chunk_is_read_whole(registry: Registry) -> None:
    message = "note(shell): x\n\nCortex-Action: note\nCortex-Target: shell\n"
    stream = "".join(
        f"commit refs/heads/main\ncommitter c <c> {1_700_000_000 + number} +0000\ndata {len(message)}\n{message}\n"
        + (f"from {registry.git.head()}\n" if number == 0 else "")
        for number in range(3000)
    )
    registry.git.run("fast-import", "--quiet", stdin=stream.encode())
    events = list(read_log(registry))
    assert len(events) == 3003
    assert len({event.commit for event in events}) == 3003


def test_the_mover_of_a_champion_is_found_behind_later_changes(
    registry: Registry, root: Path, user: User, variant: MakeVariant
) -> None:
    first, second = variant(seed=1), variant(seed=2)
    moved = promote(registry, "dispatch", first.id)
    promote(registry, "shell", variant(seed=1, agent="shell").id)
    path = root / "registry" / "agents" / "dispatch.toml"
    path.write_text(path.read_text(encoding="utf-8") + 'summary = "new"\n', encoding="utf-8")
    user("commit", "--quiet", "--all", "--message=a summary")
    found = find_mover(registry, "dispatch", first.id)
    assert found is not None
    assert found.commit == moved.commit
    by_hand = find_mover(registry, "dispatch", second.id)
    assert by_hand is not None
    assert by_hand.subject == "a summary"
    assert find_mover(registry, "nobody", first.id) is None


def test_a_diff_shows_what_changed_in_the_paths_of_cortex(
    registry: Registry, root: Path, user: User, variant: MakeVariant
) -> None:
    before = user("rev-parse", "HEAD")
    made = variant(seed=1)
    promote(registry, "dispatch", made.id)
    registry.commit(Trailers("note", "x"), {"prompts/shell/default.md": None})
    (root / "mine.txt").write_text("mine\n", encoding="utf-8")
    user("add", "mine.txt")
    user("commit", "--quiet", "--message=mine")
    changes = {change.path: change for change in diff(registry, before)}
    assert {path: change.kind for path, change in changes.items()} == {
        "prompts/shell/default.md": "removed",
        "registry/agents/dispatch.toml": "changed",
        f"registry/variants/{made.id}.toml": "added",
    }
    assert f'+champion = "{made.id}"' in changes["registry/agents/dispatch.toml"].patch
    assert diff(registry, "HEAD", "HEAD") == []
    assert [change.kind for change in diff(registry, "HEAD", before)] == ["added", "changed", "removed"]


@pytest.mark.parametrize("rev", ["nowhere", "--output=/tmp/owned", "HEAD~99"])
def test_a_diff_with_what_is_no_commit_is_refused(registry: Registry, rev: str) -> None:
    with pytest.raises(UsageError):
        diff(registry, rev)
    with pytest.raises(UsageError):
        diff(registry, "HEAD", rev)


def test_a_diff_runs_no_program_of_the_configuration_and_follows_no_git_variable(
    registry: Registry, root: Path, user: User, tmp_path: Path, variant: MakeVariant, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant(seed=1)
    witness = tmp_path / "ran"
    user("config", "diff.external", f"touch {witness}")
    user("config", "diff.toml.textconv", f"touch {witness}; cat")
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "attributes").write_text("*.toml diff=toml\n", encoding="utf-8")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert [change.kind for change in diff(registry, "HEAD~1")] == ["added"]
    assert not witness.exists()


def test_blame_names_the_commit_of_the_champion_line(
    registry: Registry, root: Path, user: User, variant: MakeVariant
) -> None:
    made = variant(seed=1)
    moved = promote(registry, "dispatch", made.id)
    path = root / "registry" / "agents" / "dispatch.toml"
    path.write_text(path.read_text(encoding="utf-8") + 'summary = "new"\n', encoding="utf-8")
    user("commit", "--quiet", "--all", "--message=a summary")
    found = blame(registry, "dispatch")
    assert found.commit == moved.commit
    assert found.author == "Ada"
    assert found.line == f'champion = "{made.id}"'
    assert found.subject.startswith("promote(dispatch)")


def test_blame_without_a_champion_is_a_usage_error(registry: Registry) -> None:
    with pytest.raises(UsageError, match="has no champion yet"):
        blame(registry, "dispatch")
    with pytest.raises(UsageError, match="there is no agent"):
        blame(registry, "nobody")


def test_reading_the_log_never_pays_for_gitpython(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cortex_cli.registry.history import read_log; "
        "from cortex_cli.registry.repository import Registry; from cortex_cli.store.workspace import Workspace; "
        f"assert list(read_log(Registry(Workspace(Path({str(root)!r}))))); "
        "print([name for name in ('git', 'filelock', 'numpy', 'torch', 'jinja2', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr

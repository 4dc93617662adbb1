from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.domain.manifests import Variant
from cortex_cli.registry.actions import promote, rollback
from cortex_cli.registry.audit import Finding, audit_history
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers, render_message
from cortex_cli.store.objects import ObjectStore

User = Callable[..., str]
MakeVariant = Callable[..., Variant]
Edit = Callable[..., str]

STATE = "registry/agents/dispatch.toml"


@pytest.fixture
def edit(root: Path, user: User) -> Edit:
    """Commit the state of an agent by hand: `edit("message", champion="x")`."""

    def make(message: str, path: str = STATE, **fields: object) -> str:
        lines = [f'agent = "{Path(path).stem}"', *(f"{key} = {_toml(value)}" for key, value in fields.items())]
        (root / path).write_text("\n".join(lines) + "\n", encoding="utf-8")
        user("add", path)
        user("commit", "--quiet", "--message", message)
        return user("rev-parse", "HEAD")

    return make


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def findings(registry: Registry) -> list[Finding]:
    return list(audit_history(registry.git))


def test_a_history_written_by_cortex_is_sound(
    registry: Registry, objects: ObjectStore, variant: MakeVariant, user: User
) -> None:
    first, second = variant(seed=1), variant(seed=2)
    promote(registry, "dispatch", first.id)
    user("commit", "--quiet", "--allow-empty", "--message=mine")
    promote(registry, "dispatch", second.id)
    rollback(registry, "dispatch", objects=objects)
    registry.commit(Trailers("note", "anything"), {"registry/notes/x.toml": b"x = 1\n"})
    assert findings(registry) == []


def test_a_branch_without_commits_is_sound(tmp_path: Path) -> None:
    from cortex_cli.registry.git import Git

    assert list(audit_history(Git.create(tmp_path))) == []


def test_a_promotion_that_says_other_than_its_diff_is_forged(
    registry: Registry, variant: MakeVariant, edit: Edit
) -> None:
    first, second = variant(seed=1), variant(seed=2)
    promote(registry, "dispatch", first.id)
    account = Trailers("promote", "dispatch", first.id, first.id, 2)
    commit = edit(render_message(account), champion=second.id, previous=first.id, generation=2)
    assert findings(registry) == [
        Finding(
            "error",
            commit,
            f"forged account '{account.subject()}': To says '{first.id}', the files say '{second.id}'",
        )
    ]


@pytest.mark.parametrize(
    ("record", "fields", "fault"),
    [
        (("promote", "dispatch", "a", "b", 1), {"champion": "b", "generation": 1, "previous": ""}, "From says 'a'"),
        (("promote", "dispatch", "", "b", 5), {"champion": "b", "generation": 1}, "Generation says 5"),
        (("promote", "dispatch", "", "b", 5), {"champion": "b", "generation": 5}, "generation before says 4"),
        (("promote", "dispatch", "", "b", None), {"champion": "b", "generation": 1}, "Generation says None"),
        (("promote", "dispatch", "", "b", 1), {"champion": "b", "generation": 1, "previous": "z"}, "previous says 'z'"),
        (("rollback", "dispatch", "", "c", 1), {"champion": "b", "generation": 1}, "To says 'c'"),
        (("promote", "shell", "", "b", 1), {"champion": "b", "generation": 1}, "'registry/agents/shell.toml' was not"),
        (("promote", "shell", "", "b", 1), {"champion": "b", "generation": 1}, "agent 'dispatch' was touched as well"),
        (("variant", "dispatch", "", "b"), {"champion": "b", "generation": 1}, "moved by an action that moves none"),
        (
            ("train", "dispatch", "", "b"),
            {"champion": "", "generation": 0},
            "'registry/adapters/b.toml' was not written",
        ),
        (("curate", "dispatch", "", "c/v0001"), {}, "'datasets/c/v0001.toml' was not written"),
        (("agent", "dispatch"), {"champion": "b"}, "moved by an action that moves none"),
    ],
)
def test_every_kind_of_forgery_is_found(
    registry: Registry, edit: Edit, record: tuple[str, ...], fields: dict[str, object], fault: str
) -> None:
    edit(render_message(Trailers(*record)), summary="x", **fields)  # type: ignore[arg-type]  # a generation among them
    found = findings(registry)
    assert {finding.severity for finding in found} == {"error"}
    assert any(fault in finding.what for finding in found), found


def test_an_account_with_nothing_behind_it_is_forged(registry: Registry, user: User) -> None:
    message = render_message(Trailers("promote", "dispatch", "a", "b", 2))
    user("commit", "--quiet", "--allow-empty", "--message", message)
    assert "was not written" in findings(registry)[0].what


@pytest.mark.parametrize("second", ["Cortex-To: other", "cortex-action: note"])
def test_a_key_that_stands_twice_is_found(registry: Registry, user: User, second: str) -> None:
    message = render_message(Trailers("note", "dispatch", to="x")) + second
    user("commit", "--quiet", "--allow-empty", "--message", message)
    assert [finding.severity for finding in findings(registry)] == ["error"]
    assert "stands twice" in findings(registry)[0].what


def test_a_champion_moved_by_hand_is_an_error_until_cortex_has_moved_it_again(
    registry: Registry, variant: MakeVariant, edit: Edit
) -> None:
    first, second = variant(seed=1), variant(seed=2)
    commit = edit("I know what I do", champion=first.id, generation=1)
    by_hand = f"the state of agent 'dispatch' was changed without an account, to champion '{first.id}'"
    assert findings(registry) == [Finding("error", commit, by_hand, "cortex rollback dispatch")]
    promote(registry, "dispatch", second.id)
    assert findings(registry) == [Finding("warning", commit, by_hand)]


def test_another_agent_does_not_confirm_it(registry: Registry, variant: MakeVariant, edit: Edit) -> None:
    edit("by hand", champion=variant(seed=1).id, generation=1)
    promote(registry, "shell", variant(seed=1, agent="shell").id)
    assert [finding.severity for finding in findings(registry)] == ["error"]


def test_a_split_changed_by_hand_is_a_warning(registry: Registry, variant: MakeVariant, edit: Edit) -> None:
    made = variant(seed=1)
    edit("by hand", challengers=[made.id])
    assert [finding.severity for finding in findings(registry)] == ["warning"]


def test_a_summary_changed_by_hand_is_the_users_right(registry: Registry, edit: Edit) -> None:
    edit("by hand", summary="better words")
    edit("an agent by hand", "registry/agents/router.toml", summary="new")
    assert findings(registry) == []


def test_a_removed_agent_with_a_champion_is_found(registry: Registry, variant: MakeVariant, user: User) -> None:
    promote(registry, "dispatch", variant(seed=1).id)
    user("rm", "--quiet", STATE)
    user("commit", "--quiet", "--message=away")
    assert "to champion 'nothing'" in findings(registry)[0].what


def test_a_reverted_promotion_is_a_change_without_an_account(
    registry: Registry, variant: MakeVariant, user: User
) -> None:
    promote(registry, "dispatch", variant(seed=1).id)
    user("revert", "--no-edit", "HEAD")
    assert [finding.severity for finding in findings(registry)] == ["error"]


def test_a_merge_that_brings_sound_commits_is_sound(registry: Registry, variant: MakeVariant, user: User) -> None:
    user("branch", "side")
    promote(registry, "dispatch", variant(seed=1).id)
    user("switch", "--quiet", "side")
    user("commit", "--quiet", "--allow-empty", "--message=mine")
    user("merge", "--quiet", "--no-edit", "main")
    assert findings(registry) == []


def test_a_merge_that_makes_up_a_state_is_found(
    registry: Registry, root: Path, variant: MakeVariant, user: User
) -> None:
    first, second, third = (variant(seed=seed) for seed in (1, 2, 3))
    user("branch", "side")
    promote(registry, "dispatch", first.id)
    user("switch", "--quiet", "side")
    promote(registry, "dispatch", second.id)
    user("merge", "--quiet", "--no-commit", "--strategy=ours", "main")
    text = (root / STATE).read_text(encoding="utf-8").replace(second.id, third.id)
    (root / STATE).write_text(text, encoding="utf-8")
    user("commit", "--quiet", "--all", "--message=merge main")
    found = findings(registry)
    assert [finding.severity for finding in found] == ["error"]
    assert f"to champion '{third.id}'" in found[0].what


def test_a_merge_with_an_account_is_forged(registry: Registry, user: User) -> None:
    user("branch", "side")
    user("commit", "--quiet", "--allow-empty", "--message=one")
    user("switch", "--quiet", "side")
    user("commit", "--quiet", "--allow-empty", "--message=two")
    user("merge", "--quiet", "--message", render_message(Trailers("note", "x")), "main")
    assert "it is a merge, and Cortex makes none" in findings(registry)[0].what


def test_files_of_the_user_with_any_name_are_passed_over(registry: Registry, root: Path, user: User) -> None:
    for name in (":100644 odd", "new\nline", "umläut"):
        (root / name).write_text("x", encoding="utf-8")
    user("add", ".")
    user("commit", "--quiet", "--message=:100644 odd")
    assert findings(registry) == []


def test_a_state_that_cannot_be_read_is_no_reason_to_stop(
    registry: Registry, root: Path, user: User, variant: MakeVariant, edit: Edit
) -> None:
    made = variant(seed=1)
    (root / STATE).write_text("not TOML", encoding="utf-8")
    user("commit", "--quiet", "--all", "--message=break")
    edit(render_message(Trailers("promote", "dispatch", "", made.id, 1)), champion=made.id, generation=1)
    assert "no readable state before and after" in findings(registry)[0].what

"""What a verb works on: which workspace, which recipe, whose settings."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.cli import context
from cortex_cli.cli.session import Session, begin_session, session
from cortex_cli.cli.suggest import guess_clause, unknown_name
from cortex_cli.domain.errors import NoWorkspaceError, UsageError

if TYPE_CHECKING:
    from tests.cli.conftest import Program


def test_the_search_begins_at_the_option_then_the_variable_then_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begin_session({})
    assert context.start_folder() == tmp_path
    begin_session({"CORTEX_WORKSPACE": "/variable"})
    assert context.start_folder() == Path("/variable")
    session().workspace = "/option"
    assert context.start_folder() == Path("/option")


def test_a_workspace_is_found_from_a_folder_inside_it(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    begin_session({"CORTEX_WORKSPACE": str(folder / "a" / "b")})
    assert context.workspace().root == folder
    assert context.find_root() == folder


def test_outside_of_a_workspace_there_is_no_root(tmp_path: Path) -> None:
    begin_session({"CORTEX_WORKSPACE": str(tmp_path)})
    assert context.find_root() is None
    with pytest.raises(NoWorkspaceError):
        context.workspace()


def test_parts_lie_where_the_workspace_says(cortex: "Program", workspace: Path) -> None:
    begin_session(cortex.environ)
    assert context.objects().root == workspace / ".cortex" / "objects"
    with context.journal() as journal:
        assert journal.last() == 0
    assert context.registry().workspace.root == workspace


def test_the_wait_of_a_verb_wins_over_the_setting(cortex: "Program", workspace: Path) -> None:
    begin_session({**cortex.environ, "CORTEX_LOCK_WAIT": "7"})
    assert context.registry().wait == 7.0
    assert context.registry(wait=0.0).wait == 0.0


def test_a_recipe_is_a_name_in_the_workspace_or_a_path(folder: Path, tmp_path: Path) -> None:
    (folder / "recipes" / "mine.toml").touch()
    (tmp_path / "loose.toml").touch()
    begin_session({"CORTEX_WORKSPACE": str(folder)})
    assert context.find_recipe("mine") == folder / "recipes" / "mine.toml"
    assert context.find_recipe(str(tmp_path / "loose.toml")) == tmp_path / "loose.toml"
    with pytest.raises(UsageError, match="did you mean 'mine'"):
        context.find_recipe("mien")


def test_a_new_session_forgets_the_options_of_the_last() -> None:
    begin_session({"A": "1"}).quiet = True
    assert begin_session({}) == Session()
    assert session() == Session()


@pytest.mark.parametrize(("value", "on"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_debug_is_on_by_any_value_but_0(value: str, *, on: bool) -> None:
    assert begin_session({"CORTEX_DEBUG": value}).debug is on


def test_a_guess_names_the_nearest_and_nothing_far_away() -> None:
    assert guess_clause("statsu", ["status", "train"]) == ", did you mean 'status'?"
    assert guess_clause("xyzzy", ["status", "train"]) == ""
    error = unknown_name("prompt", "a/b", ["a/c"], hint="cortex prompt ls")
    assert (error.exit_code, error.hint, error.state) == (2, "cortex prompt ls", "nothing was changed")

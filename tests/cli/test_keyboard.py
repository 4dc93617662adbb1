"""The user's editor and terminal, where no person is needed."""

import stat
import sys
from pathlib import Path

import pytest

from cortex_cli.cli.keyboard import edit_text, has_terminal, pick_editor
from cortex_cli.domain.errors import CortexError


def script(folder: Path, body: str) -> list[str]:
    path = folder / "an editor"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return [str(path)]


@pytest.mark.parametrize(
    ("environ", "editor"),
    [
        ({}, []),
        ({"EDITOR": "vi"}, ["vi"]),
        ({"EDITOR": "vi", "VISUAL": "code --wait"}, ["code", "--wait"]),
        ({"EDITOR": "'/opt/my editor' -x"}, ["/opt/my editor", "-x"]),
        ({"VISUAL": "", "EDITOR": ""}, []),
    ],
)
def test_visual_goes_before_editor_and_is_split_as_a_shell_does(environ: dict[str, str], editor: list[str]) -> None:
    assert pick_editor(environ) == editor


def test_what_was_saved_comes_back_and_the_file_is_gone(tmp_path: Path) -> None:
    editor = script(tmp_path, 'cat "$1" > "$1.copy"; printf "über\\nzwei\\n\\n" > "$1"')
    assert edit_text(editor, tmp_path / "answer", "before") == "über\nzwei"
    assert not (tmp_path / "answer").exists()
    assert (tmp_path / "answer.copy").read_text(encoding="utf-8") == "before"


def test_only_the_user_can_read_what_is_edited(tmp_path: Path) -> None:
    editor = script(tmp_path, 'ls -l "$1" > "$1.seen"')
    edit_text(editor, tmp_path / "answer", "x")
    assert (tmp_path / "answer.seen").read_text(encoding="utf-8").startswith("-rw-------")
    assert stat.S_IMODE((tmp_path / "answer.seen").stat().st_mode) != 0


@pytest.mark.parametrize("body", ["exit 3", 'rm "$1"; exit 1'])
def test_an_editor_that_fails_is_told_and_leaves_nothing(tmp_path: Path, body: str) -> None:
    with pytest.raises(CortexError, match="did not run"):
        edit_text(script(tmp_path, body), tmp_path / "answer", "x")
    assert not (tmp_path / "answer").exists()


def test_an_editor_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(CortexError, match="'no such editor'") as caught:
        edit_text(["no such editor"], tmp_path / "answer", "x")
    assert "EDITOR=" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_an_editor_that_takes_the_file_away_has_saved_nothing(tmp_path: Path) -> None:
    assert edit_text(script(tmp_path, 'rm "$1"'), tmp_path / "answer", "x") == ""


def test_text_that_is_not_utf_8_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    assert (
        edit_text(script(tmp_path, 'printf "a\\377b" > "$1"'), tmp_path / "answer", "x")
        == "a\N{REPLACEMENT CHARACTER}b"
    )


def test_under_a_test_there_is_nobody_at_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_terminal()
    monkeypatch.setattr(sys, "stdin", None)
    assert not has_terminal()

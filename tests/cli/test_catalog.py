"""The catalogue, the modules of the verbs and the documents agree."""

import ast
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.cli import catalog, commands
from cortex_cli.cli.framework import walk_pages

if TYPE_CHECKING:
    from tests.cli.conftest import Program

COMMANDS = Path(commands.__path__[0])
FEATURES = Path(__file__).resolve().parents[2] / "docs" / "features.md"
STATES = ("done", "part", "later")


def raised_verbs() -> set[str]:
    """Read from the sources which verbs raise `NotBuiltError`."""
    found: set[str] = set()
    for path in COMMANDS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "NotBuiltError":
                assert isinstance(node.args[0], ast.Constant), path
                found.add(str(node.args[0].value))
    return found


@pytest.mark.parametrize("verb", catalog.VERBS)
def test_every_verb_has_the_module_and_function_that_the_catalogue_names(verb: str) -> None:
    entry = catalog.VERBS[verb]
    target = getattr(importlib.import_module(f"cortex_cli.cli.commands.{entry.module}"), entry.attribute)
    assert callable(target) or all(callable(function) for function in target.values())


def test_every_module_belongs_to_a_verb() -> None:
    # A group that outgrows its file has a second one, `<verb>_<word>`.
    modules = {path.stem.partition("_")[0] for path in COMMANDS.glob("[!_]*.py")}
    assert modules == {entry.module for entry in catalog.VERBS.values()}


def test_sections_are_known_and_each_has_a_verb() -> None:
    assert {entry.section for entry in catalog.VERBS.values()} == set(catalog.SECTIONS)


def test_summaries_are_short_sentences_without_a_full_stop() -> None:
    for verb, entry in catalog.VERBS.items():
        assert len(entry.summary) <= 58, verb
        assert entry.summary[0].islower(), verb
        assert not entry.summary.endswith("."), verb


def test_what_is_not_built_is_what_raises_so() -> None:
    assert set(catalog.NOT_BUILT) == raised_verbs()
    assert list(catalog.NOT_BUILT) == sorted(catalog.NOT_BUILT)


@pytest.mark.parametrize("verb", catalog.NOT_BUILT)
def test_a_verb_that_is_not_built_says_so_and_ends_with_1(verb: str, cortex: "Program", workspace: Path) -> None:
    more = {
        "prompt optimize": ["dispatch"],
        "ab start": ["dispatch", "--challenger", "x"],
    }
    outcome = cortex(*verb.split(" "), *more.get(verb, []))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"error: '{verb}' is not built yet (E_NOT_BUILT)\n"
        "  nothing was changed\n  next: docs/features.md lists what is built\n"
    )


def test_help_marks_what_is_not_built(cortex: "Program") -> None:
    pages = {page.name.removeprefix("cortex "): page for page in walk_pages()}
    for verb in catalog.NOT_BUILT:
        name, _, option = verb.partition(" --")
        if option:
            text = next(each.text for each in pages[name].options if f"--{option}" in each.names)
            assert "not built yet" in text
        else:
            assert pages[name].text.endswith("Not built yet.")
    assert cortex("--help").out.count("(not built yet)") == sum(" " not in verb for verb in catalog.NOT_BUILT)


def test_the_features_page_lists_what_is_not_built() -> None:
    section = FEATURES.read_text(encoding="utf-8").partition("## Not built yet")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^- `cortex ([^`]+)`", section, re.MULTILINE)) == catalog.NOT_BUILT


def feature_rows() -> list[list[str]]:
    lines = FEATURES.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| [A-Z]+-\d+", line)]
    assert all(len(row) == 5 for row in rows)
    return rows


def test_every_feature_has_one_row_with_a_state() -> None:
    rows = feature_rows()
    assert len({row[0] for row in rows}) == len(rows)
    assert {row[2] for row in rows} <= set(STATES)


def test_what_is_done_names_a_command_and_a_test_that_exist() -> None:
    top = FEATURES.parent.parent
    for name, _, state, command, test in feature_rows():
        if state == "later":
            continue
        assert command, name
        assert test, name
        for path in re.findall(r"`([^`]+)`", test):
            assert (top / path).is_file(), f"{name}: {path}"

"""Finding a verb, parsing its words, and what is loaded for it."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli import __version__
from cortex_cli.cli.catalog import VERBS
from cortex_cli.cli.framework import root

if TYPE_CHECKING:
    from tests.cli.conftest import Program

# Packages that a light verb must never pay for.
HEAVY = {
    "asyncio",
    "filelock",
    "git",
    "httpx",
    "importlib.metadata",
    "jinja2",
    "numpy",
    "peft",
    "pydantic",
    "rich",
    "safetensors",
    "sqlite3",
    "textual",
    "tokenizers",
    "torch",
    "transformers",
}
LIST_MODULES = """
import sys
from cortex_cli.__main__ import main
sys.argv = ["cortex", *sys.argv[1:]]
code = main()
print(*sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""


def loaded_by(*arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", LIST_MODULES, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split(" "))


def test_the_version_is_answered_without_the_framework() -> None:
    modules = loaded_by("--version")
    assert {name for name in modules if name.startswith("cortex_cli")} == {"cortex_cli", "cortex_cli.__main__"}
    assert not modules & {"typer", "msgspec", "dataclasses", *HEAVY}


def test_listing_the_verbs_imports_none_of_them() -> None:
    modules = loaded_by("--help")
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith("cortex_cli.cli.commands")}


def test_status_imports_its_own_module_and_nothing_heavy(workspace: Path) -> None:
    modules = loaded_by("-C", str(workspace), "status", "--json")
    assert not modules & HEAVY
    own = {name for name in modules if name.startswith("cortex_cli.cli.commands.")}
    assert own == {"cortex_cli.cli.commands.status"}


def test_importing_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, cortex_cli.cli.app, cortex_cli.cli.framework, cortex_cli.cli.output; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY


@pytest.mark.parametrize("verb", VERBS)
def test_importing_a_verb_imports_nothing_heavy(verb: str) -> None:
    code = f"import sys, cortex_cli.cli.commands.{VERBS[verb].module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY


@pytest.mark.parametrize("arguments", [["--version"], ["--plain", "--version"]])
def test_the_version_is_the_same_on_both_ways(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "cortex_cli", *arguments], capture_output=True, text=True, check=True)
    assert done.stdout == f"cortex {__version__}\n"


def test_the_installed_script_runs() -> None:
    script = Path(sys.executable).with_name("cortex")
    assert subprocess.run([script, "--version"], capture_output=True, check=True).stdout.startswith(b"cortex ")


def test_without_words_the_help_is_shown(cortex: "Program") -> None:
    outcome = cortex()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == cortex("--help").out
    assert cortex("config").out == cortex("config", "--help").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["statis"], "'cortex' has no verb 'statis', did you mean 'status'?"),
        (["stat"], "'cortex' has no verb 'stat'"),
        (["recipe", "shwo"], "'cortex recipe' has no verb 'shwo', did you mean 'show'?"),
        (["xyzzy"], "'cortex' has no verb 'xyzzy'"),
        (["log", "--lmit", "1"], "no such option: --lmit"),
        (["log", "--lim", "1"], "no such option: --lim"),
        (["log", "-n", "0"], "invalid value for '-n' / '--limit': 0 is not in the range x>=1"),
        (["log", "-n", "many"], "invalid value for '-n' / '--limit': 'many' is not a valid int"),
        (["promote", "a"], "missing argument 'VARIANT'"),
        (["completion", "ksh"], "invalid value for 'SHELL': 'ksh' is not one of"),
        (["status", "extra"], "got unexpected extra argument"),
    ],
)
def test_wrong_words_end_with_2_and_a_next_step(words: list[str], message: str, cortex: "Program") -> None:
    outcome = cortex(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {message}")
    assert "  next: cortex" in outcome.err


def test_wrong_words_are_told_as_an_object_too(cortex: "Program") -> None:
    assert cortex("log", "--json", "--lmit").error["code"] == "E_USAGE"


def test_common_options_stand_before_or_after_the_verb(cortex: "Program", workspace: Path) -> None:
    assert cortex("--plain", "status").out == cortex("status", "--plain").out != cortex("status").out


def test_quiet_takes_the_talk_away_and_leaves_the_data(
    cortex: "Program", workspace: Path, ids: tuple[str, str]
) -> None:
    outcome = cortex("promote", "dispatch", ids[1], "-q")
    assert outcome.err == ""
    assert outcome.out != ""


def test_the_tree_is_made_anew_for_every_run() -> None:
    assert root() is not root()

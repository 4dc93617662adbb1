"""Prompts of a workspace: listed, shown, rendered, and compared with what is live."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.domain.manifests import Agent
from cortex_cli.registry import actions
from cortex_cli.registry.repository import Registry
from cortex_cli.store.workspace import Workspace

if TYPE_CHECKING:
    from tests.cli.conftest import Program

TYPED = """+++
summary = "typed"
variables = { count = "int", ratio = "float", sure = "bool", tags = "list", name = "str" }
+++
<|system|>
{{ name }}
<|user|>
{{ count + 1 }} {{ ratio }} {{ sure }} {{ tags | join("+") }}
"""


def test_ls_marks_what_is_live(cortex: "Program", workspace: Path) -> None:
    rows = {row["name"]: row for row in cortex("prompt", "ls", "--json").data["prompts"]}
    assert rows["dispatch/main"]["state"] == "live"
    assert rows["shell/main"]["state"] == "-"
    assert rows["dispatch/main"]["variables"] == ["utterance"]


def test_ls_shows_a_faulty_prompt_with_its_fault(cortex: "Program", workspace: Path) -> None:
    (workspace / "prompts" / "dispatch" / "bad.md").write_text("no front matter", encoding="utf-8")
    outcome = cortex("prompt", "ls")
    assert outcome.code == 0
    assert "1 faults, such as line 1: front matter is missing" in outcome.out


def test_show_prints_the_file_with_control_characters_made_visible(cortex: "Program", workspace: Path) -> None:
    path = workspace / "prompts" / "dispatch" / "main.md"
    text = path.read_text(encoding="utf-8")
    assert cortex("prompt", "show", "dispatch").out == text
    path.write_text(text + "\x1b[2J", encoding="utf-8")
    assert "\x1b" not in cortex("prompt", "show", "dispatch/main").out


def test_an_agent_with_several_prompts_needs_a_name(cortex: "Program", workspace: Path) -> None:
    folder = workspace / "prompts" / "dispatch"
    (folder / "other.md").write_text((folder / "main.md").read_text(encoding="utf-8"), encoding="utf-8")
    outcome = cortex("prompt", "show", "dispatch")
    assert outcome.code == 2
    assert "has 2 prompts: dispatch/main, dispatch/other" in outcome.err
    assert cortex("prompt", "show", "dispatch/other").code == 0


@pytest.mark.parametrize("name", ["dispach", "dispatch/man", "../../etc/passwd"])
def test_an_unknown_prompt_is_refused(name: str, cortex: "Program", workspace: Path) -> None:
    outcome = cortex("prompt", "show", name)
    assert outcome.code == 2
    assert outcome.err.startswith("error: there is no prompt")


def test_render_fills_in_values_in_their_declared_types(cortex: "Program", workspace: Path) -> None:
    (workspace / "prompts" / "dispatch" / "typed.md").write_text(TYPED, encoding="utf-8")
    values = ["count=2", "ratio=0.5", "sure=true", "tags=a,b", "name=x=y"]
    words = [word for value in values for word in ("--set", value)]
    messages = cortex("prompt", "render", "dispatch/typed", *words, "--json").data["messages"]
    assert messages == [{"role": "system", "content": "x=y"}, {"role": "user", "content": "3 0.5 True a+b"}]
    page = cortex("prompt", "render", "dispatch/typed", *words).out
    assert page == "<|system|>\nx=y\n<|user|>\n3 0.5 True a+b\n"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "utterance: has no value"),
        (["utterance=a", "other=b"], "other: is not a variable of this prompt"),
        (["utterance"], "'--set utterance' has no '='"),
    ],
)
def test_render_says_which_value_is_wrong(values: list[str], words: str, cortex: "Program", workspace: Path) -> None:
    outcome = cortex("prompt", "render", "dispatch", *[word for value in values for word in ("--set", value)])
    assert outcome.code == 2
    assert words in outcome.err


def test_a_value_of_the_wrong_type_is_refused(cortex: "Program", workspace: Path) -> None:
    (workspace / "prompts" / "dispatch" / "typed.md").write_text(TYPED, encoding="utf-8")
    outcome = cortex("prompt", "render", "dispatch/typed", "--set", "count=many")
    assert outcome.code == 2
    assert "expected int, found 'many'" in outcome.err


def test_diff_compares_the_file_with_what_is_live(cortex: "Program", workspace: Path) -> None:
    assert cortex("prompt", "diff", "dispatch", "--json").data["changed"] is False
    assert "is as it is live for 'dispatch'" in cortex("prompt", "diff", "dispatch").out
    path = workspace / "prompts" / "dispatch" / "main.md"
    path.write_text(path.read_text(encoding="utf-8").replace("{{", "Say: {{"), encoding="utf-8")
    lines = cortex("prompt", "diff", "dispatch").out.splitlines()
    assert "-{{ utterance }}" in lines
    assert "+Say: {{ utterance }}" in lines


def test_diff_of_a_removed_file_shows_all_of_it_gone(cortex: "Program", workspace: Path) -> None:
    (workspace / "prompts" / "dispatch" / "main.md").unlink()
    data = cortex("prompt", "diff", "dispatch", "--json").data
    assert data["changed"] is True
    assert not [line for line in data["diff"][2:] if line.startswith("+")]


def test_diff_needs_a_champion(cortex: "Program", workspace: Path) -> None:
    actions.add_agent(Registry(Workspace(workspace)), Agent(agent="shell"))
    outcome = cortex("prompt", "diff", "shell")
    assert outcome.code == 2
    assert "has no champion yet" in outcome.err

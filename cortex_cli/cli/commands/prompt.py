"""List, show, compare, render and optimise prompts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cortex_cli.cli.commands.later import prompt_optimize
from cortex_cli.cli.context import registry, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import AgentArgument, JsonOption
from cortex_cli.cli.output import emit, print_lines, print_table, show_text
from cortex_cli.cli.suggest import unknown_name
from cortex_cli.domain.errors import FaultsError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.optimize.prompts import PromptFile
    from cortex_cli.registry.snapshot import Snapshot

__all__ = ["VERBS", "diff", "ls", "render", "show"]

Prompt = Annotated[str, Argument(metavar="PROMPT", help="AGENT/NAME, or AGENT if it has only one prompt")]


def ls(as_json: JsonOption = False) -> None:
    """List the prompts of this workspace, and for which agent each is live."""
    live = _live_prompts(registry().snapshot())
    rows = [_row(path, live) for path in _paths()]

    def human(console: "Console") -> None:
        cells = [(row["name"], " ".join(row["variables"]), row["state"], row["summary"]) for row in rows]
        print_table(console, ("PROMPT", "VARIABLES", "STATE", "SUMMARY"), cells)

    emit("prompt.ls", {"prompts": rows}, human, as_json=as_json)


def show(prompt: Prompt, as_json: JsonOption = False) -> None:
    """Show a prompt as it stands in its file."""
    path = _find(prompt)
    text = path.read_text(encoding="utf-8")

    def human(console: "Console") -> None:
        print_lines(console, map(show_text, text.splitlines()))

    emit("prompt.show", {"name": _name(path), "path": _relative(path), "text": text}, human, as_json=as_json)


def diff(agent: AgentArgument, as_json: JsonOption = False) -> None:
    """Compare the prompt that is live for AGENT with its file as it stands now."""
    import difflib

    snapshot = registry().snapshot()
    champion = snapshot.agent(agent).champion
    if not champion:
        raise UsageError(f"agent '{agent}' has no champion yet, so no prompt is live", hint="cortex status")
    variant = snapshot.variant(champion)
    path = workspace().root / variant.prompt
    before = (snapshot.read_blob(variant.prompt_blob) or b"").decode("utf-8", "replace").splitlines()
    after = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines = list(difflib.unified_diff(before, after, f"live/{variant.prompt}", f"file/{variant.prompt}", lineterm=""))
    data = {"agent": agent, "champion": champion, "prompt": variant.prompt, "changed": bool(lines), "diff": lines}

    def human(console: "Console") -> None:
        print_lines(console, map(show_text, lines or [f"'{variant.prompt}' is as it is live for '{agent}'"]))

    emit("prompt.diff", data, human, as_json=as_json)


def render(
    prompt: Prompt,
    values: Annotated[list[str] | None, Option("--set", metavar="NAME=VALUE", help="value of a variable")] = None,
    as_json: JsonOption = False,
) -> None:
    """Fill in the variables of a prompt and show the messages that a model would get.

    cortex prompt render dispatch --set utterance='what is my balance'
    """
    from cortex_cli.optimize.prompts import render_prompt

    parsed = _parse(_find(prompt))
    messages = render_prompt(parsed, _typed(parsed, values or []))

    def human(console: "Console") -> None:
        for message in messages:
            console.print(f"<|{message.role}|>", style="bold")
            print_lines(console, map(show_text, message.content.splitlines()))

    emit("prompt.render", {"messages": messages}, human, as_json=as_json)


def _live_prompts(snapshot: "Snapshot") -> dict[str, str]:
    """Return the agent for which each prompt file is live."""
    with snapshot:
        champions = [(agent.agent, agent.champion) for agent in snapshot.agents() if agent.champion]
        return {snapshot.variant(champion).prompt: agent for agent, champion in champions}


def _row(path: Path, live: dict[str, str]) -> dict[str, Any]:
    row = {"name": _name(path), "path": _relative(path), "state": "live" if _relative(path) in live else "-"}
    try:
        parsed = _parse(path)
    except FaultsError as error:
        return {**row, "variables": [], "summary": f"{len(error.faults)} faults, such as {error.faults[0]}"}
    return {**row, "variables": list(parsed.variables), "summary": parsed.summary}


def _parse(path: Path) -> "PromptFile":
    from cortex_cli.optimize.prompts import parse_prompt

    return parse_prompt(path.read_text(encoding="utf-8"), _relative(path))


def _typed(parsed: "PromptFile", values: list[str]) -> dict[str, object]:
    """Read `NAME=VALUE` words in the types that the prompt declares; a list is separated by commas."""
    import msgspec

    kinds: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool}
    typed: dict[str, object] = {}
    for word in values:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"'--set {word}' has no '=': use NAME=VALUE", hint="cortex prompt render --help")
        kind = parsed.variables.get(name, "str")
        try:
            typed[name] = text.split(",") if kind == "list" else msgspec.convert(text, kinds[kind], strict=False)
        except msgspec.ValidationError:
            raise UsageError(f"'--set {word}': expected {kind}, found {text!r}", state="nothing was changed") from None
    return typed


def _paths() -> list[Path]:
    return sorted((workspace().root / "prompts").glob("*/*.md"))


def _find(prompt: str) -> Path:
    paths = {_name(path): path for path in _paths()}
    own = [name for name in paths if name.startswith(f"{prompt}/")]
    if len(own) > 1:
        raise UsageError(
            f"agent '{prompt}' has {len(own)} prompts: {', '.join(own)}", hint=f"cortex prompt show {own[0]}"
        )
    name = own[0] if own else prompt
    if name not in paths:
        raise unknown_name("prompt", prompt, paths, hint="cortex prompt ls")
    return paths[name]


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _relative(path: Path) -> str:
    return path.relative_to(workspace().root).as_posix()


VERBS = {"ls": ls, "show": show, "diff": diff, "render": render, "optimize": prompt_optimize}

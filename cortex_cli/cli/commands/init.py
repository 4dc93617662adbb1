"""`cortex init`: a new workspace."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import environ, start_folder
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, say, show_text
from cortex_cli.cli.session import session
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.names import check_name

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.registry.start import Begun, Judge

__all__ = ["init"]

_JUDGES: "tuple[Judge, ...]" = ("exact", "json", "command")


def init(
    path: Annotated[str, Argument(metavar="DIR", help="folder of the workspace; the current one by default")] = "",
    name: Annotated[str, Option(metavar="NAME", help="name of the workspace; that of the folder by default")] = "",
    agent: Annotated[str, Option(metavar="AGENT", help="begin this agent too, under prompts/AGENT/main.md")] = "",
    model: Annotated[str, Option(metavar="MODEL", help="the base model with which the agent begins")] = "cortex-tiny",
    judge: Annotated[str, Option(metavar="JUDGE", help="how answers are compared: exact, json or command")] = "exact",
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: a git repository with recipes, prompts and the models that ship with Cortex.

    A repository that is there keeps its history and its files; a workspace stays as it is, and
    --agent begins one more agent in it.
    """
    checked = _check_judge(judge)
    if agent:
        check_name("agent", agent)
    from cortex_cli.registry.start import start_workspace

    # A path that was typed is meant from here, or from -C; CORTEX_WORKSPACE is only the default.
    root = Path(session().workspace, path).expanduser() if path else start_folder()
    started = start_workspace(root, name=name, actor=_actor())

    begun = _begin(root, agent, model, checked) if agent else None

    def human(console: "Console") -> None:
        word = "made" if started.state == "created" else "there already, nothing was changed:"
        console.print(f"workspace {word} {show_text(started.root)}")
        console.print(f"commit {started.commit[:10]}, {len(started.files)} files")
        if begun:
            console.print(f"agent {begun.agent.agent} begins with {begun.variant.id}")
        say(f"  next: cortex collect SOURCE --agent {agent or 'NAME'}, or cortex demo")

    data = {**started._asdict(), "agent": begun.agent if begun else None}
    emit("init", data, human, as_json=as_json)


def _begin(root: Path, agent: str, model: str, judge: "Judge") -> "Begun":
    from cortex_cli.registry.repository import Registry
    from cortex_cli.registry.start import start_agent
    from cortex_cli.store.workspace import Workspace

    return start_agent(Registry(Workspace(root.absolute()), actor=_actor()), agent, model=model, judge=judge)


def _actor() -> str:
    from cortex_cli.store.settings import load_settings

    return load_settings(env=environ()).actor


def _check_judge(judge: str) -> "Judge":
    for known in _JUDGES:
        if judge == known:
            return known
    raise UsageError(f"judge {judge!r} is not known; known: {', '.join(_JUDGES)}", state="nothing was changed")

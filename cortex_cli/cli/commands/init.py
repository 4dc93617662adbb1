"""`cortex init`: a new workspace."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import environ, start_folder
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, say, show_text
from cortex_cli.cli.session import session

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["init"]


def init(
    path: Annotated[str, Argument(metavar="DIR", help="folder of the workspace; the current one by default")] = "",
    name: Annotated[str, Option(metavar="NAME", help="name of the workspace; that of the folder by default")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a workspace: a git repository with recipes, prompts and the models that ship with Cortex.

    A repository that is there keeps its history and its files; a workspace stays as it is.
    """
    from cortex_cli.registry.start import start_workspace
    from cortex_cli.store.settings import load_settings

    # A path that was typed is meant from here, or from -C; CORTEX_WORKSPACE is only the default.
    root = Path(session().workspace, path).expanduser() if path else start_folder()
    started = start_workspace(root, name=name, actor=load_settings(env=environ()).actor)

    def human(console: "Console") -> None:
        word = "made" if started.state == "created" else "there already, nothing was changed:"
        console.print(f"workspace {word} {show_text(started.root)}")
        console.print(f"commit {started.commit[:10]}, {len(started.files)} files")
        say("  next: cortex demo, or cortex collect SOURCE --agent NAME")

    emit("init", started._asdict(), human, as_json=as_json)

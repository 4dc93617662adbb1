"""List adapters, show the card of one, and write its files where other programs read them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import registry, settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_lines, print_table, say

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.pipeline.place import Place

__all__ = ["VERBS", "card", "export", "ls"]

Name = Annotated[str, Argument(metavar="ADAPTER", help="id of an adapter, see 'cortex adapter ls'")]


def ls(as_json: JsonOption = False) -> None:
    """List the adapters of this workspace: what each was made from, and whether its gates let it through."""
    adapters = list(registry().snapshot().adapters())

    def human(console: "Console") -> None:
        rows = [
            (each.id, each.agent, each.objective, each.base, each.dataset, f"{each.final_loss:.3f}", each.state)
            for each in adapters
        ]
        print_table(console, ("ADAPTER", "AGENT", "OBJECTIVE", "BASE", "DATASET", "LOSS", "STATE"), rows)

    emit("adapter.ls", {"adapters": adapters}, human, as_json=as_json)


def card(adapter: Name, as_json: JsonOption = False) -> None:
    """Print the model card of an adapter: data, licences, settings, scores, gates, limits."""
    from cortex_cli.pipeline.carding import make_card

    text = make_card(_place(), adapter)
    data = {"adapter": adapter, "card": text}
    emit("adapter.card", data, lambda console: print_lines(console, text.splitlines()), as_json=as_json)


def export(
    adapter: Name,
    target: Annotated[Path, Argument(metavar="DIR", help="a folder that is not there yet")],
    merged: Annotated[bool, Option("--merged", help="the whole model, with the adapter merged into its base")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the files of an adapter to DIR, in peft's format, or merged into its base."""
    from cortex_cli.pipeline.adapters import export_adapter, export_whole

    folder = (export_whole if merged else export_adapter)(_place(), adapter, target)
    files = sorted(path.name for path in folder.iterdir())
    data = {"adapter": adapter, "folder": folder, "merged": merged, "files": files}
    emit("adapter.export", data, lambda console: print_lines(console, map(str, files)), as_json=as_json)
    say(f"  written to {folder}")


def _place() -> "Place":
    from cortex_cli.pipeline.place import open_place

    current = settings()
    return open_place(workspace(), actor=current.actor, wait=current.lock_wait)


VERBS = {"ls": ls, "card": card, "export": export}

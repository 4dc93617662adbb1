"""`cortex diff`: what changed between two states of the registry."""

from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import registry
from cortex_cli.cli.framework import Argument
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_lines, show_text

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["diff"]


def diff(
    old: Annotated[str, Argument(metavar="OLD", help="a commit, branch or tag")] = "HEAD~1",
    new: Annotated[str, Argument(metavar="NEW", help="another one")] = "HEAD",
    as_json: JsonOption = False,
) -> None:
    """Show what changed in registry, datasets, recipes, prompts and settings from OLD to NEW."""
    from cortex_cli.registry import history

    changes = history.diff(registry(), old, new)

    def human(console: "Console") -> None:
        for change in changes:
            console.print(f"{change.kind} {change.path}", style="bold")
            print_lines(console, map(show_text, change.patch.splitlines()))

    rows = [change._asdict() for change in changes]
    emit("diff", {"old": old, "new": new, "changes": rows}, human, as_json=as_json)

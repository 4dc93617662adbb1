"""`cortex rollback`: back to an earlier champion, by a commit forward."""

from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import objects, registry
from cortex_cli.cli.framework import Option
from cortex_cli.cli.options import AgentArgument, JsonOption, WaitOption
from cortex_cli.cli.output import emit, say

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["rollback"]


def rollback(
    agent: AgentArgument,
    to: Annotated[str, Option(metavar="VARIANT", help="this variant instead of the previous champion")] = "",
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the previous champion of AGENT, or another variant, its champion again.

    The files of its adapter are read and checked before anything moves. History is never rewritten:
    a rollback is a new commit.
    """
    from cortex_cli.registry import actions

    moved = actions.rollback(registry(wait=wait), agent, to=to, objects=objects())

    def human(console: "Console") -> None:
        console.print(f"champion of '{agent}': {moved.before or 'none'} -> {moved.after}")
        console.print(f"generation {moved.generation}, commit {moved.commit[:10]}")
        say(f"  why: cortex log {agent}")

    emit("rollback", moved._asdict(), human, as_json=as_json)

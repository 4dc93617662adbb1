"""`cortex promote`: a variant becomes the champion."""

from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import registry
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import AgentArgument, JsonOption, WaitOption
from cortex_cli.cli.output import emit, say
from cortex_cli.domain.errors import ConflictError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.registry.repository import Registry

__all__ = ["promote"]


def promote(
    agent: AgentArgument,
    variant: Annotated[str, Argument(metavar="VARIANT", help="id of a variant of this agent")],
    experiment: Annotated[str, Option(metavar="EXPERIMENT", help="the experiment that speaks for it")] = "",
    expect: Annotated[str, Option(metavar="VARIANT", help="refuse if the champion is another one by now")] = "",
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make VARIANT the champion of AGENT, in one commit that can be rolled back.

    With --experiment the commit cites its evidence, the verdict must be to promote, and the champion
    must still be the one that was compared with.
    """
    from cortex_cli.registry import actions

    writer = registry(wait=wait)
    if experiment:
        champion = _check_verdict(writer, experiment, variant)
        expect = expect or champion
    moved = actions.promote(writer, agent, variant, expect=expect, experiment=experiment)

    def human(console: "Console") -> None:
        console.print(f"champion of '{agent}': {moved.before or 'none'} -> {moved.after}")
        console.print(f"generation {moved.generation}, commit {moved.commit[:10]}")
        say(f"  back: cortex rollback {agent}")

    emit("promote", moved._asdict(), human, as_json=as_json)


def _check_verdict(reader: "Registry", experiment: str, variant: str) -> str:
    """Return the champion that *experiment* compared *variant* with; raise unless its verdict is to promote it."""
    found = reader.snapshot().experiment(experiment)
    verdict = found.verdict
    if verdict and (verdict.outcome != "promote" or verdict.challenger != variant):
        raise ConflictError(
            f"experiment '{experiment}' does not speak for '{variant}': its verdict is "
            f"'{verdict.outcome}' for '{verdict.challenger}': {verdict.reason}",
            hint=f"cortex promote {found.agent} {variant}   (without --experiment, on your own authority)",
            state="nothing was changed",
        )
    return found.champion

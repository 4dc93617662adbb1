"""Verbs whose capability is still to come: their help is here, running one says so and changes nothing."""
# ruff: noqa: ARG001  the parameters are the promise that help, man pages and completions show

from typing import Annotated

from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import AgentArgument, DryRunOption, JsonOption
from cortex_cli.domain.errors import NotBuiltError

__all__ = ["cycle", "prompt_optimize", "serve", "tui"]


def serve(
    host: Annotated[str, Option(metavar="H", help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, Option(metavar="P", min=0, max=65535, help="port to listen on")] = 8000,
    workers: Annotated[int, Option(metavar="N", min=1, help="number of worker processes")] = 1,
) -> None:
    """Answer through an OpenAI-compatible gateway, by the champion and its challengers."""
    raise NotBuiltError("serve")


def cycle(
    recipe: Annotated[str, Argument(metavar="RECIPE", help="name of a recipe")] = "cycle",
    deadline: Annotated[str, Option(metavar="T", help="stop at this time of day, such as 06:00")] = "",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run collect, curate, train, evaluate and the decision in one go, unattended.

    Made for cron: quiet when nothing is wrong, safe to run twice, one at a time.
    """
    raise NotBuiltError("cycle")


def tui() -> None:
    """Watch experiments, pressure and the audit trail live."""
    raise NotBuiltError("tui")


def prompt_optimize(
    agent: AgentArgument,
    dataset: Annotated[str, Option(metavar="NAME", help="dataset to optimise on")] = "",
    budget: Annotated[float, Option(metavar="USD", min=0.0, help="spend at most this much")] = 1.0,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search for a better prompt on curated examples, and register it as a challenger."""
    raise NotBuiltError("prompt optimize")

"""`cortex log`: the audit trail."""

from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import registry
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import JsonOption, LimitOption
from cortex_cli.cli.output import emit, print_lines, show_text, wants_plain

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.registry.history import Event

__all__ = ["log"]


def log(
    agent: Annotated[str, Argument(metavar="AGENT", help="only what concerns this agent")] = "",
    limit: LimitOption = None,
    everything: Annotated[bool, Option("--all", help="commits that were not made by Cortex too")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show who changed what, when, and on which evidence, newest first.

    The record is the history of the git repository: `git log` shows the same commits.
    """
    from cortex_cli.registry.history import read_log

    reader = registry()
    events = list(read_log(reader, agent, limit, scope="everything" if everything else "cortex"))
    if agent and not events:
        reader.snapshot().agent(agent)  # an unknown name is an error, an agent without history is not

    def human(console: "Console") -> None:
        print_lines(console, map(_fields if wants_plain() else _line, events))

    emit("log", {"events": events}, human, as_json=as_json)


def _fields(event: "Event") -> str:
    fields = (event.commit, event.time, event.actor, event.subject, event.evidence, event.fault)
    return "\t".join(map(show_text, fields))


def _line(event: "Event") -> str:
    notes = [event.actor or event.author]
    notes += [f"evidence {event.evidence[:19]}"] if event.evidence else []
    notes += [f"FAULT: {event.fault}"] if event.fault else []
    return show_text(f"{event.commit[:10]}  {event.time}  {event.subject}  ({', '.join(notes)})")

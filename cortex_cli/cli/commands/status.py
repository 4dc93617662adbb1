"""`cortex status`: agents, champions, experiments and data at a glance."""

from typing import TYPE_CHECKING

from cortex_cli.cli.context import registry
from cortex_cli.cli.options import JsonOption, WatchOption
from cortex_cli.cli.output import emit, print_table, show_text, wants_plain
from cortex_cli.domain.errors import NotBuiltError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.cli.overview import AgentView, DataView, LastCommit, Overview, VariantView

__all__ = ["status"]

_HEADERS = ("AGENT", "GENERATION", "CHAMPION", "MODEL", "ADAPTER", "CHALLENGERS", "EXPERIMENT", "EXAMPLES", "LAST")


def status(as_json: JsonOption = False, watch: WatchOption = False) -> None:
    """Show who answers for each agent, who challenges, and what there is to learn from.

    With --plain: one line per agent, tab-separated.
    """
    if watch:
        raise NotBuiltError("status --watch")
    from cortex_cli.cli.overview import read_overview

    found = read_overview(registry())
    emit("status", found, lambda console: _show(console, found), as_json=as_json)


def _show(console: "Console", found: "Overview") -> None:
    if wants_plain():
        print_table(console, _HEADERS, map(_cells, found.agents))
        return
    console.print(f"workspace {show_text(found.workspace)}")
    console.print(f"last commit {_last(found.last)}")
    for view in found.agents:
        console.print()
        console.print(f"{view.agent}, generation {view.generation}", style="bold")
        for word, text in _lines(view):
            console.print(f"  {word:<12}{show_text(text)}")
    if not found.agents:
        console.print("no agents yet")


def _lines(view: "AgentView") -> list[tuple[str, str]]:
    lines = [("for", view.summary)] if view.summary else []
    lines.append(("champion", _variant(view.champion) if view.champion else "none yet"))
    lines += [("challenger", f"{_variant(each)}, {each.share:.0%} of traffic") for each in view.challengers]
    if view.previous:
        lines.append(("previous", view.previous))
    if view.experiment:
        lines.append(("experiment", f"{view.experiment.id}, {view.experiment.mode}, {view.experiment.state}"))
    lines += [("examples", _examples(data)) for data in view.datasets]
    lines.append(("last", _last(view.last)))
    return lines


def _variant(variant: "VariantView") -> str:
    return f"{variant.id} ({' + '.join(filter(None, [variant.model, variant.adapter, variant.prompt]))})"


def _examples(data: "DataView") -> str:
    asked = ""
    if data.needed:
        asked = (
            f"; enough to train, {data.needed:,} needed"
            if data.examples >= data.needed
            else f" of {data.needed:,} needed to train"
        )
    return f"{data.examples:,} in {data.name}/{data.version}{asked}"


def _last(last: "LastCommit | None") -> str:
    return f"{last.commit[:10]} {last.time} {last.subject}" if last else "none"


def _cells(view: "AgentView") -> tuple[object, ...]:
    champion = view.champion
    return (
        view.agent,
        view.generation,
        champion.id if champion else "",
        champion.model if champion else "",
        champion.adapter if champion else "",
        ",".join(each.id for each in view.challengers),
        view.experiment.id if view.experiment else "",
        sum(data.examples for data in view.datasets),
        view.last.time if view.last else "",
    )

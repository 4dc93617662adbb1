"""`cortex status`: agents, champions, experiments and data at a glance."""

from typing import TYPE_CHECKING

from cortex_cli.cli.context import workspace
from cortex_cli.cli.options import JsonOption, WatchOption
from cortex_cli.cli.output import emit, print_table, show_text, wants_plain
from cortex_cli.domain.errors import NotBuiltError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.cli.overview import AgentView, DataView, LastCommit, Overview, VariantView
    from cortex_cli.pipeline.readiness import Readiness

__all__ = ["status"]

_HEADERS = ("AGENT", "GENERATION", "CHAMPION", "MODEL", "ADAPTER", "CHALLENGERS", "EXPERIMENT", "EXAMPLES", "LAST")


def status(as_json: JsonOption = False, watch: WatchOption = False) -> None:
    """Show who answers for each agent, who challenges, what there is to learn from and what learning would cost.

    With --plain: one line per agent, tab-separated.
    """
    if watch:
        raise NotBuiltError("status --watch")
    from cortex_cli.cli.overview import read_overview
    from cortex_cli.pipeline.place import open_place

    place = open_place(workspace())
    found = read_overview(place, today=place.now().date())
    emit("status", found, lambda console: _show(console, found), as_json=as_json)


def _show(console: "Console", found: "Overview") -> None:
    if wants_plain():
        print_table(console, _HEADERS, map(_cells, found.agents))
        return
    console.print(f"workspace {show_text(found.workspace)}")
    console.print(f"last commit {_last(found.last)}")
    if found.journal.agents:
        console.print(f"journal {_journal(found)}")
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
    lines += [line for each in view.readiness for line in _ready_lines(each)]
    lines.append(("last", _last(view.last)))
    return lines


def _ready_lines(ready: "Readiness") -> list[tuple[str, str]]:
    data, cost = ready.data_collection, ready.cost_estimate
    word = "ready" if data.ready else f"{data.progress_percent:g} % of the examples"
    trained = ready.fine_tuning.models_trained
    since = f"{data.new_since_training:,} interactions since the last of {trained:,} trainings" if trained else ""
    pace = f"{data.per_day:g} a day" if data.per_day is not None else ""
    day = f"enough by {data.ready_on}" if data.ready_on and not data.ready else ""
    told = ", ".join(filter(None, [word, since, pace, day]))
    lines = [("to train", f"{ready.recipe}: {told}")]
    if cost.example_count:
        price = f"{cost.estimated_tokens:,} tokens, ${cost.estimated_cost_usd:.2f} ({cost.basis})"
        lines.append(("would cost", price))
    return lines


def _variant(variant: "VariantView") -> str:
    revoked = "; its adapter is REVOKED, as it learned from what was forgotten" if variant.revoked else ""
    return f"{variant.id} ({' + '.join(filter(None, [variant.model, variant.adapter, variant.prompt]))}){revoked}"


def _examples(data: "DataView") -> str:
    asked = "" if data.state == "live" else f"; {data.state}, not to be trained on"
    if data.needed and data.state == "live":
        asked = (
            f"; enough to train, {data.needed:,} needed"
            if data.examples >= data.needed
            else f" of {data.needed:,} needed to train"
        )
    return f"{data.examples:,} in {data.name}/{data.version}{asked}"


def _journal(found: "Overview") -> str:
    held = [
        f"{show_text(agent)} {volume.interactions:,} at {volume.bytes_per_1000 / 1e6:.1f} MB per 1,000"
        for agent, volume in found.journal.agents.items()
    ]
    return f"{found.journal.bytes / 1e6:,.1f} MB: {', '.join(held)}"


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

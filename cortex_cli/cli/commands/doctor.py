"""`cortex doctor`: what decides whether Cortex works well here, and what holds the loop up."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cortex_cli.cli.context import environ, find_root, journal, registry, settings, workspace
from cortex_cli.cli.framework import leave
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_table, wants_plain
from cortex_cli.domain.errors import CortexError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.cli.overview import AgentView
    from cortex_cli.registry.doctor import Row

__all__ = ["doctor"]

_FAILED = 1


def doctor(as_json: JsonOption = False) -> None:
    """Check this machine, this workspace and its loop, and say what to do about each fault.

    Answers why nothing is collected, trained or promoted. Ends with 1 if a check fails.
    """
    rows = list(_all_rows())
    failed = any(row.state == "fail" for row in rows)

    def human(console: "Console") -> None:
        if wants_plain():
            print_table(console, ("CHECK", "STATE", "FOUND", "ADVICE"), rows)
            return
        print_table(console, ("CHECK", "STATE", "FOUND"), [row[:3] for row in rows])
        for row in rows:
            if row.advice:
                console.print(f"{row.check}: {row.advice}")

    emit("doctor", {"checks": [row._asdict() for row in rows]}, human, as_json=as_json, ok=not failed)
    if failed:
        leave(_FAILED)


def _all_rows() -> "Iterator[Row]":
    from cortex_cli.registry.doctor import Row, check_machine, check_workspace

    yield from check_machine(environ())
    if find_root() is None:
        yield Row("workspace", "warn", "none here", "cortex init")
        return
    rows = [_settings_row(), *check_workspace(workspace())]
    yield from rows
    if all(row.state != "fail" for row in rows):
        yield from _loop_rows()


def _settings_row() -> "Row":
    from cortex_cli.registry.doctor import Row

    try:
        settings()
    except CortexError as error:
        return Row("settings", "fail", " ".join(error.message.split()), "cortex config show")
    return Row("settings", "ok", str(workspace().config_path))


def _loop_rows() -> "Iterator[Row]":
    """Yield what holds the loop up: nothing collected, too little to train on, nothing to promote."""
    from cortex_cli.cli.overview import read_overview
    from cortex_cli.registry.doctor import Row

    place = workspace().journal_path
    counts: dict[str, int] = {}
    if place.exists():
        with journal() as records:
            counts = records.counts()
    found = sum(count for name, count in counts.items() if name != "feedback")
    yield Row("collected", "ok", f"{found:,} interactions, {counts.get('feedback', 0):,} feedback")
    for view in read_overview(registry()).agents:
        yield Row(f"agent {view.agent}", "ok", *_next_step(view, counts.get(view.agent, 0)))


def _next_step(view: "AgentView", interactions: int) -> tuple[str, str]:
    """Return how far the loop has come for an agent, and the command that takes it on."""
    short = next((data for data in view.datasets if data.examples < data.needed), None)
    if not interactions:
        return "nothing collected yet", f"cortex collect SOURCE --agent {view.agent}"
    if not view.datasets:
        return f"{interactions:,} interactions, no dataset version yet", "cortex curate"
    if short:
        return f"{short.examples:,} of {short.needed:,} examples needed to train", "cortex collect, then cortex curate"
    if view.experiment:
        return f"experiment {view.experiment.id} is {view.experiment.state}", "cortex ab status"
    if not view.champion:
        return "no champion yet", f"cortex promote {view.agent} VARIANT"
    return f"champion {view.champion.id}, generation {view.generation}", ""

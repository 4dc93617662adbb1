"""`cortex gc`: objects that nothing refers to go to the trash, and later for good."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import objects, registry
from cortex_cli.cli.framework import Option
from cortex_cli.cli.options import DryRunOption, JsonOption, WaitOption
from cortex_cli.cli.output import emit, say
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.registry.gc import GcPlan

__all__ = ["gc"]


def gc(
    dry_run: DryRunOption = False,
    undo: Annotated[bool, Option("--undo", help="take back what lies in the trash")] = False,
    grace: Annotated[int, Option("--grace", metavar="DAYS", min=0, help="leave what is younger than this")] = 14,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move objects that no manifest and no recent champion needs to the trash, and empty trash as old as --grace.

    What is in the trash comes back with --undo.
    """
    if undo and dry_run:
        raise UsageError("--undo and --dry-run exclude each other", hint="cortex gc --dry-run")
    if undo:
        _undo(wait, as_json=as_json)
        return
    from cortex_cli.registry.gc import collect_garbage, plan_gc

    act = plan_gc if dry_run else collect_garbage
    plan = act(registry(wait=wait), objects(), grace=timedelta(days=grace))
    data = {**plan._asdict(), "dry_run": dry_run}
    emit("gc", data, lambda console: _show(console, plan, "would go" if dry_run else "went"), as_json=as_json)


def _undo(wait: float | None, *, as_json: bool) -> None:
    from cortex_cli.registry.gc import undo_gc

    restored = undo_gc(registry(wait=wait), objects())

    def human(console: "Console") -> None:
        console.print(f"{len(restored)} objects came back from the trash")

    emit("gc", {"restored": restored}, human, as_json=as_json)


def _show(console: "Console", plan: "GcPlan", verb: str) -> None:
    console.print(f"{len(plan.unused)} objects of {plan.size:,} bytes {verb} to the trash")
    console.print(f"{len(plan.expired)} folders of old trash {verb} for good")
    console.print(f"{plan.kept} objects are needed, {plan.young} are too young to tell")
    if plan.unused and verb == "went":
        say("  back: cortex gc --undo")

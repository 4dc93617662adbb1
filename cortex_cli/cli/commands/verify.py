"""`cortex verify`: do the recorded verdicts still follow from their evidence?"""

from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import objects, registry
from cortex_cli.cli.framework import Argument, leave
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, show_text
from cortex_cli.domain.errors import IntegrityError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.release.verifying import Checked

__all__ = ["verify"]


def verify(
    experiment: Annotated[str, Argument(metavar="[EXPERIMENT]", help="id of an experiment; all without it")] = "",
    as_json: JsonOption = False,
) -> None:
    """Recompute recorded verdicts from their ledgers and compare them byte for byte.

    Ends with 13 when a ledger is missing or was edited, or gives another verdict than git has.
    """
    from cortex_cli.release.verifying import verify_all, verify_experiment

    snapshot, store = registry().snapshot(), objects()
    checked = [verify_experiment(snapshot, store, experiment)] if experiment else verify_all(snapshot, store)
    holds = all(each.holds for each in checked)
    data = {"checked": checked, "holds": holds}
    emit("verify", data, lambda console: _show(console, checked), as_json=as_json, ok=holds)
    if not holds:
        leave(IntegrityError.exit_code)


def _show(console: "Console", checked: "list[Checked]") -> None:
    for each in checked:
        outcome = f" ({each.outcome})" if each.outcome else ""
        console.print(f"{each.experiment}{outcome}: {each.state}", style="" if each.holds else "bold")
        console.print(f"  {show_text(each.detail)}")
    if not checked:
        console.print("no experiment has been recorded")
    elif not all(each.holds for each in checked):
        console.print("next: cortex fsck")

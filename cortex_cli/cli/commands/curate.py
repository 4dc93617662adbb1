"""`cortex curate`: a new dataset version from the journal."""

from typing import TYPE_CHECKING, Annotated, Any

from cortex_cli.cli.context import find_recipe, settings, workspace
from cortex_cli.cli.framework import Argument
from cortex_cli.cli.options import DryRunOption, JsonOption
from cortex_cli.cli.output import emit, print_table, say

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.pipeline.curating import Made

__all__ = ["curate"]


def curate(
    recipe: Annotated[str, Argument(metavar="RECIPE", help="recipe with a [curate] table")] = "dispatch",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset version of what was collected: judged, without duplicates, split.

    The same journal and recipe give the same version; then there is nothing to do.
    """
    from cortex_cli.pipeline.curating import curate_recipe
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.pipeline.recipes import load_recipe

    path = find_recipe(recipe)
    current = settings()
    place = open_place(workspace(), actor=current.actor, wait=current.lock_wait)
    made = curate_recipe(place, load_recipe(path), name=path.stem, record=not dry_run)
    emit("curate", _plain(made, dry_run=dry_run), lambda console: _show(console, made, path.stem), as_json=as_json)


def _plain(made: "Made", *, dry_run: bool) -> dict[str, Any]:
    return {
        "version": made.version,
        "commit": made.commit,
        "known": made.known,
        "dry_run": dry_run,
        "rejected_samples": made.rejected,
    }


def _show(console: "Console", made: "Made", recipe: str) -> None:
    version = made.version
    name = f"{version.name}/{version.version}"
    if made.known:
        console.print(f"nothing new: {name} already holds this journal under this recipe")
        return
    rows = [(part, content.rows) for part, content in version.parts.items()]
    console.print(
        f"{name}: {sum(count for _, count in rows)} examples from {version.counts.get('read', 0)} interactions"
    )
    print_table(console, ("PART", "EXAMPLES"), rows)
    print_table(console, ("FROM", "EXAMPLES"), sorted(version.origins.items()))
    if version.rejected:
        fewest_last = sorted(((count, reason) for reason, count in version.rejected.items()), reverse=True)
        print_table(console, ("INTERACTIONS", "NOT TAKEN"), fewest_last)
    if version.counts.get("replayed"):
        console.print(f"replayed: {version.counts['replayed']} verdicts were derived from reference answers")
    console.print(f"commit {made.commit[:10]}" if made.commit else "dry run: nothing was recorded")
    say(f"  next: cortex train {recipe}")

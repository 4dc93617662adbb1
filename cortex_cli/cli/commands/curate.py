"""`cortex curate`: a new dataset version from the journal."""

from typing import TYPE_CHECKING, Annotated, Any

from cortex_cli.cli.context import find_recipe, settings, workspace
from cortex_cli.cli.framework import Argument
from cortex_cli.cli.options import DryRunOption, JsonOption
from cortex_cli.cli.output import emit, print_table, say
from cortex_cli.cli.progress import Steps

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.domain.manifests import DatasetVersion
    from cortex_cli.pipeline.curating import Made
    from cortex_cli.pipeline.place import Place
    from cortex_cli.pipeline.recipes import Recipe
    from cortex_cli.store.settings import Settings

__all__ = ["curate"]

_DOING = {"read": "read {:,} interactions", "compare": "compare {:,} examples", "write": "write {:,} examples"}


def curate(
    recipe: Annotated[str, Argument(metavar="RECIPE", help="recipe with a [curate] table")] = "dispatch",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset version of what was collected: judged, without duplicates, split.

    What is older than the workspace keeps is forgotten first. The same journal and recipe give the same version;
    then there is nothing to do.
    """
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.pipeline.recipes import load_recipe

    path = find_recipe(recipe)
    current = settings()
    place = open_place(workspace(), actor=current.actor, wait=current.lock_wait)
    loaded = load_recipe(path)
    forgotten = 0 if dry_run else _apply_retention(place, current)
    made = _curate(place, loaded, path.stem, current, record=not dry_run)
    plain = _plain(made, dry_run=dry_run, forgotten=forgotten)
    emit("curate", plain, lambda console: _show(console, made, path.stem), as_json=as_json)


def _apply_retention(place: "Place", current: "Settings") -> int:
    from cortex_cli.pipeline.forgetting import apply_retention

    forgotten = apply_retention(place, current, wait=current.lock_wait).interactions
    if forgotten:
        say(f"forgotten: {forgotten:,} interactions that were older than this workspace keeps")
    return forgotten


def _curate(place: "Place", recipe: "Recipe", name: str, current: "Settings", *, record: bool) -> "Made":
    from cortex_cli.pipeline.curating import Means, curate_recipe

    steps = Steps()

    def told(what: str, count: int) -> None:
        steps.update(_DOING[what].format(count))

    means = Means(current.redaction, current.threads, current.lock_wait, told)
    with steps.step(f"curate {name}"):
        return curate_recipe(place, recipe, name=name, record=record, means=means)


def _plain(made: "Made", *, dry_run: bool, forgotten: int) -> dict[str, Any]:
    return {
        "version": made.version,
        "commit": made.commit,
        "known": made.known,
        "dry_run": dry_run,
        "forgotten": forgotten,
        "layers": dict(_layers(made.version)),
        "rejected_samples": made.rejected,
    }


def _show(console: "Console", made: "Made", recipe: str) -> None:
    version = made.version
    name = f"{version.name}/{version.version}"
    if made.known:
        console.print(f"nothing new: {name} already holds this journal under this recipe")
        return
    console.print(f"{name}: {version.counts['examples']} examples from {version.counts['read']} interactions")
    print_table(console, ("LAYER", "INTERACTIONS"), _layers(version))
    print_table(console, ("PART", "EXAMPLES"), [(part, content.rows) for part, content in version.parts.items()])
    print_table(console, ("FROM", "EXAMPLES"), sorted(version.origins.items()))
    if version.rejected:
        fewest_last = sorted(((count, reason) for reason, count in version.rejected.items()), reverse=True)
        print_table(console, ("INTERACTIONS", "NOT TAKEN"), fewest_last)
    for line in _remarks(version):
        console.print(line)
    console.print(f"commit {made.commit[:10]}" if made.commit else "dry run: nothing was recorded")
    say(f"  next: cortex train {recipe}")


def _layers(version: "DatasetVersion") -> list[tuple[str, int]]:
    """Return how many interactions were read, were sound examples of something, and are in the dataset."""
    counts = version.counts
    # Versions of before the layers were counted have no `valid`.
    layers = [("bronze: read", "read"), ("silver: valid", "valid"), ("gold: kept", "examples")]
    return [(label, counts[name]) for label, name in layers if name in counts]


def _remarks(version: "DatasetVersion") -> list[str]:
    lines: list[str] = []
    if version.counts.get("pairs"):
        beside = version.counts.get("pair_rows", 0)
        rows = f", {beside:,} of them as rows of their own" if beside else ""
        lines.append(f"pairs: {version.counts['pairs']:,} with a wrong answer beside the right one{rows}")
    if version.counts.get("replayed"):
        lines.append(f"replayed: {version.counts['replayed']} verdicts were derived from reference answers")
    return [*lines, *(f"contaminated: {count:,} are asked by {name}" for name, count in version.contaminated.items())]

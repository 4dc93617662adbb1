"""`cortex train`: an adapter from a dataset version, a base from texts, or the tagger that finds names."""

from typing import TYPE_CHECKING, Annotated, Any

from cortex_cli.cli.context import find_recipe, settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import DryRunOption, JsonOption
from cortex_cli.cli.output import emit, print_table, say
from cortex_cli.cli.progress import Steps, tell_progress
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.pipeline.basing import BuiltBase
    from cortex_cli.pipeline.place import Place
    from cortex_cli.pipeline.plan import Step
    from cortex_cli.pipeline.recipes import Recipe
    from cortex_cli.pipeline.tagging import BuiltTagger

__all__ = ["train"]


def train(
    recipe: Annotated[str, Argument(metavar="RECIPE", help="recipe with a [train], [pretrain] or [tagger] table")],
    dry_run: DryRunOption = False,
    resume: Annotated[bool, Option("--resume/--fresh", help="go on from the last checkpoint, or start anew")] = True,
    as_json: JsonOption = False,
) -> None:
    """Train what a recipe describes, register it and commit it; done already means nothing to do.

    An adapter that passes the recipe's gates becomes a challenger variant of its agent, under the champion's prompt.
    A killed run goes on from its last checkpoint when the command is given again. With --dry-run: what it would
    need of memory, time, disk and money, measured by a few steps, and what to change when that does not fit.
    """
    from cortex_cli.cli.commands.train_adapter import train_adapter
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.pipeline.recipes import load_recipe

    path = find_recipe(recipe)
    loaded = load_recipe(path)
    current = settings()
    place = open_place(workspace(), actor=current.actor, wait=current.lock_wait)
    tables = ((loaded.train, train_adapter), (loaded.pretrain, _train_base), (loaded.tagger, _train_tagger))
    work = next((work for table, work in tables if table is not None), None)
    if work is None:
        raise UsageError(
            f"recipe '{path.stem}' has no [train], [pretrain] or [tagger] table",
            hint=f"cortex recipe show {path.stem}",
            state="nothing was trained",
        )
    work(place, loaded, path.stem, dry_run=dry_run, fresh=not resume, as_json=as_json)


def _train_base(place: "Place", recipe: "Recipe", name: str, *, dry_run: bool, fresh: bool, as_json: bool) -> None:
    from cortex_cli.pipeline.basing import build_base, plan_recipe_base

    if dry_run:
        _emit_plan(plan_recipe_base(place, recipe), as_json=as_json)
        return
    steps = Steps()
    with steps.step(f"train {name}"):
        built = build_base(place, recipe, name=name, fresh=fresh, watch=lambda progress: tell_progress(steps, progress))
    data = {"model": built.model, "folder": built.folder, "figures": built.figures, "commit": built.commit}
    emit("train", data, lambda console: _show_base(console, built), as_json=as_json)


def _train_tagger(place: "Place", recipe: "Recipe", name: str, *, dry_run: bool, fresh: bool, as_json: bool) -> None:
    from cortex_cli.pipeline.tagging import build_tagger, plan_tagger

    if dry_run:
        _emit_plan(plan_tagger(place, recipe), as_json=as_json)
        return
    del fresh  # it keeps no checkpoints: every run starts anew
    steps = Steps()
    with steps.step(f"train {name}"):
        built = build_tagger(
            place,
            recipe,
            name=name,
            watch=lambda told: steps.update(f"epoch {told.epoch} of {told.epochs}  loss {told.loss:.3f}"),
        )
    data = {"tagger": built.name, "folder": built.folder, "digest": built.digest, "figures": built.figures}
    emit("train", data, lambda console: _show_tagger(console, built), as_json=as_json)


def _emit_plan(step: "Step", *, as_json: bool) -> None:
    def human(console: "Console") -> None:
        console.print(f"{step.stage}({step.target}): " + (f"done already, {step.done}" if step.done else "to do"))
        rows: list[tuple[str, Any]] = [
            *step.inputs.items(),
            *((key, f"{value:g}") for key, value in step.estimate.items()),
        ]
        print_table(console, ("INPUT", "VALUE"), rows)

    emit("train", {"plan": step}, human, as_json=as_json)


def _show_base(console: "Console", built: "BuiltBase") -> None:
    console.print(f"model {built.model.name} in {built.folder}")
    print_table(console, ("FIGURE", "VALUE"), sorted(built.figures.items()))
    say("  next: name it as base in a recipe's [train] table")


def _show_tagger(console: "Console", built: "BuiltTagger") -> None:
    console.print(f"tagger {built.name} in {built.folder}")
    print_table(console, ("FIGURE", "VALUE"), sorted(built.figures.items()))
    say("  redaction goes on with the shipped weights")

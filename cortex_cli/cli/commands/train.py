"""`cortex train`: an adapter from a dataset version, a base from texts, or the tagger that finds names."""

from typing import TYPE_CHECKING, Annotated, Any

from cortex_cli.cli.context import find_recipe, settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import DryRunOption, JsonOption
from cortex_cli.cli.output import emit, print_table, say
from cortex_cli.cli.progress import Steps
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.domain.manifests import Variant
    from cortex_cli.pipeline.basing import BuiltBase
    from cortex_cli.pipeline.place import Place
    from cortex_cli.pipeline.plan import Step
    from cortex_cli.pipeline.recipes import Recipe
    from cortex_cli.pipeline.tagging import BuiltTagger
    from cortex_cli.pipeline.training import Trained
    from cortex_cli.train.loop import Progress

__all__ = ["train"]


def train(
    recipe: Annotated[str, Argument(metavar="RECIPE", help="recipe with a [train], [pretrain] or [tagger] table")],
    dry_run: DryRunOption = False,
    resume: Annotated[bool, Option("--resume/--fresh", help="go on from the last checkpoint, or start anew")] = True,
    as_json: JsonOption = False,
) -> None:
    """Train what a recipe describes, register it and commit it; done already means nothing to do.

    An adapter becomes a challenger variant of its agent, under the champion's prompt.
    A killed run goes on from its last checkpoint when the command is given again.
    """
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.pipeline.recipes import load_recipe

    path = find_recipe(recipe)
    loaded = load_recipe(path)
    current = settings()
    place = open_place(workspace(), actor=current.actor, wait=current.lock_wait)
    tables = ((loaded.train, _train_adapter), (loaded.pretrain, _train_base), (loaded.tagger, _train_tagger))
    work = next((work for table, work in tables if table is not None), None)
    if work is None:
        raise UsageError(
            f"recipe '{path.stem}' has no [train], [pretrain] or [tagger] table",
            hint=f"cortex recipe show {path.stem}",
            state="nothing was trained",
        )
    work(place, loaded, path.stem, dry_run=dry_run, fresh=not resume, as_json=as_json)


def _train_adapter(place: "Place", recipe: "Recipe", name: str, *, dry_run: bool, fresh: bool, as_json: bool) -> None:
    from cortex_cli.pipeline.training import plan_recipe, register_challenger, train_recipe

    if dry_run:
        _emit_plan(plan_recipe(place.registry.snapshot(), recipe, name=name).step, as_json=as_json)
        return
    steps = Steps()
    with steps.step(f"train {name}"):
        trained = train_recipe(place, recipe, name=name, fresh=fresh, watch=lambda progress: _tell(steps, progress))
    variant = register_challenger(place, trained.adapter.agent, trained.adapter)
    data = {"adapter": trained.adapter, "variant": variant.id, "commit": trained.commit, "skipped": trained.skipped}
    emit("train", data, lambda console: _show_adapter(console, trained, variant), as_json=as_json)


def _train_base(place: "Place", recipe: "Recipe", name: str, *, dry_run: bool, fresh: bool, as_json: bool) -> None:
    from cortex_cli.pipeline.basing import build_base, plan_recipe_base

    if dry_run:
        _emit_plan(plan_recipe_base(place, recipe), as_json=as_json)
        return
    steps = Steps()
    with steps.step(f"train {name}"):
        built = build_base(place, recipe, name=name, fresh=fresh, watch=lambda progress: _tell(steps, progress))
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


def _tell(steps: Steps, progress: "Progress") -> None:
    rate = progress.tokens / progress.seconds if progress.seconds else 0.0
    left = progress.seconds / progress.step * (progress.steps - progress.step)
    steps.update(
        f"step {progress.step} of {progress.steps}  loss {progress.loss:.3f}  {rate:,.0f} tokens/s  {left:.0f} s to go"
    )


def _emit_plan(step: "Step", *, as_json: bool) -> None:
    def human(console: "Console") -> None:
        console.print(f"{step.stage}({step.target}): " + (f"done already, {step.done}" if step.done else "to do"))
        rows: list[tuple[str, Any]] = [
            *step.inputs.items(),
            *((key, f"{value:g}") for key, value in step.estimate.items()),
        ]
        print_table(console, ("INPUT", "VALUE"), rows)

    emit("train", {"plan": step}, human, as_json=as_json)


def _show_adapter(console: "Console", trained: "Trained", variant: "Variant") -> None:
    adapter = trained.adapter
    if trained.skipped:
        console.print(f"nothing to do: {adapter.id} was trained from this dataset, base and recipe")
    else:
        console.print(f"adapter {adapter.id}: {adapter.examples} examples of {adapter.dataset}, {adapter.steps} steps")
        console.print(f"loss {adapter.final_loss:.3f}, {adapter.tokens:,} tokens in {adapter.seconds:.0f} s")
        if trained.too_long:
            console.print(f"left out: {trained.too_long} examples longer than the window")
    console.print(f"variant {variant.id}")
    say(f"  next: cortex evaluate {variant.id} --suite {adapter.dataset.partition('/')[0]}:test")


def _show_base(console: "Console", built: "BuiltBase") -> None:
    console.print(f"model {built.model.name} in {built.folder}")
    print_table(console, ("FIGURE", "VALUE"), sorted(built.figures.items()))
    say("  next: name it as base in a recipe's [train] table")


def _show_tagger(console: "Console", built: "BuiltTagger") -> None:
    console.print(f"tagger {built.name} in {built.folder}")
    print_table(console, ("FIGURE", "VALUE"), sorted(built.figures.items()))
    say("  redaction goes on with the shipped weights")

"""The pretraining stage: text packs and a recipe in; a base model, its card, its manifest and one commit out."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cortex_cli.domain.digests import hex_of
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Model
from cortex_cli.models.bases import digest_folder, prepare_torch, require_train_extra
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.plan import Step, plan_base
from cortex_cli.pipeline.recipes import Recipe
from cortex_cli.registry.actions import add_model
from cortex_cli.store.locks import hold
from cortex_cli.train.spec import PretrainSpec

if TYPE_CHECKING:
    from cortex_cli.train.loop import Watch
    from cortex_cli.train.pretrain import Base

__all__ = ["BuiltBase", "build_base", "plan_recipe_base", "render_card"]

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class BuiltBase:
    """What the stage left: the model's manifest, its folder, the figures on its card, the commit."""

    model: Model
    folder: Path
    figures: Figures
    commit: str


def plan_recipe_base(place: Place, recipe: Recipe) -> Step:
    """Plan the `[pretrain]` table of *recipe*: which texts, by digest, would be read."""
    spec = _table(recipe)
    return plan_base(spec, {text.pack: _digest_pack(place, text.pack) for text in spec.texts})


def build_base(
    place: Place, recipe: Recipe, *, name: str, fresh: bool = False, watch: "Watch" = lambda _progress: None
) -> BuiltBase:
    """Train the base that *recipe*, called *name*, describes; keep it in the workspace and commit its manifest.

    A killed run goes on from its checkpoint. A model of the same name with other weights is left
    alone: the new one is registered under the name and the first digits of its digest.
    """
    require_train_extra("training a base")
    prepare_torch()
    from cortex_cli.train.pretrain import fit_base

    spec, step = _table(recipe), plan_recipe_base(place, recipe)
    run = place.workspace.runs_root / step.run()
    with hold(place.workspace.locks_root / "train.lock", purpose=f"train {name}", wait=0.0):
        if fresh:
            shutil.rmtree(run, ignore_errors=True)
        base = fit_base(spec, place.starter / "datasets" / "texts", run, watch=watch)
        model = _manifest(place, spec, base)
        folder = place.workspace.root / model.source
        shutil.copytree(base.folder, folder, dirs_exist_ok=True)
        card = render_card(spec, base, name)
        (folder / "README.md").write_text(card, encoding="utf-8")
        commit = add_model(place.registry, model)
    return BuiltBase(model, folder, base.figures(), commit)


def render_card(spec: PretrainSpec, base: "Base", recipe: str) -> str:
    """Render the model card of a base made by *recipe*: what it is, what it was trained on, what was measured, what it is not."""
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:,} |" for name, value in base.figures().items())
    texts = "\n".join(f"- `{text.pack}` read as {text.reader}, share {text.share:g}" for text in spec.texts)
    shape = spec.shape
    return (
        f"# {spec.name}\n\n"
        f"A Llama of {base.parameters:,} parameters ({shape.layers} layers, {shape.hidden} wide, "
        f"{shape.vocabulary} tokens of byte-level BPE), trained from scratch by `recipes/{recipe}.toml`.\n"
        "It is a base for adapters and for trying things out. It is tiny: it holds no conversation, "
        "knows no facts and writes no command that should be run unread.\n\n"
        f"## Texts\n\n{texts}\n\nLabels of `clinc150` and `banking77` were not read. "
        "Licences and sources stand beside each pack in `datasets/texts/`.\n\n"
        f"## Figures of this build\n\n| figure | value |\n|---|---|\n{rows}\n"
    )


def _table(recipe: Recipe) -> PretrainSpec:
    if recipe.pretrain is None:
        raise UsageError("this recipe has no [pretrain] table", hint="cortex recipe ls", state="nothing was trained")
    return recipe.pretrain


def _digest_pack(place: Place, pack: str) -> str:
    import hashlib

    path = place.starter / "datasets" / "texts" / f"{pack}.jsonl.gz"
    if not path.is_file():
        raise UsageError(f"text pack '{pack}' does not ship with Cortex", state="nothing was trained")
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(place: Place, spec: PretrainSpec, base: "Base") -> Model:
    digest = digest_folder(base.folder)
    known = {model.name: model for model in place.registry.snapshot().models()}
    taken = spec.name in known and known[spec.name].digest != digest
    name = f"{spec.name}-{hex_of(digest)[:12]}" if taken else spec.name
    return Model(
        name=name,
        kind="local",
        source=f".cortex/models/{name}",
        digest=digest,
        licence="see datasets/texts",
        parameters=base.parameters,
        context=spec.shape.context,
        summary=f"trained from scratch by the recipe of {spec.name}",
    )

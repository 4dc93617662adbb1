"""The tagger stage: marked texts, templates and clean texts in; the weights that find names, and their card, out."""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

from cortex_cli.collect.patterns import RuleBook
from cortex_cli.collect.personal import PERSONAL
from cortex_cli.collect.secrets import SECRETS
from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.models.bases import prepare_torch, require_train_extra
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.plan import Step
from cortex_cli.pipeline.recipes import Recipe, stage_digest
from cortex_cli.store.atomic import write_atomic
from cortex_cli.store.locks import hold
from cortex_cli.train.spec import TaggerSpec

if TYPE_CHECKING:
    from cortex_cli.train.tagger import Told

__all__ = ["BuiltTagger", "build_tagger", "plan_tagger", "render_tagger_card"]

_WEIGHTS = "model.safetensors"
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class BuiltTagger:
    """What the stage left: the folder with weights, card and manifest, their digest, and the figures on the card."""

    name: str
    folder: Path
    digest: str
    figures: Figures


def plan_tagger(place: Place, recipe: Recipe) -> Step:
    """Plan the `[tagger]` table of *recipe*: which texts, by digest, would be read."""
    spec = _table(recipe)
    files = {f"text {path.relative_to(_packs(place))}": _digest(path) for path in _find_texts(place, spec)}
    inputs = {"recipe": stage_digest(spec), **dict(sorted(files.items()))}
    return Step(stage="tagger", target=spec.name, digest=digest_value(sorted(inputs.items())), inputs=inputs)


def build_tagger(
    place: Place, recipe: Recipe, *, name: str, watch: Callable[["Told"], None] = lambda _: None
) -> BuiltTagger:
    """Train the tagger that *recipe*, called *name*, describes, and keep it in the workspace under `.cortex/models`.

    Nothing is committed and redaction goes on with the shipped weights. A run takes minutes and starts anew
    after a kill; a folder is replaced only when it is done.
    """
    require_train_extra("training the tagger")
    prepare_torch()
    from cortex_cli.train.corpus import make_texts, read_corpus
    from cortex_cli.train.tagger import fit_tagger, write_tagger

    spec, step = _table(recipe), plan_tagger(place, recipe)
    folder = place.workspace.private / "models" / spec.name
    with hold(place.workspace.locks_root / "train.lock", purpose=f"train {name}", wait=0.0):
        begun = time.monotonic()
        corpus = read_corpus(spec, _packs(place))
        texts = make_texts(corpus, spec, RuleBook(SECRETS + PERSONAL).find)
        fitted = fit_tagger(texts, corpus.plain, spec, told=watch)
        folder.mkdir(parents=True, exist_ok=True)
        write_tagger(folder / _WEIGHTS, fitted, spec.limits)
        size, seconds = (folder / _WEIGHTS).stat().st_size, time.monotonic() - begun
        words = len(fitted.vocabulary.words)
        figures = {"texts": len(texts), "words": words, "bytes": size, "loss": fitted.loss, "seconds": seconds}
        rounded = {figure: round(value, 4) for figure, value in figures.items()}
        built = BuiltTagger(spec.name, folder, _digest(folder / _WEIGHTS), rounded)
        write_atomic(folder / "README.md", render_tagger_card(spec, built, name).encode())
        write_atomic(folder / "manifest.toml", tomli_w.dumps(_manifest(built, step, name)).encode())
    return built


def render_tagger_card(spec: TaggerSpec, built: BuiltTagger, recipe: str) -> str:
    """Render the card of a tagger made by *recipe*: what it is, what it was trained on, what it is not."""
    rows = "\n".join(f"| {figure} | {value:,} |" for figure, value in built.figures.items())
    packs = "\n".join(
        f"- `{pack}`, marked texts, each with {spec.swaps} copies of other values" for pack in spec.marked
    )
    return (
        f"# {spec.name}\n\n"
        "Finds names of people, places and organisations, addresses, dates, ages and the like in short English texts, "
        "so that redaction can mask them. A table of words and affixes and two small layers over nine words, read by "
        f"numpy. Made by `recipes/{recipe}.toml`.\n\n"
        f"## Texts\n\n{packs}\n- `{spec.templates}`, templates, {spec.fillings} fillings each\n"
        "- clean texts of `banking77`, `clinc150`, `nl2bash`, `tldr` and `gsm8k`: what is not to be masked; "
        "labels were not read\n\n"
        "All names in them are made up. Licences and sources stand beside each pack in `datasets/texts/`.\n\n"
        f"## Figures of this build\n\n| figure | value |\n|---|---|\n{rows}\n\n"
        "## Limits\n\nIt misses names, and what it finds is no proof. `docs/privacy.md` has the measured figures by kind, "
        "with examples of what is missed. It was made for English text with spaces between the words.\n"
    )


def _manifest(built: BuiltTagger, step: Step, recipe: str) -> dict[str, str]:
    return {"name": built.name, "digest": built.digest, "recipe": recipe, "step": step.digest, "licence": "Apache-2.0"}


def _table(recipe: Recipe) -> TaggerSpec:
    if recipe.tagger is None:
        raise UsageError("this recipe has no [tagger] table", hint="cortex recipe ls", state="nothing was trained")
    return recipe.tagger


def _packs(place: Place) -> Path:
    return place.starter / "datasets" / "texts"


def _find_texts(place: Place, spec: TaggerSpec) -> Iterator[Path]:
    from cortex_cli.train.corpus import CLEAN

    packs = _packs(place)
    yield from (packs / f"{pack}.jsonl.gz" for pack in (*spec.marked, *CLEAN))
    yield from (packs / spec.templates / file for file in ("clean.txt", "templates.txt", "values.toml"))


def _digest(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"'{path.name}' of '{path.parent}' does not ship with Cortex", state="nothing was trained")
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

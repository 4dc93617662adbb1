"""Is there enough to train on: examples against what recipes ask for, what has come since, and what it would cost."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.manifests import Adapter, DatasetVersion, Model
from cortex_cli.registry.snapshot import ADAPTERS, DATASETS, MODELS, Snapshot
from cortex_cli.store.journal import Journal
from cortex_cli.store.objects import ObjectStore
from cortex_cli.train.spec import TrainSpec

__all__ = ["CostEstimate", "DataCollection", "FineTuning", "Ground", "Pace", "Readiness", "read_pace", "read_readiness"]

# Parts are sorted by the digest of their examples, so the first ones are a random sample.
_SAMPLE = 200
# Letters per token of English under common tokenizers; other languages and code take more tokens.
_LETTERS = 4
# The preset of the first Cortex projects: tokens per example, US dollars per thousand tokens.
_PRESET_TOKENS, _PRESET_PRICE = 500, 0.001
_FEWEST_DAYS = 3


class DataCollection(msgspec.Struct, frozen=True, kw_only=True):
    """Examples of the newest version against the *min_required* of the recipe.

    *new_since_training* counts interactions that came after what the last training learned from. *per_day* are
    interactions by arrival, and *ready_on* the day on which there are enough at that rate; None and '' when that
    is not known.
    """

    training_examples: int
    min_required: int
    ready: bool
    progress_percent: float
    new_since_training: int
    per_day: float | None = None
    ready_on: str = ""


class FineTuning(msgspec.Struct, frozen=True, kw_only=True):
    """What has been trained for an agent so far."""

    has_triggered: bool
    models_trained: int


class CostEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What one training would read and cost in US dollars, epochs counted; *basis* says how that was estimated."""

    example_count: int
    epochs: float
    estimated_tokens: int
    estimated_cost_usd: float
    basis: str


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """How far the data of *agent* is for *recipe*; *dataset* is '' before there is a version, *state* its state."""

    agent: str
    recipe: str
    dataset: str
    state: str
    data_collection: DataCollection
    fine_tuning: FineTuning
    cost_estimate: CostEstimate


class Pace(NamedTuple):
    """How fast interactions arrive: *per_day* over *days* days, None when too few days are known."""

    per_day: float | None
    days: int


class Ground(NamedTuple):
    """What readiness is read from; *trained* names the newest adapter of each agent."""

    snapshot: Snapshot
    journal: Journal
    objects: ObjectStore
    trained: Mapping[str, str]
    today: date


def read_readiness(ground: Ground, recipes: Path) -> list[Readiness]:
    """Return how ready each agent is for each recipe in the folder *recipes* that trains it; broken recipes ask nothing.

    Nothing is counted row by row: the journal keeps counters, and of a version a sample is read.
    """
    found = [_read_one(ground, path.stem, spec) for path, spec in _read_specs(recipes)]
    return sorted(found, key=lambda each: (each.agent, each.recipe))


def read_pace(journal: Journal, agent: str, today: date) -> Pace:
    """Return at which pace interactions of *agent* have arrived, over the newest thirty days with arrivals.

    Arrivals on fewer than three days tell no pace: one import of an old log is not a rate.
    """
    days = [(date.fromisoformat(day), count) for day, count in journal.days(agent) if count]
    if len(days) < _FEWEST_DAYS:
        return Pace(None, len(days))
    span = (max(today, days[-1][0]) - days[0][0]).days + 1
    return Pace(round(sum(count for _, count in days) / span, 2), span)


def _read_specs(folder: Path) -> Iterator[tuple[Path, TrainSpec]]:
    for path in sorted(folder.glob("*.toml")):
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8")).get("train")
            yield path, msgspec.convert(table, TrainSpec)
        except (msgspec.ValidationError, ValueError, OSError):
            continue


def _read_one(ground: Ground, recipe: str, spec: TrainSpec) -> Readiness:
    version = _find_version(ground.snapshot, spec.dataset)
    adapter = _find_adapter(ground.snapshot, ground.trained.get(spec.agent, ""))
    part = version.parts.get("train") if version and version.state == "live" else None
    return Readiness(
        agent=spec.agent,
        recipe=recipe,
        dataset=f"{version.name}/{version.version}" if version else "",
        state=version.state if version else "",
        data_collection=_collected(ground, spec, version, adapter),
        fine_tuning=FineTuning(
            has_triggered=adapter is not None, models_trained=_count_adapters(ground.snapshot, spec.agent)
        ),
        cost_estimate=_estimate(ground, spec, version if part else None, adapter),
    )


def _collected(
    ground: Ground, spec: TrainSpec, version: DatasetVersion | None, adapter: Adapter | None
) -> DataCollection:
    examples = _count_examples(version)
    needed = max(1, spec.min_examples)
    learned = _find_version(ground.snapshot, adapter.dataset) if adapter else None
    new = ground.journal.count_after(spec.agent, learned.journal[1] if learned else 0)
    pace = read_pace(ground.journal, spec.agent, ground.today)
    return DataCollection(
        training_examples=examples,
        min_required=spec.min_examples,
        ready=examples >= spec.min_examples,
        progress_percent=round(min(100.0, 100.0 * examples / needed), 1),
        new_since_training=new,
        per_day=pace.per_day,
        ready_on=_ready_on(ground, spec, version, pace),
    )


def _ready_on(ground: Ground, spec: TrainSpec, version: DatasetVersion | None, pace: Pace) -> str:
    """Return the day on which there are enough examples if as many come, and as many of them survive, as so far."""
    missing = spec.min_examples - _count_examples(version)
    if missing <= 0:
        return ground.today.isoformat()
    read = version.counts.get("read", 0) if version else 0
    if not pace.per_day or not read or not _count_examples(version):
        return ""
    days = missing / (pace.per_day * _count_examples(version) / read)
    # Beyond a century a date says nothing, and would leave the calendar.
    return (ground.today + timedelta(days=math.ceil(days))).isoformat() if days < 36500 else ""


def _estimate(ground: Ground, spec: TrainSpec, version: DatasetVersion | None, adapter: Adapter | None) -> CostEstimate:
    examples, epochs = _count_examples(version), spec.loop.epochs
    per_example, tokens_basis = _tokens_per_example(ground, spec, version, adapter)
    tokens = round(examples * per_example * epochs)
    price, price_basis = _price(_find_model(ground.snapshot, spec.base))
    return CostEstimate(
        example_count=examples,
        epochs=epochs,
        estimated_tokens=tokens,
        estimated_cost_usd=round(tokens * price, 4),
        basis=f"{tokens_basis}, x {epochs:g} epochs; {price_basis}",
    )


def _tokens_per_example(
    ground: Ground, spec: TrainSpec, version: DatasetVersion | None, adapter: Adapter | None
) -> tuple[float, str]:
    if adapter and adapter.tokens and adapter.examples and adapter.recipe_digest == digest_value(_plain(spec)):
        counted = adapter.tokens / (adapter.examples * spec.loop.epochs)
        return counted, f"tokens counted by the training of {adapter.id}"
    lengths = _read_lengths(ground.objects, version) if version else []
    if lengths:
        mean = sum(lengths) / len(lengths) / _LETTERS
        return mean, f"estimated from the text of {len(lengths):,} examples, {_LETTERS} letters per token"
    return _PRESET_TOKENS, f"preset of {_PRESET_TOKENS} tokens per example"


def _plain(spec: TrainSpec) -> object:
    return msgspec.to_builtins(spec)


def _price(model: Model | None) -> tuple[float, str]:
    """Return US dollars per token of training on *model*, and in words where that comes from."""
    if model is not None and model.kind != "api":
        return 0.0, "local: no API cost"
    if model is not None and model.prices.input:
        return model.prices.input / 1e6, f"${model.prices.input:g} per million tokens of '{model.name}'"
    return _PRESET_PRICE / 1000, f"preset of ${_PRESET_PRICE:g} per thousand tokens"


class _Text(msgspec.Struct):
    content: str = ""


class _Lengths(msgspec.Struct):
    """Of an example only what is read in training."""

    messages: tuple[_Text, ...] = ()
    answer: str = ""


def _read_lengths(store: ObjectStore, version: DatasetVersion) -> list[int]:
    part = version.parts["train"]
    if not store.has(part.digest, part.size):
        return []
    lines = islice(store.open_lines(part.digest), _SAMPLE)
    examples = [msgspec.json.decode(line, type=_Lengths) for line in lines]
    return [len(each.answer) + sum(len(message.content) for message in each.messages) for each in examples]


def _count_examples(version: DatasetVersion | None) -> int:
    usable = version is not None and version.state == "live" and "train" in version.parts
    return version.parts["train"].rows if version is not None and usable else 0


def _count_adapters(snapshot: Snapshot, agent: str) -> int:
    # An adapter's id is the name of its agent and a digest; reading a thousand manifests would take too long.
    return sum(name.rpartition("-")[0] == agent for name in snapshot.names(ADAPTERS))


def _find_version(snapshot: Snapshot, name: str) -> DatasetVersion | None:
    stem, _, version = name.partition("/")
    if stem not in snapshot.entries(DATASETS) or not (known := [each for _, each in snapshot.versions(stem)]):
        return None
    return snapshot.dataset(stem, version) if version in ("", *known) else None


def _find_adapter(snapshot: Snapshot, name: str) -> Adapter | None:
    return snapshot.adapter(name) if f"{name}.toml" in snapshot.entries(ADAPTERS.folder) else None


def _find_model(snapshot: Snapshot, name: str) -> Model | None:
    return snapshot.model(name) if f"{name}.toml" in snapshot.entries(MODELS.folder) else None

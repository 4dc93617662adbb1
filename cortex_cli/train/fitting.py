"""Fitting: examples and a base in, an adapter out, whatever the objective."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.lora import attach, load_into, save_adapter
from cortex_cli.train.crew import ALONE, Crew
from cortex_cli.train.loop import Prepared, Result, Watch, run_loop
from cortex_cli.train.spec import TrainSpec

__all__ = ["Fitted", "check_enough", "fit_adapter", "fit_prepared", "prepare_adapter"]

Prepare = Callable[[Sequence[Example], ChatTokenizer, Any, TrainSpec], Prepared]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained adapter: its folder in peft's format, what the run did, what it learned from and what was left out."""

    folder: Path
    result: Result
    examples: int
    counts: dict[str, int]
    figures: dict[str, float] = field(default_factory=dict)  # what the objective measured of itself at the end

    @property
    def too_long(self) -> int:
        """Return how many examples did not fit into the window."""
        return self.counts.get("too_long", 0)


def fit_adapter(
    examples: Sequence[Example], base: Path, spec: TrainSpec, run: Path, *, watch: Watch, start: Path | None = None
) -> Fitted:
    """Train an adapter over the model in *base* by the objective of *spec*; go on if *run* has a checkpoint of the same plan.

    It begins at the adapter in *start*, if given. The new one is in `run/adapter`, written only when training ended.
    Raises `UsageError` when there are fewer examples than `min_examples`, or most of them cannot be used.
    """
    check_enough(examples, spec)
    return fit_prepared(prepare_adapter(examples, base, spec, start=start), spec, run, watch=watch)


def check_enough(examples: Sequence[Example], spec: TrainSpec) -> None:
    """Raise `UsageError` when there are fewer *examples* than the recipe asks for."""
    if len(examples) < spec.min_examples:
        raise UsageError(
            f"dataset '{spec.dataset}' has {len(examples)} training examples, the recipe asks for {spec.min_examples}",
            hint="cortex status",
            state="nothing was trained",
        )


def fit_prepared(prepared: Prepared, spec: TrainSpec, run: Path, *, watch: Watch, crew: Crew = ALONE) -> Fitted:
    """Run the loop on what is *prepared*, in this process or as one of *crew*; rank 0 writes `run/adapter` at the end."""
    run.mkdir(parents=True, exist_ok=True)
    with torch.enable_grad():
        result = run_loop(prepared.objective, prepared.rows, spec.loop, run, watch=watch, crew=crew)
    folder = run / "adapter"
    figures: dict[str, float] = {}
    if crew.rank == 0:
        save_adapter(prepared.objective.network, folder, spec.lora)
        figures = prepared.finish(folder)
    return Fitted(folder, result, len({row.example for row in prepared.rows}), prepared.counts, figures)


def prepare_adapter(examples: Sequence[Example], base: Path, spec: TrainSpec, *, start: Path | None = None) -> Prepared:
    """Load *base* with an adapter to be trained, that of *start* if given, and turn *examples* into rows.

    Raises `UsageError` when most of the examples cannot be used.
    """
    tokenizer = ChatTokenizer(base)
    network = load_network(base, dtype=spec.loop.dtype, bits=spec.lora.bits)
    if torch.cuda.is_available():
        network.to("cuda")
    attach(network, spec.lora, seed=spec.loop.seed)
    if start is not None:
        load_into(network, start)
    prepared = _preparation(spec.objective)(examples, tokenizer, network, spec)
    _check_counts(prepared, len(examples), spec)
    return prepared


def _preparation(objective: str) -> Prepare:
    # Imported when asked for: an objective never pays for the others.
    if objective == "preference":
        from cortex_cli.train.preference import prepare
    elif objective == "mntp":
        from cortex_cli.train.mntp import prepare
    elif objective == "distil":
        from cortex_cli.train.distil import prepare
    else:
        from cortex_cli.train.sft import prepare
    return prepare


def _check_counts(prepared: Prepared, examples: int, spec: TrainSpec) -> None:
    too_long = prepared.counts.get("too_long", 0)
    if too_long > examples // 2:
        raise UsageError(
            f"{too_long} of {examples} examples are longer than the window of {spec.loop.window} tokens",
            hint="raise [train.loop] window in the recipe",
            state="nothing was trained",
        )
    if not prepared.rows:
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in prepared.counts.items() if count)
        raise UsageError(
            f"none of {examples} examples can be learned by the objective {spec.objective}: {told or 'none fits it'}",
            hint=f"cortex dataset show {spec.dataset}",
            state="nothing was trained",
        )

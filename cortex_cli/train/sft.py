"""Supervised fine-tuning: curated examples and a base in, a LoRA adapter out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.lora import attach, save_adapter
from cortex_cli.train.batches import Row
from cortex_cli.train.loop import LanguageLoss, Result, Watch, run_loop
from cortex_cli.train.spec import TrainSpec

__all__ = ["Fitted", "encode_examples", "fit_adapter"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained adapter: its folder in peft's format, what the run did, what it learned from."""

    folder: Path
    result: Result
    examples: int
    too_long: int


def encode_examples(examples: Iterable[Example], tokenizer: ChatTokenizer, window: int) -> tuple[list[Row], int]:
    """Turn *examples* into rows of token ids; return them and how many did not fit into *window*.

    A row that would lose its end is left out rather than cut: it would teach never to stop.
    """
    rows: list[Row] = []
    too_long = 0
    for example in examples:
        prompt = tokenizer.encode_prompt(example.messages)
        ids = (*prompt, *tokenizer.encode_answer(example.answer))
        if len(ids) > window:
            too_long += 1
        else:
            rows.append(Row(ids, len(prompt), example.id))
    return rows, too_long


def fit_adapter(examples: Sequence[Example], base: Path, spec: TrainSpec, run: Path, *, watch: Watch) -> Fitted:
    """Train an adapter over the model in *base*; resume if *run* has a checkpoint of the same plan.

    The adapter is in `run/adapter`, written only when training ended; the loss is on answers alone.
    Raises `UsageError` when there are fewer than `min_examples` or most do not fit the window.
    """
    if len(examples) < spec.min_examples:
        raise UsageError(
            f"dataset '{spec.dataset}' has {len(examples)} training examples, the recipe asks for {spec.min_examples}",
            hint="cortex status",
            state="nothing was trained",
        )
    run.mkdir(parents=True, exist_ok=True)
    tokenizer = ChatTokenizer(base)
    rows, too_long = encode_examples(examples, tokenizer, spec.loop.window)
    if too_long > len(examples) // 2:
        raise UsageError(
            f"{too_long} of {len(examples)} examples are longer than the window of {spec.loop.window} tokens",
            hint="raise [train.loop] window in the recipe",
            state="nothing was trained",
        )
    network = load_network(base, dtype="bfloat16")
    lora = spec.lora
    attach(network, rank=lora.rank, alpha=lora.alpha, targets=lora.targets, seed=spec.loop.seed)
    with torch.enable_grad():
        result = run_loop(LanguageLoss(network), rows, spec.loop, run, pad=tokenizer.pad, watch=watch)
    folder = run / "adapter"
    save_adapter(network, folder, rank=lora.rank, alpha=lora.alpha, targets=lora.targets)
    return Fitted(folder, result, len(rows), too_long)

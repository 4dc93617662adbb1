"""Validation: the loss of a trained adapter on examples that it has not learned."""

from collections.abc import Sequence
from pathlib import Path

import torch

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.lora import merge_adapter
from cortex_cli.train.batches import plan_epoch
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.sft import encode_examples
from cortex_cli.train.spec import LoopSpec

__all__ = ["measure_loss"]


def measure_loss(base: Path, adapter: Path, examples: Sequence[Example], spec: LoopSpec) -> float:
    """Return the mean loss per token of the answers of *examples*, with the *adapter* merged into *base*, in float32.

    Those longer than the window are left out; raises `UsageError` when none is left.
    """
    tokenizer = ChatTokenizer(base)
    rows, counts = encode_examples(examples, tokenizer, spec.window)
    if not rows:
        raise UsageError(
            f"all {counts['too_long']} examples to validate on are longer than the window of {spec.window} tokens",
            hint="raise [train.loop] window in the recipe",
            state="nothing was trained",
        )
    network = load_network(base)
    merge_adapter(network, adapter)
    language = LanguageLoss(network.requires_grad_(False), tokenizer.pad, spec)
    with torch.inference_mode():
        batches = [[rows[index] for index in batch] for batch in plan_epoch(rows, spec.batch_tokens, 0)]
        total = sum(float(language.loss(batch)) for batch in batches)
    return total / sum(row.terms for row in rows)

"""Supervised fine-tuning: rows from curated examples, with a loss on what the assistant says."""

from collections.abc import Iterable, Sequence
from typing import Any

from cortex_cli.domain.examples import Example
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.train.batches import Row
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import Prepared
from cortex_cli.train.spec import TrainSpec

__all__ = ["encode_examples", "prepare"]


def encode_examples(
    examples: Iterable[Example], tokenizer: ChatTokenizer, window: int
) -> tuple[list[Row], dict[str, int]]:
    """Turn *examples* into rows of token ids; return them and what was left out.

    Counts: examples that did not fit into *window* (`too_long`), and turns of the assistant before the last that the
    template of the base does not let us learn (`unlearned_turns`). A row that would lose its end is left out rather than cut: it would teach never to stop. A pair repeats an
    example beside another wrong answer: learning the right one twice would weigh it double.
    """
    rows: list[Row] = []
    counts = {"too_long": 0, "unlearned_turns": 0}
    for example in examples:
        if example.source == "pair":
            continue
        dialogue = tokenizer.encode_dialogue(example)
        if len(dialogue.ids) > window:
            counts["too_long"] += 1
            continue
        counts["unlearned_turns"] += dialogue.unlearned
        rows.append(Row(dialogue.ids, dialogue.said, example.id))
    return rows, counts


def prepare(examples: Sequence[Example], tokenizer: ChatTokenizer, network: Any, spec: TrainSpec) -> Prepared:
    """Prepare supervised fine-tuning of *network* on *examples*."""
    rows, counts = encode_examples(examples, tokenizer, spec.loop.window)
    return Prepared(LanguageLoss(network, tokenizer.pad, spec.loop), rows, counts)

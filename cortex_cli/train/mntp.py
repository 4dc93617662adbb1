"""Masked next-token prediction: texts and a base in, an adapter out that makes the base a text encoder.

Method: LLM2Vec, BehnamGhader et al. 2024, arXiv:2404.05961: attention looks both ways, some tokens are hidden, and each
is predicted from the position before it, as the base was taught to. Its second step, SimCSE (Gao et al. 2021,
arXiv:2104.08821), is the contrastive term here; with texts of the same answer as positives it is supervised.
"""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from cortex_cli.domain.examples import Example
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.encoder import EncoderCard, look_both_ways, pool_states, save_card
from cortex_cli.train.batches import Row
from cortex_cli.train.loop import Prepared
from cortex_cli.train.objectives import MntpSpec
from cortex_cli.train.spec import TrainSpec

__all__ = ["EncoderLoss", "encode_texts", "pair_texts", "prepare"]


class EncoderLoss(nn.Module):
    """Prediction of hidden tokens, and contrast between rows and their pairs, over rows of whole texts.

    *groups* tells which examples mean the same: they are never held apart. What is hidden is drawn anew each time, from
    torch's random state, which checkpoints keep. The rest of a micro-batch is what a text is told from, so a step in
    parts is not exactly the step in one.
    """

    def __init__(self, network: Any, tokens: tuple[int, int], spec: MntpSpec, groups: dict[str, int]) -> None:
        super().__init__()
        self.network = network
        self.pad, self.hidden = tokens
        self.spec = spec
        self.groups = groups

    def weigh(self, row: Row) -> float:
        """Return 1: every text counts the same, however long."""
        del row
        return 1.0

    def loss(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the sum of the losses of *rows*."""
        paired = [row.pair or row for row in rows] if self.spec.contrast else []
        ids, seen = self._lay_out([*rows, *paired])  # (texts, length) each
        hide = self._draw(seen)
        base = self.network.base_model(
            input_ids=ids.masked_fill(hide, self.hidden), attention_mask=seen, use_cache=False
        )
        states = base.last_hidden_state  # (texts, length, width)
        total: torch.Tensor = states.new_zeros((), dtype=torch.float32)
        if self.spec.predict:
            total = total + self.spec.predict * self.predict(states, ids, hide) * len(rows) / len(ids)
        if self.spec.contrast:
            vectors = pool_states(states, seen, self.spec.pooling)
            total = total + self.spec.contrast * self.tell_apart(vectors, [*rows, *paired])
        return total

    def predict(self, states: torch.Tensor, ids: torch.Tensor, hide: torch.Tensor) -> torch.Tensor:
        """Return the sum over texts of the mean loss of their hidden tokens; a text without any adds 0."""
        picked = hide[:, 1:]  # position t predicts token t + 1
        logits = self.network.get_output_embeddings()(states[:, :-1][picked])  # (hidden tokens, vocabulary)
        losses = functional.cross_entropy(logits.float(), ids[:, 1:][picked], reduction="none")
        return (losses / picked.sum(1, keepdim=True).expand_as(picked)[picked]).sum()

    def tell_apart(self, vectors: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        """Return the sum over pairs of -log p(the pair | a text, the batch), both ways round.

        The first half of *vectors* (2 n, width) belongs to texts, the second to their pairs. What is of one group is
        left out, but for the pair itself: InfoNCE without false negatives.
        """
        half = len(rows) // 2
        groups = torch.tensor([self.groups[row.example] for row in rows], device=vectors.device)
        partner = torch.arange(2 * half, device=vectors.device).roll(half)
        same = groups[:, None] == groups[None]  # (2 n, 2 n), the text itself included
        same[torch.arange(2 * half), partner] = False
        scores = (vectors @ vectors.T / self.spec.temperature).masked_fill(same, -torch.inf)
        return functional.cross_entropy(scores, partner, reduction="sum") / 2

    def _lay_out(self, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(len(row.ids) for row in rows)
        ids = torch.tensor([[*row.ids, *[self.pad] * (width - len(row.ids))] for row in rows])
        seen = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows])
        place = next(self.network.parameters()).device
        return ids.to(place), seen.to(place)

    def _draw(self, seen: torch.Tensor) -> torch.Tensor:
        """Return which tokens are hidden: the same share of every text, at least one; never the first, never padding."""
        chances = torch.rand(seen.shape).to(seen.device).masked_fill(seen == 0, 2.0)
        chances[:, 0] = 2.0  # nothing stands before it to predict it from
        free = seen.sum(1) - 1
        count = torch.minimum((self.spec.mask * free).round().clamp(min=1), free.float()).long()
        return chances.argsort(1).argsort(1) < count[:, None]  # ranks of the chances, the lowest hidden


def encode_texts(
    examples: Iterable[Example], tokenizer: ChatTokenizer, window: int
) -> tuple[list[Row], dict[str, int]]:
    """Turn what was asked in *examples* into rows; return them, and how many were left out and why.

    A text is read once, however often it was asked. One that does not fit into *window* is left out.
    """
    rows: dict[tuple[int, ...], Row] = {}
    counts = {"too_long": 0, "empty": 0, "repeated": 0}
    for example in examples:
        ids = tuple(tokenizer.encode(_read_request(example)))
        if len(ids) > window:
            counts["too_long"] += 1
        elif len(ids) < 2:  # one token leaves nothing to hide
            counts["empty"] += 1
        elif ids in rows:
            counts["repeated"] += 1
        else:
            rows[ids] = Row(ids, (), example.id)
    return list(rows.values()), counts


def pair_texts(rows: Sequence[Row], groups: dict[str, int], seed: int) -> list[Row]:
    """Return *rows*, each with another one of its group as its pair, drawn by *seed*; alone, with itself."""
    rng = random.Random(seed)  # noqa: S311 - reproducible choice, not secrecy
    members: dict[int, list[Row]] = {}
    for row in rows:
        members.setdefault(groups[row.example], []).append(row)
    paired: list[Row] = []
    for row in rows:
        group = members[groups[row.example]]
        other = rng.choice(group)
        while len(group) > 1 and other is row:
            other = rng.choice(group)
        paired.append(Row(row.ids, (), row.example, pair=other))
    return paired


def prepare(examples: Sequence[Example], tokenizer: ChatTokenizer, network: Any, spec: TrainSpec) -> Prepared:
    """Prepare an encoder from *network* on what was asked in *examples*; its attention looks both ways from here on."""
    look_both_ways(network)
    rows, counts = encode_texts(examples, tokenizer, spec.loop.window)
    groups = _group(rows, examples, spec.mntp)
    if spec.mntp.contrast:
        rows = pair_texts(rows, groups, spec.loop.seed)
        counts["alone"] = sum(row.pair is not None and row.pair.example == row.example for row in rows)
    hidden = tokenizer.encode(spec.mntp.mask_text)[0]
    card = EncoderCard(pooling=spec.mntp.pooling, dimension=int(network.config.hidden_size), hashed=spec.mntp.hashed)

    def finish(adapter: Path) -> dict[str, float]:
        save_card(adapter, card)
        return {"dimension": float(card.dimension)}

    return Prepared(EncoderLoss(network, (tokenizer.pad, hidden), spec.mntp, groups), rows, counts, finish)


def _group(rows: Sequence[Row], examples: Sequence[Example], spec: MntpSpec) -> dict[str, int]:
    answers = {example.id: example.answer for example in examples}
    numbers: dict[str, int] = {}
    groups: dict[str, int] = {}
    for row in rows:
        key = answers[row.example] if spec.positives == "answers" else ""
        groups[row.example] = numbers.setdefault(key or f"\0{row.example}", len(numbers))
    return groups


def _read_request(example: Example) -> str:
    asked = [message.content for message in example.messages if message.role == "user"]
    return asked[-1] if asked else ""

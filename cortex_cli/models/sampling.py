"""Choosing the next token: the likeliest, or one drawn from a distribution cut to what is plausible."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cortex_cli.domain.errors import UsageError

__all__ = ["GREEDY", "Sampling", "choose"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is chosen: *temperature* 0 is greedy; *top_k* (0: all) and *top_p* keep the likeliest tokens.

    An answer also ends before any text of *stop*. What is drawn depends on *seed*, the prompt and how often the
    same prompt was asked before in the call, never on what else is in the batch.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf") or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise UsageError(
                f"temperature {self.temperature}, top_p {self.top_p}, top_k {self.top_k} cannot be sampled with",
                hint="temperature and top_k are at least 0, top_p above 0 and at most 1",
                state="nothing was asked",
            )
        if not all(self.stop):
            raise UsageError("a stop text is empty", hint="leave it out", state="nothing was asked")


GREEDY = Sampling()


def choose(logits: Tensor, sampling: Sampling, draws: Sequence[random.Random]) -> tuple[Tensor, list[float]]:
    """Choose a token per row of *logits* (rows, vocabulary); return them (rows,) and their log-probabilities.

    The log-probabilities are the model's own, before temperature and cuts. Row r takes one number of *draws*[r].
    """
    total = logits.logsumexp(-1)  # (rows,)
    if sampling.temperature == 0:
        best = logits.max(-1)
        return best.indices, (best.values - total).tolist()
    points = torch.tensor([draw.random() for draw in draws], device=logits.device)  # (rows,)
    tokens = _draw(logits / sampling.temperature, sampling, points)
    return tokens, (logits.gather(-1, tokens[:, None])[:, 0] - total).tolist()


def _draw(logits: Tensor, sampling: Sampling, points: Tensor) -> Tensor:
    count = min(sampling.top_k or logits.shape[-1], logits.shape[-1])
    best = logits.topk(count, dim=-1)  # (rows, count), the likeliest first
    chances = best.values.softmax(-1)
    before = chances.cumsum(-1) - chances  # what all likelier tokens have together
    chances = chances.masked_fill(before >= sampling.top_p, 0.0)  # the token that reaches top_p stays in
    sums = chances.cumsum(-1)
    place = torch.searchsorted(sums, points[:, None] * sums[:, -1:], right=True)  # (rows, 1)
    # Rounding can put a point past the last sum: the last token with a chance is meant.
    last = (chances > 0).sum(-1, keepdim=True) - 1
    return best.indices.gather(-1, torch.minimum(place, last))[:, 0]

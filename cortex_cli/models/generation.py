"""Answers from a local model: greedy, in batches, with a key-value cache."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.lora import merge_adapter

__all__ = ["LocalModel", "load_model"]


def load_model(base: Path, adapter: Path | None = None, *, max_tokens: int = 48, batch: int = 128) -> "LocalModel":
    """Load the model in *base*, merge the *adapter* if there is one, and return it ready to answer.

    Weights are float32: in bf16 a greedy answer depended on which prompts shared its batch.
    """
    network = load_network(base, dtype="float32")
    if adapter is not None:
        merge_adapter(network, adapter)
    return LocalModel(network, ChatTokenizer(base), max_tokens=max_tokens, batch=batch)


class LocalModel:
    """A local model that answers prompts; an instance is a `Generate`.

    *max_tokens* bounds an answer, *batch* how many prompts are decoded together.
    """

    def __init__(self, network: Any, tokenizer: ChatTokenizer, *, max_tokens: int, batch: int) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.batch = batch

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Answer every prompt greedily, in the given order."""
        encoded = [self.tokenizer.encode_prompt(prompt) for prompt in prompts]
        answers: list[Answer | None] = [None] * len(prompts)
        # Prompts of like length share a batch: less padding, fewer steps.
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
        for start in range(0, len(order), self.batch):
            chosen = order[start : start + self.batch]
            for index, answer in zip(chosen, self._decode([encoded[i] for i in chosen]), strict=True):
                answers[index] = answer
        return [answer for answer in answers if answer is not None]

    @torch.inference_mode()
    def _decode(self, prompts: list[list[int]]) -> Iterator[Answer]:
        started = time.monotonic()
        ids, mask = _pad_left(prompts, self.tokenizer.pad)
        written = torch.full((len(prompts), self.max_tokens), self.tokenizer.end)
        scores = torch.zeros(len(prompts), self.max_tokens)
        going = torch.ones(len(prompts), dtype=torch.bool)
        cache: Any = None
        steps = 0
        position = mask.long().cumsum(-1) - 1
        position = position.masked_fill(mask == 0, 0)
        while steps < self.max_tokens and bool(going.any()):
            out = self.network(
                input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
            )
            cache = out.past_key_values
            best = out.logits[:, -1].float().log_softmax(-1).max(-1)  # (batch,)
            token = torch.where(going, best.indices, self.tokenizer.end)
            written[:, steps], scores[:, steps] = token, torch.where(going, best.values, 0.0)
            going = going & (token != self.tokenizer.end)
            ids, position = token[:, None], position[:, -1:] + 1
            mask = torch.cat([mask, torch.ones(len(prompts), 1, dtype=mask.dtype)], dim=-1)
            steps += 1
        seconds = (time.monotonic() - started) / len(prompts)
        for row, prompt in enumerate(prompts):
            yield self._answer(written[row, :steps].tolist(), scores[row, :steps], len(prompt), seconds)

    def _answer(self, ids: list[int], scores: torch.Tensor, tokens_in: int, seconds: float) -> Answer:
        ended = self.tokenizer.end in ids
        length = ids.index(self.tokenizer.end) if ended else len(ids)
        counted = length + ended
        finish: Literal["stop", "length"] = "stop" if ended else "length"
        return Answer(
            text=self.tokenizer.decode(ids[:length]),
            tokens_in=tokens_in,
            tokens_out=length,
            seconds=seconds,
            logprob=float(scores[:counted].sum()) / max(1, counted),
            finish=finish,
        )


def _pad_left(prompts: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids, mask

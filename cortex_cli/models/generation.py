"""Answers from a local model: in batches, or as a stream of text while it is written."""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cortex_cli.domain.examples import Answer, Prompt
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.decoding import Passage, make_decoder
from cortex_cli.models.lora import merge_adapter
from cortex_cli.models.sampling import GREEDY, Sampling, choose
from cortex_cli.models.writing import Writing

__all__ = ["LocalModel", "Piece", "load_model"]

_CACHE_BYTES = 1 << 28  # keys and values of a batch: 256 MB, whatever the model and the prompts


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer that is written: new *text* (it may be empty) and the log-probability of its last token.

    The last piece carries the whole *answer*.
    """

    text: str
    logprob: float
    answer: Answer | None = None


def load_model(base: Path, adapter: Path | None = None, *, max_tokens: int = 48, batch: int = 128) -> "LocalModel":
    """Load the model in *base*, merge the *adapter* if there is one, and return it ready to answer.

    Weights are float32: in bf16 a greedy answer depended on which prompts shared its batch, and it was slower.
    """
    network = load_network(base, dtype="float32")
    if adapter is not None:
        merge_adapter(network, adapter)
    return LocalModel(network, ChatTokenizer(base), max_tokens=max_tokens, batch=batch)


class LocalModel:
    """A local model that answers prompts; an instance is a `Generate`.

    *max_tokens* bounds an answer, *batch* how many prompts are decoded together; *sampling* is greedy by default.
    """

    def __init__(
        self, network: Any, tokenizer: ChatTokenizer, *, max_tokens: int, batch: int, sampling: Sampling = GREEDY
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.batch = batch
        self.sampling = sampling
        self.decoder = make_decoder(network)
        self.ends = frozenset({tokenizer.end, *_ends_of(network)})

    def sampled(self, sampling: Sampling, *, max_tokens: int = 0) -> "LocalModel":
        """Return the same model, weights shared, that answers by *sampling*; *max_tokens* 0 keeps the bound."""
        other = object.__new__(LocalModel)
        other.__dict__.update(self.__dict__, sampling=sampling, max_tokens=max_tokens or self.max_tokens)
        return other

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Answer every prompt, in the given order; one that fills the context is an answer that says so."""
        rows = self._rows(prompts)
        answers = {index: self._too_long(row) for index, row in enumerate(rows) if row.limit < 1}
        # Prompts of like length share a batch: less padding, fewer steps.
        order = sorted((index for index in range(len(rows)) if index not in answers), key=lambda i: len(rows[i].prompt))
        while order:
            chosen, order = order[-self._fitting(rows[order[-1]]) :], order[: -self._fitting(rows[order[-1]])]
            started = time.monotonic()
            for _ in self._write([rows[index] for index in chosen]):
                pass
            seconds = (time.monotonic() - started) / len(chosen)
            answers.update((index, rows[index].answer(seconds)) for index in chosen)
        return [answers[index] for index in range(len(rows))]

    def stream(self, prompt: Prompt) -> Iterator[Piece]:
        """Yield the answer to *prompt* piece by piece, one per token; the same text as in a batch."""
        (row,) = self._rows([prompt])
        if row.limit < 1:
            yield Piece("", 0.0, self._too_long(row))
            return
        started = time.monotonic()
        for _ in self._write([row]):
            answer = row.answer(time.monotonic() - started) if row.finish else None
            yield Piece(row.new_text(), row.scores[-1], answer)

    def _rows(self, prompts: Sequence[Prompt]) -> list[Writing]:
        asked: Counter[tuple[int, ...]] = Counter()
        rows: list[Writing] = []
        for prompt in prompts:
            ids = tuple(self.tokenizer.encode_prompt(prompt))
            # A string seeds by its hash value, which is the same in every process.
            draw = random.Random(f"{self.sampling.seed} {asked[ids]} {ids}")  # noqa: S311 - a reproducible draw
            asked[ids] += 1
            limit = min(self.max_tokens, self.decoder.context - len(ids))
            rows.append(Writing(ids, limit, self.ends, self.sampling.stop, self.tokenizer.decode, draw))
        return rows

    def _fitting(self, longest: Writing) -> int:
        row = self.decoder.cell * (len(longest.prompt) + longest.limit)  # bytes
        return max(1, min(self.batch, _CACHE_BYTES // row))

    def _too_long(self, row: Writing) -> Answer:
        told = f"the prompt has {len(row.prompt)} tokens, and the model's context is {self.decoder.context} in all"
        return Answer(text="", tokens_in=len(row.prompt), finish="error", error=told)

    def _write(self, rows: list[Writing]) -> Iterator[None]:
        """Write all *rows* to their ends; yield after every token."""
        passage, logits = self.decoder.begin([row.prompt for row in rows], max(row.limit for row in rows))
        while True:
            tokens, scores = choose(logits, self.sampling, [row.draw for row in rows])
            for row, token, score in zip(rows, tokens.tolist(), scores, strict=True):
                if not row.finish:
                    row.take(token, score)
            yield
            going = [place for place, row in enumerate(rows) if not row.finish]
            if not going:
                return
            rows, tokens = _leave(rows, going, passage, tokens)
            logits = passage.step(tokens)


def _leave(
    rows: list[Writing], going: list[int], passage: Passage, tokens: torch.Tensor
) -> tuple[list[Writing], torch.Tensor]:
    """Let finished rows leave the batch once they are a quarter of it: leaving copies what the others have kept."""
    if 4 * len(going) > 3 * len(rows):
        return rows, tokens
    kept = torch.tensor(going, device=tokens.device)
    passage.keep(kept)
    return [rows[place] for place in going], tokens[kept]


def _ends_of(network: Any) -> Sequence[int]:
    ends = getattr(network.generation_config, "eos_token_id", None)
    return ends if isinstance(ends, list) else [] if ends is None else [ends]

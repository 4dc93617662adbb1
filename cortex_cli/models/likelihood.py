"""How likely raw text is after raw text, in tokens: what the evaluation harnesses of others ask of a model."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from cortex_cli.models.generation import LocalModel

__all__ = ["Likelihood", "score_continuations", "score_texts", "window_of"]

# Padded tokens per batch: bounds the logits, 16,384 x 4,096 x 4 bytes = 256 MB for the embedded base.
_BATCH_TOKENS = 1 << 14

_Row = tuple[list[int], list[int]]  # ids of the context, at least one; ids that are scored


class Likelihood(NamedTuple):
    """The log-probability of a continuation, and whether each of its tokens was the likeliest."""

    logprob: float
    greedy: bool


def window_of(model: LocalModel) -> int:
    """Return how many tokens the model reads at once."""
    return int(getattr(model.network.config, "max_position_embeddings", 0) or 2048)


def score_continuations(model: LocalModel, pairs: Sequence[tuple[str, str]]) -> list[Likelihood]:
    """Score each (context, continuation): raw text, without a chat template; the oldest context is cut to the window.

    The two are tokenised as one text, so that a word across their border is one that the model knows.
    """
    return _score_rows(model, [_cut(_encode(model, *pair), window_of(model)) for pair in pairs])


def score_texts(model: LocalModel, texts: Sequence[str]) -> list[float]:
    """Return the log-probability of each whole text, in windows that do not overlap, the first after the end token."""
    window = window_of(model)
    rows: list[_Row] = []
    owners: list[int] = []
    for number, text in enumerate(texts):
        ids = model.tokenizer.encode(text)
        for start in range(0, len(ids), window - 1):
            before = ids[start - 1] if start else model.tokenizer.end
            rows.append(([before], ids[start : start + window - 1]))
            owners.append(number)
    totals = [0.0] * len(texts)
    for owner, found in zip(owners, _score_rows(model, rows), strict=True):
        totals[owner] += found.logprob
    return totals


def _encode(model: LocalModel, context: str, continuation: str) -> _Row:
    # White space at the end of a context belongs to the next token in every vocabulary of this kind.
    bare = context.rstrip()
    continuation = context[len(bare) :] + continuation
    known = model.tokenizer.encode(bare) if bare else []
    whole = model.tokenizer.encode(bare + continuation)
    return known or [model.tokenizer.end], whole[len(known) :]


def _cut(row: _Row, window: int) -> _Row:
    context, scored = row[0], row[1][: window - 1]
    return context[-(window - len(scored)) :], scored


def _score_rows(model: LocalModel, rows: Sequence[_Row]) -> list[Likelihood]:
    order = sorted(range(len(rows)), key=lambda index: _length(rows[index]))
    found: list[Likelihood] = [Likelihood(0.0, greedy=True)] * len(rows)
    while order:
        # From the longest on, so that the first of a batch tells its width.
        size = max(1, _BATCH_TOKENS // _length(rows[order[-1]]))
        chosen, order = order[-size:], order[:-size]
        for index, value in zip(chosen, _score_batch(model, [rows[i] for i in chosen]), strict=True):
            found[index] = value
    return found


@torch.inference_mode()
def _score_batch(model: LocalModel, rows: Sequence[_Row]) -> list[Likelihood]:
    width = max(map(_length, rows))
    ids = torch.full((len(rows), width), model.tokenizer.pad)  # (rows, width), padded on the right
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for row, (context, scored) in enumerate(rows):
        length = len(context) + len(scored)
        ids[row, :length] = torch.tensor([*context, *scored])
        mask[row, :length] = 1
    logits = model.network(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    scores = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]  # (rows, width - 1)
    likeliest = logits.argmax(-1) == ids[:, 1:]
    spans = [(len(context) - 1, len(scored)) for context, scored in rows]
    return [
        Likelihood(float(scores[row, start : start + length].sum()), bool(likeliest[row, start : start + length].all()))
        for row, (start, length) in enumerate(spans)
    ]


def _length(row: _Row) -> int:
    return len(row[0]) + len(row[1])

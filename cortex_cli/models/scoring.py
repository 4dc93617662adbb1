"""How likely an answer is: the log-probability that a local model gives it after a prompt."""

from collections.abc import Sequence

import torch

from cortex_cli.domain.examples import Prompt
from cortex_cli.models.generation import LocalModel

__all__ = ["mean_scores", "score_answers"]

# Padded tokens per batch: bounds the logits, 16,384 x 4,096 x 4 bytes = 256 MB for the embedded base.
_BATCH_TOKENS = 1 << 14

_Row = tuple[list[int], list[int]]  # ids of the prompt, ids of the answer


def score_answers(model: LocalModel, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    """Return the total log-probability of each answer, its end token included, after its prompt.

    Pairs of like length share a batch, padded on the right: causal attention never looks there, so a
    score does not depend on what else is in the batch beyond the rounding of float32.
    """
    rows = [
        (model.tokenizer.encode_prompt(prompt), model.tokenizer.encode_answer(answer))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    order = sorted(range(len(rows)), key=lambda index: _length(rows[index]))
    totals = [0.0] * len(rows)
    while order:
        # From the longest on, so that the first of a batch tells its width.
        size = max(1, min(model.batch, _BATCH_TOKENS // _length(rows[order[-1]])))
        chosen, order = order[-size:], order[:-size]
        for index, total in zip(chosen, _score_batch(model, [rows[i] for i in chosen]), strict=True):
            totals[index] = total
    return totals


def mean_scores(model: LocalModel, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
    """Return the mean log-probability per token of each answer, as `Answer.logprob` has it."""
    totals = score_answers(model, prompts, answers)
    return [total / len(model.tokenizer.encode_answer(answer)) for total, answer in zip(totals, answers, strict=True)]


@torch.inference_mode()
def _score_batch(model: LocalModel, rows: Sequence[_Row]) -> list[float]:
    width = max(map(_length, rows))
    ids = torch.full((len(rows), width), model.tokenizer.pad)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    for row, (prompt, answer) in enumerate(rows):
        ids[row, : len(prompt) + len(answer)] = torch.tensor([*prompt, *answer])
        mask[row, : len(prompt) + len(answer)] = 1
    # Logits are needed only from the last token of the shortest prompt on: (rows, kept, vocabulary).
    first = min(len(prompt) for prompt, _ in rows) - 1
    out = model.network(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=width - first)
    scores = out.logits[:, :-1].float().log_softmax(-1)
    taken = scores.gather(-1, ids[:, first + 1 :, None])[..., 0]  # (rows, kept - 1)
    spans = [(len(prompt) - first - 1, len(answer)) for prompt, answer in rows]
    return [float(taken[row, start : start + length].sum()) for row, (start, length) in enumerate(spans)]


def _length(row: _Row) -> int:
    return len(row[0]) + len(row[1])

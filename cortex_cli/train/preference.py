"""Preference: learn from answers that were wanted and answers that were not, without leaving where training began.

Losses: DPO, Rafailov et al. 2023, arXiv:2305.18290, with the smoothing of its authors' note on noisy labels; KTO,
Ethayarajh et al. 2024, arXiv:2402.01306. Checked against TRL 1.16 to 1e-5.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from cortex_cli.domain.examples import Example
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer
from cortex_cli.models.lora import attach, load_into
from cortex_cli.train.batches import Row, size_of
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import Prepared
from cortex_cli.train.objectives import PreferenceSpec
from cortex_cli.train.spec import TrainSpec

__all__ = [
    "PairLoss",
    "SideLoss",
    "encode_pairs",
    "encode_sides",
    "measure_held_out",
    "measure_preference",
    "prepare",
    "with_reference",
]

_SIDES_TRIED = 64  # rows looked at for a mismatched answer that fits into the window


class _Preference(nn.Module):
    """What both losses share: a language model, and the same weight for every row."""

    def __init__(self, language: LanguageLoss, spec: PreferenceSpec) -> None:
        super().__init__()
        self.language = language
        self.spec = spec

    @property
    def network(self) -> nn.Module:
        """Return the model that is trained."""
        return self.language.network  # type: ignore[no-any-return]

    def weigh(self, row: Row) -> float:
        """Return 1: every row counts the same, however long."""
        del row
        return 1.0


class PairLoss(_Preference):
    """DPO over rows with a `pair`: the wanted answer is to gain more than the other, against where training began.

    -log s(beta m), s the logistic function, m the margin of the two log-ratios; a share of *smoothing* is taken to be
    labelled the wrong way round. The robust form of TRL, which is unbiased, has no lower bound, and is not used. *sft*
    adds that much of the mean loss per token of the wanted answer, as arXiv:2404.19733 has it.
    """

    def loss(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the sum of the losses of *rows*."""
        good, bad = _log_likelihoods(self.language, rows)  # (rows,) each
        margins = self.spec.beta * ((good - _begun(rows, 0, good)) - (bad - _begun(rows, 1, bad)))  # (rows,)
        right, wrong = functional.logsigmoid(margins), functional.logsigmoid(-margins)
        losses = -(1 - self.spec.smoothing) * right - self.spec.smoothing * wrong
        lengths = good.new_tensor([row.terms for row in rows])
        # A mean per token and not a sum: a long answer would drown the preference (arXiv:2404.19733, equation 2).
        return (losses - self.spec.sft * good / lengths).sum()

    @torch.no_grad()
    def rewards(self, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return beta times the log-ratio of the wanted answers and of the others, (rows,) each."""
        good, bad = _log_likelihoods(self.language, rows)
        return self.spec.beta * (good - _begun(rows, 0, good)), self.spec.beta * (bad - _begun(rows, 1, bad))


class SideLoss(_Preference):
    """KTO over rows that are `wanted` or not; the `pair` of a row is its prompt with the answer to another one.

    What the policy gains on such mismatched answers is its distance from where it began, the point from which gains
    and losses are felt. It is estimated from each micro-batch, as TRL does it: a step in parts is not exactly the
    step in one. *wanted* and *unwanted* weigh the two sides.
    """

    def __init__(self, language: LanguageLoss, spec: PreferenceSpec, *, wanted: float, unwanted: float) -> None:
        super().__init__(language, spec)
        self.wanted = wanted
        self.unwanted = unwanted

    def loss(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the sum of the losses of *rows*."""
        answers = _log_likelihood(self.language, rows)
        # Equation 7 of the paper: the value of a gain over the reference point saturates on both sides.
        gains = self.spec.beta * (answers - _begun(rows, 0, answers) - self.divergence(rows))
        side = gains.new_tensor([1.0 if row.wanted else -1.0 for row in rows])
        weights = gains.new_tensor([self.wanted if row.wanted else self.unwanted for row in rows])
        losses = weights * (1 - torch.sigmoid(side * gains))
        lengths = answers.new_tensor([row.terms for row in rows])
        return (losses - self.spec.sft * (side > 0) * answers / lengths).sum()

    @torch.no_grad()
    def divergence(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the mean log-ratio of the mismatched answers of *rows*, at least 0."""
        # Without a gradient: the point of comparison is not to be moved, only known.
        mixed = [row for row in rows if row.pair]
        if not mixed:
            return torch.zeros((), device=next(self.network.parameters()).device)
        now = _log_likelihood(self.language, [row.pair for row in mixed if row.pair])
        return (now - _begun(mixed, 1, now)).mean().clamp(min=0)

    @torch.no_grad()
    def rewards(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return beta times the log-ratio of the answers, (rows,)."""
        answers = _log_likelihood(self.language, rows)
        return self.spec.beta * (answers - _begun(rows, 0, answers))


@dataclass(frozen=True, slots=True)
class _Side:
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    example: str
    wanted: bool

    def row(self, answer: tuple[int, ...]) -> Row:
        start, end = len(self.prompt), len(self.prompt) + len(answer)
        return Row((*self.prompt, *answer), ((start, end),), self.example, wanted=self.wanted)


def encode_pairs(
    examples: Iterable[Example], tokenizer: ChatTokenizer, window: int
) -> tuple[list[Row], dict[str, int]]:
    """Turn *examples* into rows whose pair is the answer to avoid; return them, and how many were left out and why."""
    rows: list[Row] = []
    counts = {"too_long": 0, "no_pair": 0}
    for example in examples:
        if not example.rejected or not example.answer or example.rejected == example.answer:
            counts["no_pair"] += 1
            continue
        prompt = tuple(tokenizer.encode_prompt(example.messages))
        good, bad = (
            _Side(prompt, (), example.id, wanted).row(tuple(tokenizer.encode_answer(text)))
            for text, wanted in ((example.answer, True), (example.rejected, False))
        )
        if max(len(good.ids), len(bad.ids)) > window:
            counts["too_long"] += 1
        else:
            rows.append(replace(good, pair=bad))
    return rows, counts


def encode_sides(
    examples: Iterable[Example], tokenizer: ChatTokenizer, window: int
) -> tuple[list[Row], dict[str, int]]:
    """Turn *examples* into one row per answer, wanted or not; return them, and how many were left out and why.

    An answer that several examples share is taken once per prompt. The pair of a row is the mismatched answer of
    `SideLoss`: that of the nearest row before it, going round, which has another prompt and fits into *window*.
    """
    sides: dict[tuple[Any, ...], _Side] = {}
    counts = {"too_long": 0, "no_pair": 0}
    for example in examples:
        prompt = tuple(tokenizer.encode_prompt(example.messages))
        for text, wanted in ((example.answer, True), (example.rejected, False)):
            answer = tuple(tokenizer.encode_answer(text)) if text else ()
            if len(prompt) + len(answer) > window:
                counts["too_long"] += 1
            elif text:
                sides.setdefault((prompt, answer, wanted), _Side(prompt, answer, example.id, wanted))
    ordered = list(sides.values())
    rows = [_mismatched(ordered, number, window) for number in range(len(ordered))]
    counts["no_pair"] = sum(row.pair is None for row in rows)
    return rows, counts


def with_reference(language: LanguageLoss, rows: Sequence[Row], batch_tokens: int) -> list[Row]:
    """Return *rows* with the log-probability that the network, as it is now, gives to each and to its pair.

    One pass without gradients, rows of like length together; the same rows give the same figures.
    """
    order = sorted(range(len(rows)), key=lambda index: rows[index].length)
    found: dict[int, tuple[float, ...]] = {}
    while order:
        # From the longest on, so that memory is at its peak first and not after an hour.
        size = max(1, batch_tokens // size_of([rows[order[-1]]], "buckets"))
        chosen, order = order[-size:], order[:-size]
        with torch.no_grad():
            own = _log_likelihood(language, [rows[index] for index in chosen]).tolist()
            paired = [index for index in chosen if rows[index].pair]
            pairs = [pair for index in paired if (pair := rows[index].pair)]
            other = dict(zip(paired, _log_likelihood(language, pairs).tolist() if pairs else (), strict=True))
        for index, value in zip(chosen, own, strict=True):
            found[index] = (value, other[index]) if index in other else (value,)
    return [replace(row, reference=found[index]) for index, row in enumerate(rows)]


def measure_preference(objective: PairLoss | SideLoss, rows: Sequence[Row]) -> dict[str, float]:
    """Return the reward accuracy over *rows*, and the margin between what is wanted and what is not.

    For pairs, how often the wanted answer gained more than the other; for sides, how often a wanted answer gained or
    an unwanted one lost. The margin is the difference of the mean rewards, 0 when a side is missing.
    """
    right: list[bool] = []
    sums: dict[bool, list[float]] = {True: [], False: []}  # rewards, by whether they were wanted
    for start in range(0, len(rows), 16):
        part = rows[start : start + 16]
        if isinstance(objective, PairLoss):
            good, bad = (values.tolist() for values in objective.rewards(part))
            sums[True] += good
            sums[False] += bad
            right += [one > other for one, other in zip(good, bad, strict=True)]
        else:
            for row, value in zip(part, objective.rewards(part).tolist(), strict=True):
                sums[row.wanted].append(value)
                right.append(value > 0 if row.wanted else value < 0)
    means = [sum(values) / len(values) if values else 0.0 for values in (sums[True], sums[False])]
    margin = means[0] - means[1] if all(sums.values()) else 0.0
    return {
        "reward_accuracy": sum(right) / max(1, len(right)),
        "reward_margin": margin,
        "reward_rows": float(len(right)),
    }


def measure_held_out(
    examples: Sequence[Example], base: Path, adapter: Path, spec: TrainSpec, *, start: Path | None = None
) -> dict[str, float]:
    """Return what `measure_preference` finds on *examples* that *adapter* has not learned; {} if they hold no preference.

    *start* is the adapter where its training began, if not at *base* itself.
    """
    network = load_network(base, dtype=spec.loop.dtype)
    attach(network, spec.lora, seed=spec.loop.seed)
    if start is not None:
        load_into(network, start)
    prepared = prepare(examples, ChatTokenizer(base), network, spec)
    load_into(network, adapter)
    if not prepared.rows or not isinstance(prepared.objective, (PairLoss, SideLoss)):
        return {}
    return measure_preference(prepared.objective, prepared.rows)


def prepare(examples: Sequence[Example], tokenizer: ChatTokenizer, network: Any, spec: TrainSpec) -> Prepared:
    """Prepare DPO or KTO of *network* on *examples*; where the network is now is where it is held to."""
    language = LanguageLoss(network, tokenizer.pad, spec.loop)
    encode = encode_pairs if spec.preference.loss == "dpo" else encode_sides
    plain, counts = encode(examples, tokenizer, spec.loop.window)
    rows = with_reference(language, plain, spec.loop.batch_tokens)
    objective = PairLoss(language, spec.preference) if spec.preference.loss == "dpo" else _sides(language, rows, spec)

    def finish(_adapter: Path) -> dict[str, float]:
        return measure_preference(objective, rows)

    return Prepared(objective, rows, counts, finish)


def _sides(language: LanguageLoss, rows: Sequence[Row], spec: TrainSpec) -> SideLoss:
    # Equation 8 of the paper: the two sides weigh the same together, the rarer one being raised.
    wanted, unwanted = spec.preference.wanted, spec.preference.unwanted
    good = max(1, sum(row.wanted for row in rows))
    bad = max(1, len(rows) - good)
    if not wanted:
        wanted = unwanted * bad / good if unwanted else max(1.0, bad / good)
    if not unwanted:
        unwanted = wanted * good / bad
    return SideLoss(language, spec.preference, wanted=wanted, unwanted=unwanted)


def _mismatched(sides: Sequence[_Side], number: int, window: int) -> Row:
    side = sides[number]
    for back in range(1, min(len(sides), _SIDES_TRIED)):
        other = sides[number - back]
        if other.prompt != side.prompt and len(side.prompt) + len(other.answer) <= window:
            return replace(side.row(side.answer), pair=side.row(other.answer))
    return side.row(side.answer)


def _log_likelihood(language: LanguageLoss, rows: Sequence[Row]) -> torch.Tensor:
    """Return the log-probability of the learned ids of each of *rows*, (rows,) in float32."""
    losses = language.token_losses(rows)  # (learned ids of all rows,)
    return -torch.stack([part.sum() for part in torch.split(losses, [row.terms for row in rows])])


def _log_likelihoods(language: LanguageLoss, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = [row.pair for row in rows if row.pair]
    # One pass for both, the wanted answers first, as TRL lays them out.
    good, bad = torch.split(_log_likelihood(language, [*rows, *pairs]), [len(rows), len(pairs)])
    return good, bad


def _begun(rows: Sequence[Row], place: int, like: torch.Tensor) -> torch.Tensor:
    return like.new_tensor([row.reference[place] for row in rows])

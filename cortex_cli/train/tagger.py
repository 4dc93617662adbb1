"""Training of the tagger that finds names: marked and clean texts in, a safetensors file out.

The network is that of `cortex_cli.models.tagging`, here with gradients. Words of names lose their own row now
and then, so that a name nobody has seen is found by its form and by what stands around it.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import nn

from cortex_cli.models.lexicon import BETWEEN, FAR, NEAR
from cortex_cli.models.tagging import OUTSIDE
from cortex_cli.models.words import FIRST_ROWS, NOTHING, UNKNOWN, Could, Vocabulary, split_tokens
from cortex_cli.store.atomic import write_atomic
from cortex_cli.train.annotated import Annotated
from cortex_cli.train.spec import TaggerSpec

__all__ = ["LABELS", "Fitted", "Told", "encode", "fit_tagger", "make_vocabulary", "write_tagger"]

LABELS = (
    OUTSIDE,
    "PERSON",
    "PLACE",
    "ORGANIZATION",
    "ADDRESS",
    "ZIP",
    "DATE",
    "AGE",
    "GROUP",
    "ROLE",
    "PHONE",
    "URL",
    "ID",
)
_NUMBERS = {label: number for number, label in enumerate(LABELS)}
_IGNORED = -100
# The bits of a plain word: in lower case, with a capital.
_LOWER, _TITLE = 1, 2


class Told(NamedTuple):
    """How far a training is: epoch of epochs, and the mean loss of the epoch."""

    epoch: int
    epochs: int
    loss: float


class Encoded(NamedTuple):
    """Texts as one line of word numbers, gaps between them; *labels* for each; *words* are what the numbers mean."""

    numbers: np.ndarray[Any, np.dtype[np.int64]]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    words: list[tuple[str, bool]]


def encode(texts: Iterable[Annotated]) -> Encoded:
    """Split *texts* into words and give each its label; a word that a mark only touches has the mark's label."""
    known: dict[tuple[str, bool], int] = {("", False): 0}
    numbers, labels = [0] * BETWEEN, [_IGNORED] * BETWEEN
    for text in texts:
        marks = iter((*text.marks, (len(text.text) + 1, len(text.text) + 1, OUTSIDE)))
        start, end, label = next(marks)
        for token in split_tokens(text.text):
            while token.start >= end:
                start, end, label = next(marks)
            inside = token.start + len(token.text) > start
            key = (token.text, token.spaced)
            numbers.append(known.setdefault(key, len(known)))
            labels.append(_NUMBERS.get(label, _IGNORED) if inside else 0)
        numbers += [0] * BETWEEN
        labels += [_IGNORED] * BETWEEN
    return Encoded(np.array(numbers), np.array(labels), list(known))


def make_vocabulary(texts: Iterable[Annotated], plain: Mapping[str, int], spec: TaggerSpec) -> Vocabulary:
    """Return the words that are frequent in *texts*, and which are no part of a name: those of *plain* and others.

    A word is plain when it is frequent outside of marks and next to never inside.
    """
    outside: Counter[tuple[str, bool]] = Counter()
    inside: Counter[tuple[str, bool]] = Counter()
    for text in texts:
        numbers, labels, words = encode([text])
        for number, label in zip(numbers.tolist(), labels.tolist(), strict=True):
            if number and label != _IGNORED:
                token = words[number][0]
                (inside if label else outside)[Vocabulary.normalise(token), token[:1].isupper()] += 1
    return _choose(outside, inside, plain, spec)


def _choose(
    outside: Counter[tuple[str, bool]], inside: Counter[tuple[str, bool]], plain: Mapping[str, int], spec: TaggerSpec
) -> Vocabulary:
    total: Counter[str] = Counter()
    for (word, _), count in [*outside.items(), *inside.items()]:
        total[word] += count
    frequent = sorted(total, key=lambda word: (-total[word], word))[: spec.words]
    words = sorted(word for word in frequent if total[word] >= spec.frequent)

    def is_plain(word: str, case: int) -> bool:
        seen, told = outside[word, case == _TITLE], inside[word, case == _TITLE]
        if plain.get(word, 0) & case:
            return told <= spec.rare * 10 * max(seen, 10)
        return seen >= spec.plain and told <= spec.rare * seen

    marks = {word: _LOWER * is_plain(word, _LOWER) + _TITLE * is_plain(word, _TITLE) for word in {*words, *plain}}
    return Vocabulary(words, {word: mark for word, mark in sorted(marks.items()) if mark})


class _Network(nn.Module):
    """The tagger with gradients; the names of its weights are those of the file."""

    def __init__(self, rows: int, spec: TaggerSpec) -> None:
        super().__init__()
        width, hidden, narrow = spec.width, spec.hidden, spec.narrow
        self.rows = nn.Embedding(rows, width, padding_idx=NOTHING)
        nn.init.normal_(self.rows.weight, std=0.3 / 14**0.5)  # a word is the sum of up to 11 rows
        nn.init.zeros_(self.rows.weight[NOTHING])
        self.near = nn.Linear(width * (2 * NEAR + 1), hidden)
        self.squeeze = nn.Linear(hidden, narrow, bias=False)
        self.far = nn.Linear(hidden + narrow * (2 * FAR + 1), hidden)
        self.out = nn.Linear(hidden, len(LABELS))
        self.drop = nn.Dropout(spec.dropout)

    def forward(self, rows: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Return the scores (n, labels) of the line *words* (n,), indices into *rows* (unique, 12) of row numbers."""
        summed = self.rows(rows).sum(1)[words]  # (n, width)
        near = torch.relu(self.near(_window(self.drop(summed), NEAR)))  # (n, hidden)
        wide = _window(self.squeeze(near), FAR)  # (n, narrow * 9)
        far = torch.relu(self.far(torch.cat([near, wide], 1)))  # (n, hidden)
        return self.out(self.drop(far))  # type: ignore[no-any-return]  # torch.nn is typed Any


def _window(line: torch.Tensor, reach: int) -> torch.Tensor:
    padded = nn.functional.pad(line, (0, 0, reach, reach))
    return torch.cat([padded[offset : offset + len(line)] for offset in range(2 * reach + 1)], 1)


class Fitted(NamedTuple):
    """A trained tagger: its *vocabulary*, its *weights* by name, half precision, and the *loss* of the last epoch."""

    vocabulary: Vocabulary
    weights: dict[str, np.ndarray[Any, Any]]
    loss: float


def fit_tagger(
    texts: Sequence[Annotated],
    plain: Mapping[str, int],
    spec: TaggerSpec,
    *,
    told: Callable[[Told], None] = lambda _: None,
) -> Fitted:
    """Train on *texts* by *spec*; the same texts, settings and machine give the same weights.

    *plain* says of words that are no part of a name how they are written then, as `Vocabulary` has it.
    """
    torch.manual_seed(spec.seed)
    torch.set_num_threads(spec.threads)
    vocabulary = make_vocabulary(texts, plain, spec)
    ordered = list(texts)
    random.Random(spec.seed).shuffle(ordered)  # noqa: S311 - an order, not a secret
    data = encode(ordered)
    network = _Network(vocabulary.size, spec)
    loss = _run(network, _Batches(data, vocabulary, spec), spec, told)
    return Fitted(vocabulary, _weights(network), loss)


def _tabulate(words: list[tuple[str, bool]], vocabulary: Vocabulary) -> torch.Tensor:
    rows = [vocabulary.rows(token, spaced=spaced) for token, spaced in words]
    widest = max(map(len, rows))
    return torch.tensor([row + [NOTHING] * (widest - len(row)) for row in rows])


class _Batches:
    """The line of words in parts, shuffled anew each epoch; some words lose their row each time."""

    def __init__(self, data: Encoded, vocabulary: Vocabulary, spec: TaggerSpec) -> None:
        self._numbers, self._labels = torch.from_numpy(data.numbers), torch.from_numpy(data.labels)
        self._table = _tabulate(data.words, vocabulary)
        could = [vocabulary.could_be(token) for token, _ in data.words]
        able = torch.tensor([each in {Could.NAME, Could.NUMBER} for each in could])
        # Only words that could be names are scored first, and only they have values that are new to everybody.
        self._lose = torch.where(able, spec.forget, spec.forget / 10)
        self._weight = torch.where(able, 1.0, 0.3)
        self._size = spec.batch
        self._source = torch.Generator().manual_seed(spec.seed)

    def __len__(self) -> int:
        return (len(self._numbers) + self._size - 1) // self._size

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield row numbers (unique, rows), words (n,) as indices into them, labels (n,), weights (n,)."""
        for place in torch.randperm(len(self), generator=self._source).tolist():
            part = slice(place * self._size, (place + 1) * self._size)
            line = self._numbers[part]
            lost = (torch.rand(len(line), generator=self._source) < self._lose[line]).long()
            unique, words = torch.unique(line * 2 + lost, return_inverse=True)
            rows = self._table[unique // 2].clone()
            rows[:, 0] = torch.where((unique % 2 == 1) & (rows[:, 0] >= FIRST_ROWS), UNKNOWN, rows[:, 0])
            yield rows, words, self._labels[part], self._weight[line]


def _run(network: _Network, batches: _Batches, spec: TaggerSpec, told: Callable[[Told], None]) -> float:
    optimiser = torch.optim.Adam(network.parameters(), lr=spec.learning_rate)
    steps = len(batches) * spec.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, spec.learning_rate, total_steps=steps, pct_start=0.15)
    mean = 0.0
    for epoch in range(spec.epochs):
        total = 0.0
        for rows, words, labels, weights in batches:
            each = nn.functional.cross_entropy(network(rows, words), labels, reduction="none", ignore_index=_IGNORED)
            loss = (each * weights).sum() / weights[labels >= 0].sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            optimiser.step()
            schedule.step()
            total += loss.item()
        mean = total / len(batches)
        told(Told(epoch + 1, spec.epochs, mean))
    return mean


def _weights(network: _Network) -> dict[str, np.ndarray[Any, Any]]:
    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    hidden = state["near.bias"].shape[0]
    near = state["near.weight"].T.reshape(2 * NEAR + 1, -1, hidden)  # (offsets, width, hidden)
    found = {
        "rows": state["rows.weight"],
        "near": near,
        "near_bias": state["near.bias"],
        "squeeze": state["squeeze.weight"].T,
        "far_own": state["far.weight"].T[:hidden],
        "far_wide": state["far.weight"].T[hidden:],
        "far_bias": state["far.bias"],
        "out": state["out.weight"].T,
        "out_bias": state["out.bias"],
    }
    return {name: np.ascontiguousarray(value.astype(np.float16)) for name, value in found.items()}


def write_tagger(path: Path, fitted: Fitted, limits: dict[str, dict[str, float]]) -> None:
    """Write *fitted* as the safetensors file *path*, with *limits* by level and label (`other` for the rest)."""
    from safetensors.numpy import save

    tensors = dict(fitted.weights)
    tensors["vocabulary"] = np.frombuffer(msgspec.json.encode(fitted.vocabulary.words), np.uint8)
    tensors["plain"] = np.frombuffer(msgspec.json.encode(fitted.vocabulary.plain), np.uint8)
    for level, by_label in limits.items():
        # Nothing is ever more likely than 1: what is outside of names is never told.
        told = [2.0, *(by_label.get(label, by_label["other"]) for label in LABELS[1:])]
        tensors[f"limits.{level}"] = np.array(told, np.float32)
    write_atomic(path, save(tensors, metadata={"labels": " ".join(LABELS)}))

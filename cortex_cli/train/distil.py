"""Distillation: a small model learns the texts of a larger one and, where both read one vocabulary, its distributions.

Methods: sequence-level, Kim and Rush 2016, arXiv:1606.07947: the teacher's answers are learned like any others.
Logit-level, Hinton et al. 2015, arXiv:1503.02531: beside them the student learns the teacher's softened distribution,
(1 - alpha) CE(text) + alpha T^2 KL(teacher_T || student_T), the sum over the learned positions.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.models.bases import load_network
from cortex_cli.models.chat import ChatTokenizer, digest_tokenizer
from cortex_cli.models.lora import merge_adapter
from cortex_cli.train.batches import Row
from cortex_cli.train.language import LanguageLoss, Layout, lay_out
from cortex_cli.train.loop import Prepared
from cortex_cli.train.objectives import DistilSpec
from cortex_cli.train.sft import encode_examples
from cortex_cli.train.spec import TrainSpec

__all__ = ["DistilLoss", "load_teacher", "prepare"]

# Logits of one chunk where the recipe names no size: 2^24 in float32 are 64 MB, and about six such tensors live at once.
_LOGITS = 1 << 24


class DistilLoss:
    """The loss of the student in *language* on texts and on the distributions of *teacher*, whose parameters stay.

    *chunk* positions have their logits in memory at once (0: as many as take 64 MB).
    """

    def __init__(self, language: LanguageLoss, teacher: Any, spec: DistilSpec, chunk: int = 0) -> None:
        self.network = language.network
        self._language = language
        self._teacher = teacher
        self._heads = language.network.get_output_embeddings(), teacher.get_output_embeddings()
        rows = [head.weight.shape[0] for head in self._heads]
        # Models of one family round the vocabulary up to different sizes; what is beyond stands for no token.
        self._shared = min(rows)
        self._chunk = chunk or max(1, _LOGITS // max(rows))
        self._alpha = spec.alpha
        self._temperature = spec.temperature

    def weigh(self, row: Row) -> float:
        """Return the number of learned ids of *row*."""
        return row.terms

    def loss(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the sum over the learned ids of *rows*, both parts weighed."""
        layout = lay_out(rows, self._language.pad, next(self.network.parameters()).device)
        states = self._language.states(layout)  # (learned, width of the student)
        taught = self._teach(layout)  # (learned, width of the teacher)
        parts = [slice(start, start + self._chunk) for start in range(0, len(states), self._chunk)]
        if len(parts) == 1:
            return self._part(states, taught, layout.wanted)
        # Only the states of a chunk are kept for the backward pass; its logits are computed again there.
        sums = [
            checkpoint(self._part, states[part], taught[part], layout.wanted[part], use_reentrant=False)
            for part in parts
        ]
        return torch.stack(sums).sum()

    @torch.no_grad()
    def _teach(self, layout: Layout) -> torch.Tensor:
        # The same ids, padding included: both look back only, so no position that counts sees any of it.
        hidden = self._teacher.base_model(input_ids=layout.ids, use_cache=False).last_hidden_state  # (B, T, width)
        return hidden.flatten(0, 1)[layout.picked]  # type: ignore[no-any-return]

    def _part(self, states: torch.Tensor, taught: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        student_head, teacher_head = self._heads
        logits = student_head(states).float()  # (chunk, vocabulary of the student)
        with torch.no_grad():
            told = teacher_head(taught).float()[:, : self._shared] / self._temperature
            target = told.log_softmax(-1)  # (chunk, shared vocabulary)
        softened = (logits[:, : self._shared] / self._temperature).log_softmax(-1)
        divergence = functional.kl_div(softened, target, log_target=True, reduction="sum")  # KL(target || softened)
        text = functional.cross_entropy(logits, wanted, reduction="sum")  # wanted: (chunk,)
        # A softened gradient is smaller by T^2: without the factor alpha would mean another weight at each T.
        return (1 - self._alpha) * text + self._alpha * self._temperature**2 * divergence


def prepare(examples: Sequence[Example], tokenizer: ChatTokenizer, network: Any, spec: TrainSpec) -> Prepared:
    """Prepare distillation of *network* on *examples*, whose answers are the teacher's.

    At the level "logits" the teacher of *spec* is a folder as `load_teacher` reads it.
    """
    rows, counts = encode_examples(examples, tokenizer, spec.loop.window)
    language = LanguageLoss(network, tokenizer.pad, spec.loop)
    if spec.distil.level == "sequence":
        return Prepared(language, rows, counts)
    teacher = load_teacher(Path(spec.distil.teacher), tokenizer, spec.loop.dtype)
    teacher.to(next(network.parameters()).device)
    return Prepared(DistilLoss(language, teacher, spec.distil, spec.loop.chunk), rows, counts)


def load_teacher(folder: Path, tokenizer: ChatTokenizer, dtype: str) -> Any:
    """Load the model in *folder*, with the adapter in its `adapter/` merged if there is one, frozen.

    Raises `UsageError` when it is no model, or reads another vocabulary than *tokenizer*: then a position of one
    distribution is another token in the other.
    """
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(
            f"teacher '{folder}' is no model's folder, so its distributions cannot be learned",
            hint='set level = "sequence" in [train.distil]',
            state="nothing was trained",
        )
    if digest_tokenizer(folder) != digest_tokenizer(tokenizer.folder):
        raise UsageError(
            f"teacher '{folder}' reads another vocabulary than the base '{tokenizer.folder.name}'",
            hint='set level = "sequence" in [train.distil], which needs no shared vocabulary',
            state="nothing was trained",
        )
    network = load_network(folder, dtype=dtype)
    if (folder / "adapter").is_dir():
        merge_adapter(network, folder / "adapter")
    return network.requires_grad_(False)

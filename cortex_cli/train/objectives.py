"""Typed tables of the objectives beside supervised fine-tuning: preference, masked prediction, distillation, reward."""

from typing import Literal

import msgspec

__all__ = ["DistilSpec", "GrpoSpec", "MntpSpec", "PreferenceSpec"]


class PreferenceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train.preference]` table: DPO from pairs, or KTO from answers that are wanted or not.

    *beta* is how closely the policy stays with where it began. *smoothing* is the share of pairs taken to be labelled
    the wrong way round (DPO). *wanted* and *unwanted* weigh the two sides of KTO; 0 balances them by their counts.
    *sft* adds that share of the plain loss on wanted answers, which keeps them from becoming less likely.
    """

    loss: Literal["dpo", "kto"] = "dpo"
    beta: float = 0.1
    smoothing: float = 0.0
    wanted: float = 0.0
    unwanted: float = 0.0
    sft: float = 0.0

    def __post_init__(self) -> None:
        if self.beta <= 0 or not 0 <= self.smoothing < 0.5 or min(self.wanted, self.unwanted, self.sft) < 0:
            raise ValueError("beta must be above 0, smoothing in [0, 0.5), weights not negative")


class MntpSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train.mntp]` table: masked next-token prediction with attention both ways, for a text encoder.

    *mask* is the share of tokens hidden, *mask_text* the text whose first token hides them, *pooling* how the vectors of a
    text's tokens become one. *predict* weighs the prediction of hidden tokens, *contrast* the contrastive loss beside it:
    a text is to be nearer to its positive than to the rest of its batch. *positives* are texts with the same answer,
    where a text has one, or "views", the text itself with other tokens hidden (SimCSE). *hashed* is the share of the
    hashed vectors in what `embed` then gives.
    """

    mask: float = 0.2
    mask_text: str = "_"
    pooling: Literal["mean", "last"] = "mean"
    predict: float = 1.0
    contrast: float = 0.0
    positives: Literal["views", "answers"] = "views"
    temperature: float = 0.05
    hashed: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.mask < 1 or not self.mask_text or self.temperature <= 0:
            raise ValueError("mask is a share in (0, 1), mask_text not empty, temperature above 0")
        if min(self.predict, self.contrast) < 0 or not self.predict + self.contrast or not 0 <= self.hashed < 1:
            raise ValueError("predict and contrast are weights, not both 0; hashed is a share below 1")


class DistilSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train.distil]` table: answers of *teacher*, a model of the registry or `variant:ID`, become what is learned.

    At *level* "sequence" its texts are learned; at "logits", where both read the same vocabulary, its distributions,
    softened by *temperature*, with weight *alpha* beside the texts. Each prompt is asked *samples* times, and an answer
    is kept when at least *agreement* of them are equal by the agent's judge. *max_cost* in dollars and *max_calls*
    (0: none) end the asking; what was answered is kept and never asked again.
    """

    teacher: str = ""
    level: Literal["sequence", "logits"] = "sequence"
    samples: int = 1
    agreement: float = 0.5
    heat: float = 0.7
    max_tokens: int = 256
    max_cost: float = 0.0
    max_calls: int = 0
    temperature: float = 2.0
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 <= self.agreement <= 1 or self.max_tokens < 1:
            raise ValueError("samples and max_tokens must be above 0, agreement a share")
        if self.temperature <= 0 or not 0 <= self.alpha <= 1 or min(self.max_cost, self.max_calls, self.heat) < 0:
            raise ValueError("temperature must be above 0, alpha a share, limits not negative")


class GrpoSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train.grpo]` table: answers of the model itself, each rewarded against others to the same prompt.

    Each prompt is answered *group* times at temperature *heat*, with at most *max_tokens*; the agent's judge is the
    reward. *beta* weighs the distance from where training began. Only the engine trl has this objective.
    """

    group: int = 4
    heat: float = 1.0
    max_tokens: int = 64
    beta: float = 0.0

    def __post_init__(self) -> None:
        if self.group < 2 or self.heat <= 0 or self.max_tokens < 1 or self.beta < 0:
            raise ValueError("group must be above 1, heat and max_tokens above 0, beta not negative")

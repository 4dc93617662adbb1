"""Typed tables of a training recipe: `[train]` for an adapter, `[pretrain]` for a base, `[tagger]` for names."""

from typing import Literal

import msgspec

__all__ = ["LoopSpec", "LoraSpec", "PretrainSpec", "ShapeSpec", "TaggerSpec", "TextSpec", "TrainSpec"]

_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoopSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the loop runs, for every objective.

    *batch_tokens* is padded tokens per optimiser step; *warmup* and *hold* are fractions of the run
    at rising and at full learning rate, the rest falls in a straight line to *floor* of it.
    *max_seconds* (0: none) ends a run that is slower than planned and lets the learning rate fall
    in time; a run that it ended is not reproducible to the byte on another machine.
    """

    learning_rate: float = 1e-2
    batch_tokens: int = 2048
    epochs: float = 4.0
    warmup: float = 0.03
    hold: float = 0.2
    floor: float = 0.02
    weight_decay: float = 0.0
    clip: float = 1.0
    window: int = 256
    seed: int = 0
    max_seconds: float = 0.0
    checkpoint_every: int = 500
    threads: int = 0

    def __post_init__(self) -> None:
        if min(self.learning_rate, self.batch_tokens, self.epochs, self.window) <= 0:
            raise ValueError("learning_rate, batch_tokens, epochs and window must be above 0")
        if self.warmup < 0 or self.hold < 0 or self.warmup + self.hold > 1:
            raise ValueError("warmup and hold are fractions of the run and must not exceed 1 together")


class LoraSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of a low-rank adapter."""

    rank: int = 32
    alpha: float = 64.0
    targets: tuple[str, ...] = _LINEARS

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not self.targets:
            raise ValueError("rank and alpha must be above 0, and targets must name a layer")


class TrainSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train]` table: an adapter for *agent* over *base* from a dataset version.

    *dataset* is a name (its newest version) or `name/v0001`.
    """

    agent: str
    dataset: str
    base: str = "cortex-tiny"
    objective: Literal["sft"] = "sft"
    min_examples: int = 100
    lora: LoraSpec = LoraSpec()
    loop: LoopSpec = LoopSpec()


class TextSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of a base's text: a pack, how it is read, and how many copies per epoch.

    *share* below 1 takes that fraction of the documents, chosen by hash; above 1 repeats them.
    """

    pack: str
    reader: Literal["dialogue", "intent", "utterance", "keyword", "command", "solution", "subject"]
    share: float = 1.0


class ShapeSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of a Llama: widths in units, *vocabulary* in tokens, *context* in tokens."""

    vocabulary: int = 4096
    hidden: int = 320
    layers: int = 4
    heads: int = 5
    feed_forward: int = 768
    context: int = 512

    def __post_init__(self) -> None:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise ValueError("hidden must be a multiple of heads, with an even width per head")


class PretrainSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[pretrain]` table: a base from scratch, tokenizer included, on named texts."""

    name: str
    texts: tuple[TextSpec, ...]
    shape: ShapeSpec = ShapeSpec()
    loop: LoopSpec = LoopSpec(learning_rate=3e-3, batch_tokens=4096, window=192, weight_decay=0.1)
    held_out: float = 0.005

    def __post_init__(self) -> None:
        if not self.texts:
            raise ValueError("texts must name at least one source")
        if not 0 < self.held_out < 0.5:
            raise ValueError("held_out must be between 0 and 0.5")


class TaggerSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[tagger]` table: the tagger that finds names, trained from marked and clean texts.

    *swaps* is copies of each marked text with other values, *fillings* copies of each template, *clean* the most
    texts per clean pack. *words* is the size of the vocabulary; a word of it was seen *frequent* times. A word is plain
    when it was seen *plain* times outside of names, and inside at most *rare* as often. *forget* is the chance that
    a word is read as one that nobody knows. *limits* gives, per level and label, the probability to tell it from; the
    label `other` stands for those that are not named.
    """

    name: str
    marked: tuple[str, ...]
    templates: str
    swaps: int = 3
    fillings: int = 16
    clean: int = 5000
    words: int = 14000
    frequent: int = 3
    plain: int = 3
    rare: float = 0.01
    forget: float = 0.3
    width: int = 40
    hidden: int = 32
    narrow: int = 8
    dropout: float = 0.2
    learning_rate: float = 4e-3
    batch: int = 16384
    epochs: int = 6
    seed: int = 0
    threads: int = 1
    limits: dict[str, dict[str, float]] = msgspec.field(
        default_factory=lambda: {"standard": {"other": 0.1}, "strict": {"other": 0.03}}
    )

    def __post_init__(self) -> None:
        if not self.marked or any("other" not in limits for limits in self.limits.values()):
            raise ValueError("marked must name a pack, and every level of limits the label other")
        if not {"standard", "strict"} <= self.limits.keys():
            raise ValueError("limits must have the levels standard and strict")

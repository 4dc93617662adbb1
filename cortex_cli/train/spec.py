"""Typed tables of a training recipe: `[train]` for an adapter, `[pretrain]` for a base, `[tagger]` for names."""

from typing import Literal

import msgspec

from cortex_cli.train.objectives import DistilSpec, GrpoSpec, MntpSpec, PreferenceSpec
from cortex_cli.train.study import PerSpec, PredictSpec, SearchSpec

__all__ = ["LoopSpec", "LoraSpec", "PretrainSpec", "RaySpec", "ShapeSpec", "TaggerSpec", "TextSpec", "TrainSpec"]

_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class LoopSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the loop runs, for every objective.

    *batch_tokens* is padded tokens per optimiser step, *micro_tokens* of them at once (0: all; halved when memory
    runs out); *plan* puts rows of like length together or packs them into rows of *window* tokens. *warmup* and
    *hold* are fractions of the run at rising and at full learning rate, the rest falls in a straight line to
    *floor* of it. *max_seconds* (0: none) ends a run that is slower than planned and lets the learning rate fall
    in time; a run that it ended is not reproducible to the byte on another machine. *checkpointing* recomputes
    activations to save memory; *chunk* is labelled tokens whose logits are held at once (0: all of a micro-batch).
    *keep* is how many snapshots of the adapter, evenly spaced, stay for attribution.
    """

    learning_rate: float = 1e-2
    batch_tokens: int = 2048
    micro_tokens: int = 0
    plan: Literal["buckets", "packed"] = "buckets"
    epochs: float = 4.0
    warmup: float = 0.03
    hold: float = 0.2
    floor: float = 0.02
    weight_decay: float = 0.0
    clip: float = 1.0
    window: int = 256
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    checkpointing: bool = False
    chunk: int = 0
    compile: bool = False
    seed: int = 0
    max_seconds: float = 0.0
    checkpoint_every: int = 500
    keep: int = 4
    threads: int = 0

    def __post_init__(self) -> None:
        if min(self.learning_rate, self.batch_tokens, self.epochs, self.window) <= 0:
            raise ValueError("learning_rate, batch_tokens, epochs and window must be above 0")
        if self.warmup < 0 or self.hold < 0 or self.warmup + self.hold > 1:
            raise ValueError("warmup and hold are fractions of the run and must not exceed 1 together")
        if min(self.micro_tokens, self.chunk, self.keep, self.threads) < 0 or self.micro_tokens > self.batch_tokens:
            raise ValueError(
                "micro_tokens, chunk, keep and threads must not be negative, micro_tokens at most batch_tokens"
            )


class LoraSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of a low-rank adapter: *kind* is plain LoRA, rank-stabilised (alpha / sqrt(rank)), or with magnitudes (DoRA).

    *bits* 4 holds the frozen base in 4 bits (QLoRA), which needs a GPU.
    """

    rank: int = 32
    alpha: float = 64.0
    targets: tuple[str, ...] = _LINEARS
    kind: Literal["lora", "rslora", "dora"] = "lora"
    bits: Literal[4, 16] = 16

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not self.targets:
            raise ValueError("rank and alpha must be above 0, and targets must name a layer")


class RaySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How `engine = "ray"` spreads the loop: data parallel, or with the model in shards where it does not fit."""

    workers: int = 2
    strategy: Literal["ddp", "fsdp"] = "ddp"
    failures: int = 2

    def __post_init__(self) -> None:
        if self.workers < 1 or self.failures < 0:
            raise ValueError("workers must be above 0 and failures not negative")


class TrainSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[train]` table: an adapter for *agent* over *base* from a dataset version.

    *dataset* is a name (its newest version) or `name/v0001`. *start* is an adapter id to go on from, or "latest" for
    the agent's newest over the same base (the base itself when there is none); *replay* is then the share of
    examples drawn from what that adapter had learned before. *min_new* (0: none asked for) is how many examples there
    must be that the agent's newest adapter has not seen. *mixture* is the share that is kept of examples that are
    neither demonstrations nor corrections. *track* sends metrics to trackers beside the JSON lines. Only the table of
    the chosen objective is read.
    """

    agent: str
    dataset: str
    base: str = "cortex-tiny"
    objective: Literal["sft", "preference", "mntp", "distil", "grpo"] = "sft"
    engine: Literal["native", "trl", "ray"] = "native"
    min_examples: int = 100
    min_new: int = 0
    mixture: float = 1.0
    start: str = ""
    replay: float = 0.2
    track: tuple[Literal["mlflow", "tensorboard", "otlp"], ...] = ()
    lora: LoraSpec = LoraSpec()
    loop: LoopSpec = LoopSpec()
    preference: PreferenceSpec = PreferenceSpec()
    mntp: MntpSpec = MntpSpec()
    distil: DistilSpec = DistilSpec()
    grpo: GrpoSpec = GrpoSpec()
    ray: RaySpec = RaySpec()
    search: SearchSpec | None = None
    predict: PredictSpec | None = None
    per: PerSpec | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.replay < 1:
            raise ValueError("replay is a share of the examples, at least 0 and below 1")
        if not 0 < self.mixture <= 1 or self.min_new < 0:
            raise ValueError("mixture is a share above 0, min_new not negative")
        if self.objective == "distil" and not self.distil.teacher:
            raise ValueError("the objective distil asks for [train.distil] teacher")
        if self.objective == "grpo" and self.engine != "trl":
            raise ValueError("the objective grpo needs engine = 'trl'")


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

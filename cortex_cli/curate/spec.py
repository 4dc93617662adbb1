"""The `[curate]` table of a recipe, with a table of its own for every step."""

from typing import Annotated, Literal

import msgspec

__all__ = [
    "Balance",
    "CurateSpec",
    "Decontaminate",
    "Duplicates",
    "FeedbackSpec",
    "Pairs",
    "QualitySpec",
    "Source",
    "Split",
]

Source = Literal["accepted", "demonstration", "supervised", "quality"]
# As in `domain.names`: both names become paths in the registry.
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?\Z")]
# The dataset may also be left empty.
_NameOrNone = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?)?\Z")]
_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(ge=0.0)]


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of the examples per part; together 1. A part whose share is 0 does not exist."""

    train: _Share = 0.8
    valid: _Share = 0.1
    test: _Share = 0.1

    def __post_init__(self) -> None:
        """Refuse shares that do not add up."""
        if abs(self.train + self.valid + self.test - 1.0) > 1e-9:
            raise ValueError(f"shares add up to {self.train + self.valid + self.test:g}, expected 1")


class QualitySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rule for answers that nobody judged; what is not given is the preset's. See `quality` for the presets.

    *min_quality* is on the scale from *low* to *high*; a record's own quality is compared after both were mapped to
    [0, 1]. *max_seconds* 0 is no limit. *unknown* says what happens to a record without the quality or the duration
    that a limit asks for.
    """

    preset: Literal["none", "seeds"] = "none"
    success: bool | None = None
    output: bool | None = None
    no_error: bool | None = None
    max_retries: _Count | None = None
    min_quality: float | None = None
    low: float = 1.0
    high: float = 5.0
    min_seconds: _Seconds | None = None
    max_seconds: _Seconds | None = None
    unknown: Literal["reject", "pass"] = "reject"

    def __post_init__(self) -> None:
        """Refuse a scale without extent, and a limit outside of it."""
        if not self.low < self.high:
            raise ValueError(f"the scale goes from {self.low:g} to {self.high:g}, expected low < high")
        if self.min_quality is not None and not self.low <= self.min_quality <= self.high:
            raise ValueError(f"min_quality {self.min_quality:g} is not on the scale {self.low:g} to {self.high:g}")


class FeedbackSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How judgements become a verdict. Of one judge the last word counts, by the order of the journal.

    *min_score* is on [0, 1]: scores count once it is set, after mapping through their scale, and a score without a
    scale never does. With *strict* a score must be above it, not at it. *scores* of several judges are averaged, or
    the lowest decides. Then a yes is the score 1, a no the score 0, and an answer's own outcome is not enough.
    Preset `seeds` is `success and score > 0.9`. *judges* is how many must have spoken; *disagreement* says
    what follows from a yes and a no: nobody learns from it, or most decide. With *comments* `hold`, an answer that
    somebody commented on waits for a person. *annotators* are those who are listened to.
    """

    preset: Literal["verdicts", "seeds"] = "verdicts"
    min_score: _Share | None = None
    strict: bool = True
    scores: Literal["mean", "lowest"] = "mean"
    success: bool | None = None
    judges: Annotated[int, msgspec.Meta(ge=1)] = 1
    disagreement: Literal["unanimous", "majority"] = "unanimous"
    comments: Literal["ignore", "hold"] = "ignore"
    annotators: Annotated[tuple[Literal["human", "replayed", "model", "code"], ...], msgspec.Meta(min_length=1)] = (
        "human",
        "replayed",
        "model",
        "code",
    )

    @property
    def threshold(self) -> float | None:
        """Return the score on [0, 1] that is asked for; None when scores do not count."""
        return 0.9 if self.min_score is None and self.preset == "seeds" else self.min_score

    @property
    def needs_success(self) -> bool:
        """Return whether an answer must have succeeded besides being judged right."""
        return self.preset == "seeds" if self.success is None else self.success


class Duplicates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which examples count as the same: always those with equal prompt and answer, and by *method* near ones.

    *similarity* is the least Jaccard index of two near-duplicates. *prefixes* collapses a conversation into the
    longer one that begins with it.
    """

    method: Literal["dedup/v1"] = "dedup/v1"
    near: bool = True
    similarity: Annotated[float, msgspec.Meta(ge=0.5, le=1.0)] = 0.8
    prefixes: bool = True


class Pairs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Preference pairs besides corrections: accepted and rejected answers to the same prompt.

    At most *per_prompt* for each prompt; 0 makes none.
    """

    per_prompt: _Count = 1


class Balance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most examples of one domain: *max_per_domain*, and *max_share* of all that are kept; 0 is no limit."""

    by: Literal["domain"] = "domain"
    max_per_domain: _Count = 0
    max_share: _Share = 0.0


class Decontaminate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evaluation suites whose items must not be learned: packs, `dataset:test`, or JSON Lines files.

    *ngram* is how many tokens in a row give a longer item away; items from *shortest* tokens up to that length are
    looked for as a whole, and shorter ones only as a whole prompt.
    """

    suites: tuple[str, ...] = ()
    ngram: Annotated[int, msgspec.Meta(ge=8, le=20)] = 13
    shortest: Annotated[int, msgspec.Meta(ge=3, le=8)] = 5


class CurateSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a dataset is made of.

    *dataset* is its name, by default the agent's. *sources* say which answers are trusted: accepted ones,
    demonstrations by a human, imported training files, and what passed the quality rule. *domains* are those
    wanted, all when empty. *sidechains* takes the work of sub-agents too. *salt* decides the split; *max_chars*
    bounds prompt and answer together; *limit* is the most examples kept, 0 = all.
    """

    agent: _Name
    dataset: _NameOrNone = ""
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)] = (
        "accepted",
        "demonstration",
        "supervised",
        "quality",
    )
    domains: tuple[str, ...] = ()
    sidechains: bool = False
    quality: QualitySpec = QualitySpec()
    feedback: FeedbackSpec = FeedbackSpec()
    duplicates: Duplicates = Duplicates()
    pairs: Pairs = Pairs()
    balance: Balance = Balance()
    decontaminate: Decontaminate = Decontaminate()
    split: Split = Split()
    salt: str = "cortex"
    max_chars: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    limit: _Count = 0

    def __post_init__(self) -> None:
        """Refuse a quality rule whose answers are not among the sources."""
        if self.quality.preset != "none" and "quality" not in self.sources:
            raise ValueError(
                "[quality] has a preset, but 'quality' is not among the sources, so nothing would come of it"
            )

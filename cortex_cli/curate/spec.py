"""The `[curate]` table of a recipe."""

from typing import Annotated, Literal

import msgspec

__all__ = ["CurateSpec", "Source", "Split"]

Source = Literal["accepted", "demonstration"]
# As in `domain.names`: both names become paths in the registry.
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?\Z")]
# The dataset may also be left empty.
_NameOrNone = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?)?\Z")]
_Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of the examples per part; together 1. A part whose share is 0 does not exist."""

    train: _Share = 0.8
    valid: _Share = 0.1
    test: _Share = 0.1

    def __post_init__(self) -> None:
        """Refuse shares that do not add up."""
        if abs(self.train + self.valid + self.test - 1.0) > 1e-9:
            raise ValueError(f"shares add up to {self.train + self.valid + self.test:g}, expected 1")


class CurateSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a dataset is made of.

    *dataset* is its name, by default the agent's. *sources* say which answers are trusted: accepted ones, and
    demonstrations by a human. *salt* decides the split; *max_chars* bounds prompt and answer together; *limit*
    is the most examples kept, 0 = all.
    """

    agent: _Name
    dataset: _NameOrNone = ""
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)] = ("accepted", "demonstration")
    split: Split = Split()
    salt: str = "cortex"
    max_chars: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    limit: Annotated[int, msgspec.Meta(ge=0)] = 0

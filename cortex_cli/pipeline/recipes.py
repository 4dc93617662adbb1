"""Recipes: TOML files that say what a run does, stage by stage, each stage a typed table."""

from pathlib import Path
from typing import Literal

import msgspec

from cortex_cli.curate.spec import CurateSpec
from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Policy
from cortex_cli.domain.tables import parse_toml
from cortex_cli.evaluate.gates import GateSpec
from cortex_cli.train.spec import PretrainSpec, TaggerSpec, TrainSpec

__all__ = ["EvaluateSpec", "Recipe", "ReleaseSpec", "load_recipe", "stage_digest"]


class EvaluateSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[evaluate]` table: the *suite* that decides, a dataset part (`dispatch:test`) or a file, and gates.

    Each of *more* suites must reach the threshold that it names itself. The rival is the champion, or *against*, another
    variant. Where a gate is undecided, *review* cases of the least confidence are put before people (0: none).
    """

    suite: str
    more: tuple[str, ...] = ()
    against: str = ""
    review: int = 0
    gates: GateSpec = GateSpec()


class ReleaseSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[release]` table: how a challenger is compared with the champion and when that decides."""

    mode: Literal["shadow"] = "shadow"
    policy: Policy = Policy()


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe: one optional table per stage, named by the stage's verb. Read in this order."""

    summary: str = ""
    curate: CurateSpec | None = None
    pretrain: PretrainSpec | None = None
    tagger: TaggerSpec | None = None
    train: TrainSpec | None = None
    evaluate: EvaluateSpec | None = None
    release: ReleaseSpec | None = None


def load_recipe(path: Path) -> Recipe:
    """Read and check the recipe at *path*; raise `FaultsError` with every fault in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"recipe '{path}' does not exist", hint="cortex recipe ls") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"recipe '{path}' is not UTF-8: {error.reason}", hint="cortex recipe ls") from error
    return parse_toml(text, Recipe, source=str(path))


def stage_digest(spec: msgspec.Struct) -> str:
    """Return the digest of one stage's table, defaults included: equal settings, equal digest."""
    return digest_value(msgspec.to_builtins(spec))

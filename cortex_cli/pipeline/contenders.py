"""A variant made ready to be measured: its model opened once, its answers kept, its adapter's folder at hand."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from cortex_cli.domain.digests import digest_value, hex_of
from cortex_cli.domain.examples import Generate, Prompt
from cortex_cli.domain.manifests import Adapter, Model, Prices, Variant
from cortex_cli.evaluate.answered import Answered
from cortex_cli.evaluate.leakage import Score
from cortex_cli.pipeline.job import draft_challenger
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.variants import PromptedModel, find_base, link_adapter, open_variant, read_prompt
from cortex_cli.registry.snapshot import Snapshot

if TYPE_CHECKING:
    from cortex_cli.models.generation import LocalModel

__all__ = [
    "Contender",
    "bare_base",
    "find_contender",
    "find_local",
    "name_contender",
    "open_model",
    "open_remote",
    "scorer_of",
]

_REMOTE = frozenset({"api", "ollama"})


@dataclass(frozen=True, slots=True)
class Contender:
    """A variant with its model's manifest and, if it has one, its adapter's; nothing is loaded yet."""

    place: Place
    snapshot: Snapshot
    variant: Variant
    model: Model
    adapter: Adapter | None

    @property
    def prices(self) -> Prices:
        """Return what its tokens cost."""
        return self.model.prices

    @property
    def key(self) -> str:
        """Return the digest of all that decides its answers."""
        variant = msgspec.structs.replace(self.variant, id="")
        return digest_value([variant, self.model.source, self.model.revision, self.model.digest])

    def open(self) -> PromptedModel:
        """Load its model under its prompt, or make ready to ask it over HTTP; raises as `open_variant`."""
        if self.model.kind in _REMOTE:
            limit = int(self.variant.parameters.get("max_tokens", 48))
            return PromptedModel(read_prompt(self.snapshot, self.variant), open_remote(self.model, limit))
        return open_variant(self.place, self.snapshot, self.variant)

    def keep_answers(self, model: Generate) -> Answered:
        """Return *model* with a memory on disk, so that an evaluation that is killed goes on."""
        name = f"{hex_of(self.key)[:16]}.jsonl"
        return Answered(model, self.place.workspace.runs_root / "evaluate" / name)

    def base_folder(self) -> Path:
        """Return the folder of its base, checked."""
        return find_base(self.place, self.snapshot, self.variant.model)

    def adapter_folder(self) -> Path | None:
        """Return the folder of its adapter, every file checked; None without one."""
        return link_adapter(self.place, self.adapter) if self.adapter else None


def find_contender(place: Place, snapshot: Snapshot, name: str) -> Contender:
    """Return the variant called *name*, or the adapter called so under the prompt of its agent's champion.

    Raises `UsageError` when neither is there. Nothing is registered.
    """
    if f"{name}.toml" in snapshot.entries("registry/adapters"):
        return name_contender(place, snapshot, snapshot.adapter(name))
    return name_contender(place, snapshot, snapshot.variant(name))


def name_contender(place: Place, snapshot: Snapshot, candidate: Adapter | Variant) -> Contender:
    """Return *candidate* as a contender: an adapter that *snapshot* holds stands under its agent's champion's prompt."""
    variant = candidate if isinstance(candidate, Variant) else draft_challenger(snapshot, candidate.agent, candidate)
    adapter = snapshot.adapter(variant.adapter) if variant.adapter else None
    return Contender(place, snapshot, variant, snapshot.model(variant.model), adapter)


def bare_base(contender: Contender) -> "LocalModel | None":
    """Load the base of *contender* without adapter and prompt; None for a model whose weights are not here."""
    if contender.model.kind in _REMOTE:
        return None
    from cortex_cli.models.generation import load_model

    return load_model(contender.base_folder())


def open_model(place: Place, snapshot: Snapshot, name: str, limit: int) -> Generate:
    """Return the model *name* of the registry, without adapter and prompt, ready for answers of at most *limit* tokens."""
    model = snapshot.model(name)
    if model.kind in _REMOTE:
        return open_remote(model, limit)
    from cortex_cli.models.generation import load_model

    return load_model(find_base(place, snapshot, name), max_tokens=limit)


def open_remote(model: Model, limit: int) -> Generate:
    """Return *model*, which answers over HTTP, asked at temperature 0; raises `AuthenticationError` without its key."""
    from cortex_cli.models.upstream import Asking, open_upstream

    return open_upstream(model, os.environ, Asking(max_tokens=limit, temperature=0.0))


def scorer_of(model: "LocalModel") -> Score:
    """Return what tells the log-probability that *model* gives to answers after prompts."""
    from cortex_cli.models.scoring import score_answers

    def score(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return score_answers(model, prompts, answers)

    return score


def find_local(model: PromptedModel) -> "LocalModel | None":
    """Return the local model behind *model*; None when it answers from elsewhere."""
    return cast("LocalModel", model.model) if hasattr(model.model, "network") else None

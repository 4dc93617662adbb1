"""Suites of lm-evaluation-harness on a variant of the registry: `lm-eval:TASK`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cortex_cli.domain.errors import UsageError
from cortex_cli.evaluate.harness import run_harness
from cortex_cli.pipeline.contenders import find_contender, find_local
from cortex_cli.pipeline.place import Place

if TYPE_CHECKING:
    from cortex_cli.models.generation import LocalModel

__all__ = ["PREFIX", "run_tasks"]

PREFIX = "lm-eval:"


def run_tasks(place: Place, name: str, suites: Sequence[str], limit: int = 0) -> dict[str, Any]:
    """Run the harness's tasks named by *suites* on the variant *name*, without its prompt, and return their metrics.

    Raises `UsageError` for a variant whose weights are not here, `MissingExtraError` without the package.
    """
    local = find_local(find_contender(place, place.registry.snapshot(), name).open())
    if local is None:
        raise UsageError(f"'{name}' tells no log-probabilities, which the harness asks for", state="nothing was asked")
    return run_harness(local, _Scorer(local), [suite.removeprefix(PREFIX) for suite in suites], limit)


class _Scorer:
    """The likelihoods of a local model."""

    def __init__(self, model: "LocalModel") -> None:
        self.model = model

    def score_continuations(self, pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[float, bool]]:
        from cortex_cli.models.likelihood import score_continuations

        return score_continuations(self.model, pairs)

    def score_texts(self, texts: Sequence[str]) -> Sequence[float]:
        from cortex_cli.models.likelihood import score_texts

        return score_texts(self.model, texts)

"""EleutherAI's lm-evaluation-harness on a model that is loaded already: their tasks, our model object.

The adapter follows the interface of lm-eval 0.4: `loglikelihood`, `loglikelihood_rolling` and `generate_until` over
requests whose `args` hold raw text. Raw text is scored without a chat template, as the harness does by default; what it
asks to be written goes through the template as one user message, because that is what a chat model was trained on.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from cortex_cli.domain.errors import MissingExtraError, UsageError
from cortex_cli.domain.examples import Generate
from cortex_cli.domain.interactions import Message

__all__ = ["Likelihoods", "run_harness", "wrap_model"]


class Likelihoods(Protocol):
    """What tells how likely raw text is."""

    def score_continuations(self, pairs: Sequence[tuple[str, str]]) -> Sequence[tuple[float, bool]]:
        """Return the log-probability of each continuation after its context, and whether greedy decoding writes it."""
        ...

    def score_texts(self, texts: Sequence[str]) -> Sequence[float]:
        """Return the log-probability of each whole text."""
        ...


def run_harness(model: Generate, likelihoods: Likelihoods, tasks: Sequence[str], limit: int = 0) -> dict[str, Any]:
    """Run *tasks* of the harness and return their metrics by task; *limit* cases of each (0: all).

    Raises `MissingExtraError` without the package, `UsageError` for a task that it does not know or cannot load.
    """
    wrapped = wrap_model(model, likelihoods)
    from lm_eval import simple_evaluate

    try:
        found = simple_evaluate(wrapped, tasks=list(tasks), limit=limit or None, bootstrap_iters=1000)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"lm-evaluation-harness cannot run {', '.join(tasks)}: {error}",
            hint="lm-eval --tasks list",
            state="nothing was recorded",
        ) from error
    return {name: dict(metrics) for name, metrics in (found or {}).get("results", {}).items()}


def wrap_model(model: Generate, likelihoods: Likelihoods) -> Any:
    """Return *model* as an `LM` of the harness; raise `MissingExtraError` without the package."""
    try:
        from lm_eval.api.model import LM
    except ImportError as error:
        raise MissingExtraError("a suite of lm-evaluation-harness", "lm-eval") from error

    class CortexModel(LM):  # type: ignore[misc]  # the package has no types
        """A model of Cortex under the harness."""

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            """Score continuations after their contexts."""
            found = likelihoods.score_continuations([request.args[:2] for request in requests])
            return [(float(logprob), bool(greedy)) for logprob, greedy in found]

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            """Score whole texts."""
            return [float(total) for total in likelihoods.score_texts([request.args[0] for request in requests])]

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            """Write answers, each cut at the first of its stops."""
            answers = model([(Message("user", request.args[0]),) for request in requests])
            return [cut_at(answer.text, request.args[1]) for answer, request in zip(answers, requests, strict=True)]

    return CortexModel()


def cut_at(text: str, settings: dict[str, Any]) -> str:
    """Return *text* up to the first stop that *settings* name under `until`, a string or a list of them."""
    until = settings.get("until") or []
    for stop in [until] if isinstance(until, str) else until:
        text = text.split(stop, maxsplit=1)[0] if stop else text
    return text

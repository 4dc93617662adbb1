"""Engines: what carries a training out. Our own loop, the same loop on several workers of Ray, or TRL."""

from collections.abc import Sequence
from pathlib import Path

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.train.fitting import Fitted, fit_adapter
from cortex_cli.train.loop import Watch
from cortex_cli.train.spec import TrainSpec

__all__ = ["fit"]


def fit(
    examples: Sequence[Example], base: Path, spec: TrainSpec, run: Path, *, watch: Watch, start: Path | None = None
) -> Fitted:
    """Train an adapter over the model in *base* with the engine that *spec* names, from the adapter in *start* on.

    Whatever the engine, the adapter is in `run/adapter`, in peft's format, and written only when training ended.
    Raises `MissingExtraError` when the engine is not installed, and `UsageError` when it cannot do what *spec* asks.
    The objective grpo needs a reward besides: `trl_engine.fit_rewarded`.
    """
    if spec.engine == "trl":
        from cortex_cli.train.trl_engine import fit_trl

        return fit_trl(examples, base, spec, run, watch=watch, start=start)
    if spec.objective == "grpo":
        raise UsageError(
            f"the engine {spec.engine} has no objective grpo",
            hint="set engine = 'trl' in [train]",
            state="nothing was trained",
        )
    if spec.engine == "ray":
        from cortex_cli.train.ray_engine import fit_ray

        return fit_ray(examples, base, spec, run, watch=watch, start=start)
    return fit_adapter(examples, base, spec, run, watch=watch, start=start)

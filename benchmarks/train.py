"""What the shipped base is for: an adapter trained for two minutes on two cores, on requests it never saw.

The floor is the base alone. Every one of the 3,000 validation utterances of clinc150 is asked, greedy, and
only the exact tool call counts.
"""

import tempfile
from pathlib import Path

import msgspec

from benchmarks.measure import Report, at_least, at_most, tell, time_call
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.models.bases import prepare_torch
from cortex_cli.pipeline.recipes import load_recipe
from cortex_cli.pipeline.traffic import Request, read_dispatch_requests
from cortex_cli.store.starter import starter_root
from cortex_cli.train.spec import TrainSpec

LARGEST = 12_000_000


def main() -> None:
    """Print one JSON line and a table."""
    prepare_torch()
    tell("train", measure())


def measure() -> Report:
    """Train by the shipped recipe and count right answers before and after."""
    from cortex_cli.train.fitting import Fitted, fit_adapter

    starter = starter_root()
    base, packs = starter / "registry" / "models" / "cortex-tiny", starter / "datasets" / "texts"
    asked = read_dispatch_requests(packs, "val")
    before = share_right(base, None, asked)
    fitted: list[Fitted] = []
    with tempfile.TemporaryDirectory() as folder:
        run, spec, lessons = Path(folder), recipe_spec(starter), examples(packs)
        taken = time_call(lambda: fitted.append(fit_adapter(lessons, base, spec, run, watch=lambda _progress: None)))
        after = share_right(base, fitted[0].folder, asked)
    result = fitted[0].result
    bars = [
        at_most("base: weights", (base / "model.safetensors").stat().st_size / 1e6, "MB", LARGEST / 1e6, "-"),
        at_most("base alone: exactly right", 100 * before, "%", 5, f"{len(asked):,} utterances"),
        at_least("adapter: exactly right", 100 * after, "%", 75, f"goal 85 %; base alone {100 * before:.1f} %"),
        at_most("adapter: wall time, loading included", taken.wall, "s", 120, f"CPU {taken.cpu:.0f} s"),
    ]
    rate = result.tokens / result.seconds
    run_figures = {"steps": result.steps, "tokens": result.tokens, "tokens_per_s": round(rate), "loss": result.loss}
    return Report(bars, [{**run_figures, "wall_s": taken.wall, "cpu_s": taken.cpu}])


def recipe_spec(starter: Path) -> TrainSpec:
    """Return the training table of the shipped recipe, with room for loading inside the two minutes."""
    spec = load_recipe(starter / "recipes" / "dispatch.toml").train
    if spec is None:
        raise RuntimeError("the recipe has no [train] table")
    return msgspec.structs.replace(spec, loop=msgspec.structs.replace(spec.loop, max_seconds=110.0))


def examples(packs: Path) -> list[Example]:
    """Return the 15,000 training utterances as examples."""
    return [
        Example(
            id=f"x-{number}",
            agent="dispatch",
            messages=(Message("user", request.text),),
            answer=request.reference,
            source="demonstration",
        )
        for number, request in enumerate(read_dispatch_requests(packs, "train"))
    ]


def share_right(base: Path, adapter: Path | None, asked: list[Request]) -> float:
    """Return the share of *asked* that is answered exactly."""
    from cortex_cli.models.generation import load_model

    answers = load_model(base, adapter, max_tokens=24)([(Message("user", request.text),) for request in asked])
    right = sum(answer.text == request.reference for answer, request in zip(answers, asked, strict=True))
    return right / len(asked)


if __name__ == "__main__":
    main()

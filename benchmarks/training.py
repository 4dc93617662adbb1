"""Supervised fine-tuning against TRL's SFTTrainer: the same Llama of 6.84 M parameters, documents, tokens and seeds.

Useful tokens per second, without padding and without the first two steps; peak memory and the time from the start of
the process to the end of the first step, a process per run. TRL with its defaults, packed, and tuned by hand. Rounds
alternate, medians count. The stacks take different batches (and so a different number of steps), so a final loss is
the mean of the last fifth of the steps at a constant learning rate, and equal within the spread over three seeds.
Then 1,000 to 100,000 short examples by our own loop: time must be linear and memory flat. Takes about 20 minutes.
"""

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from typing import Any

from benchmarks.measure import Bar, Report, at_least, at_most, tell

STACKS = ("own", "tuned", "packed", "defaults")
SEEDS = (0, 1, 2)
DOCUMENTS, EPOCHS = 192, 2.0
SIZES = (1_000, 10_000, 100_000)
SHORT = 6  # median length in the runs for size: 100,000 examples in minutes


def main() -> None:
    """Print one JSON line and a table."""
    runs = [run(stack, seed, DOCUMENTS, EPOCHS) for seed in SEEDS for stack in STACKS]
    sizes = [run("own", 0, size, 1.0, SHORT) for size in SIZES]
    tell("training", Report([*compare(runs), *scale(sizes)], [*runs, *sizes]))


def run(stack: str, seed: int, documents: int, epochs: float, median: int = 113) -> dict[str, Any]:
    """Run one training in a process of its own and return what it printed; progress goes to the terminal."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.training_run",
        stack,
        str(seed),
        str(documents),
        str(epochs),
        str(median),
    ]
    env = {**os.environ, "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{stack} ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found), file=sys.stderr)
    return found


def compare(runs: list[dict[str, Any]]) -> list[Bar]:
    """Return the bars of our own loop against the three ways of TRL."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in runs:
        found[one["stack"]].append(one)

    def mid(stack: str, key: str) -> float:
        return statistics.median(float(one[key]) for one in found[stack])

    own = mid("own", "tokens_per_s")
    bars = [
        at_least(
            f"useful tokens/s, TRL {stack}",
            own / mid(stack, "tokens_per_s"),
            "times",
            least,
            _rates(own, mid(stack, "tokens_per_s")),
        )
        for stack, least in (("defaults", 6), ("packed", 3), ("tuned", 1.9))
    ]
    for name, key, unit in (("peak memory", "peak_mb", "MB"), ("start to first step", "first_step_s", "s")):
        ours, theirs = mid("own", key), mid("tuned", key)
        bars.append(at_most(f"{name}, TRL tuned", ours / theirs, "of it", 0.6, f"{ours:g} against {theirs:g} {unit}"))
    return [*bars, equal_loss(found["own"], found["tuned"])]


def equal_loss(own: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> Bar:
    """Return the bar of the final loss: the gap of the means over the seeds, in their pooled standard deviation."""
    ours, peers = [one["loss"] for one in own], [one["loss"] for one in theirs]
    spread = max(1e-4, ((statistics.variance(ours) + statistics.variance(peers)) / 2) ** 0.5)
    gap = statistics.fmean(ours) - statistics.fmean(peers)
    told = f"{statistics.fmean(ours):.4f} against {statistics.fmean(peers):.4f}, spread {spread:.4f} over {len(ours)} seeds"
    return at_most("final loss above TRL tuned", gap / spread, "spreads", 2.0, told)


def scale(sizes: list[dict[str, Any]]) -> list[Bar]:
    """Return the bars of size: time per example and peak memory of the largest run against the smallest."""
    first, last = sizes[0], sizes[-1]
    per = [one["seconds"] / one["documents"] * 1e3 for one in sizes]
    told = ", ".join(f"{one['documents']:,}: {ms:.2f} ms" for one, ms in zip(sizes, per, strict=True))
    held = ", ".join(f"{one['documents']:,}: {one['peak_mb']} MB" for one in sizes)
    grown = (last["peak_mb"] - first["peak_mb"]) * 1024 / (last["documents"] - first["documents"])
    return [
        at_most("time per example, 100,000 over 1,000", per[-1] / per[0], "times", 1.25, told),
        at_most("memory per example more", grown, "KB", 1.5, held),
    ]


def _rates(own: float, theirs: float) -> str:
    return f"{own:,.0f} against {theirs:,.0f}"


if __name__ == "__main__":
    main()

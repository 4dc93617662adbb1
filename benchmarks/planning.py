"""Planning: what `cortex train --dry-run` predicts of memory and seconds against what the training then takes.

Each is a process of its own on the shipped base and real utterances, for a few shapes; run it on an idle machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Bar, Report, at_most, tell
from cortex_cli.pipeline.traffic import read_dispatch_requests
from cortex_cli.store.starter import starter_root

# Examples, how many utterances stand in one, tokens per step, rank, epochs.
SHAPES = {
    "short": (2000, 1, 2048, 32, 3.0),
    "long": (600, 8, 2048, 32, 3.0),
    "small steps": (1500, 1, 512, 8, 2.0),
}
WITHIN = 0.15

RECIPE = """[curate]
agent = "dispatch"
dataset = "dispatch"
split = {{ train = 0.9, valid = 0.05, test = 0.05 }}
[train]
agent = "dispatch"
dataset = "dispatch"
min_examples = 50
[train.lora]
rank = {rank}
alpha = {alpha}
[train.loop]
batch_tokens = {tokens}
epochs = {epochs}
"""


def main() -> None:
    """Measure every shape and tell how far the plan was off."""
    report = Report()
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            row = measure(Path(folder) / "lab", shape)
        report.runs.append({"shape": name, **row})
        report.bars += [bar(f"{name}: {what}", row, what) for what in ("memory", "seconds")]
    tell("planning", report)


def bar(name: str, row: dict[str, float], what: str) -> Bar:
    """Return the bar of *what*: how far the plan was from what happened, as a share of that."""
    off = abs(row[f"planned_{what}"] / row[f"measured_{what}"] - 1)
    return at_most(name, off, "of what it took", WITHIN, "the training itself")


def measure(root: Path, shape: tuple[int, int, int, int, float]) -> dict[str, float]:
    """Plan and train one shape in the workspace *root*; return both."""
    count, joined, tokens, rank, epochs = shape
    cortex("init", str(root))
    log = root.parent / "log.jsonl"
    log.write_text("".join(lines(count, joined)), encoding="utf-8")
    recipe = RECIPE.format(rank=rank, alpha=2.0 * rank, tokens=tokens, epochs=epochs)
    (root / "recipes" / "plan.toml").write_text(recipe, encoding="utf-8")
    cortex("collect", str(log), "--agent", "dispatch", "-C", str(root))
    cortex("curate", "plan", "-C", str(root))
    planned = json.loads(cortex("train", "plan", "--dry-run", "--json", "-C", str(root)))["data"]["outlook"]
    adapter = json.loads(cortex("train", "plan", "--json", "-C", str(root)))["data"]["adapter"]
    return {
        "steps": planned["steps"],
        "tokens": planned["tokens"],
        "planned_memory": planned["peak"],
        "measured_memory": adapter["measured"]["memory"],
        "planned_seconds": planned["seconds"],
        "measured_seconds": adapter["measured"]["seconds"],
    }


def lines(count: int, joined: int) -> list[str]:
    """Return *count* corrected answers as lines of a log, each of *joined* utterances."""
    asked = read_dispatch_requests(starter_root() / "datasets" / "texts", "train")
    found: list[str] = []
    for number in range(count):
        parts = [asked[(number * joined + offset) * 7 % len(asked)] for offset in range(joined)]
        text = " and ".join(part.text for part in parts)
        seen: dict[str, Any] = {"id": f"i-{number:024x}", "agent": "dispatch", "time": "2026-01-05T09:00:00Z"}
        seen |= {"messages": [{"role": "user", "content": text}], "output": "{}"}
        verdict = {"target": seen["id"], "kind": "demonstration", "demonstration": parts[0].reference}
        found += [json.dumps(seen) + "\n", json.dumps({**verdict, "time": "2026-01-05T09:00:01Z"}) + "\n"]
    return found


def cortex(*arguments: str) -> str:
    """Run the tool and return what it prints; raise when it fails."""
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "cortex_cli", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()

"""Run benchmarks and keep what they found: `make bench` runs all of them, `make bench NAME=startup` one.

A benchmark is a script in this folder that prints one JSON line with its bars and runs. What it
printed becomes `results/<name>.json` and a table in README.md.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import render_table

FOLDER = Path(__file__).resolve().parent
# Parts that the benchmarks share; every other script in the folder is one.
SHARED = ("__main__", "measure", "training_run")
# Benchmarks that are run together under one name, and not twice when all are run.
PARTS = {"collect-curate": ("collect", "curate", "duplicates", "privacy")}


def main(names: list[str]) -> int:
    """Run the benchmarks *names*, or all; 1 if a bar does not hold or a run fails, 2 for an unknown name."""
    known = {path.stem.replace("_", "-"): path for path in sorted(FOLDER.glob("*.py")) if path.stem not in SHARED}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no benchmark {', '.join(map(repr, unknown))}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    parts = {part for several in PARTS.values() for part in several}
    chosen = names or [name for name in known if name not in parts]
    return max([run_benchmark(name, known[name]) for name in chosen], default=0)


def run_benchmark(name: str, path: Path) -> int:
    """Run the script at *path*, pass its output on and keep its result; 1 if it fails or a bar does not hold."""
    command = [sys.executable, "-m", f"benchmarks.{path.stem}"]
    done = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="")
    found = find_result(done.stdout)
    if done.returncode or found is None:
        print(f"error: benchmark '{name}' ended with {done.returncode} and without a result", file=sys.stderr)
        return 1
    keep_result(name, found)
    return 0 if all(bar["holds"] for bar in found["bars"]) else 1


def find_result(text: str) -> dict[str, Any] | None:
    """Return the object of the last line of *text* that is JSON and has bars; None if there is none."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            found = json.loads(line)
            if isinstance(found, dict) and "bars" in found:
                return found
    return None


def keep_result(name: str, found: Mapping[str, Any]) -> None:
    """Write the result file of *name* and its table in README.md."""
    result = {"commit": _commit(), "machine": _machine(), "bars": found["bars"], "runs": found.get("runs", [])}
    target = FOLDER / "results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    readme = FOLDER / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else "# Benchmarks\n"
    note = f"{result['machine']}; commit {result['commit']}"
    readme.write_text(replace_section(text, name, f"{render_table(found['bars'])}\n\n{note}"), encoding="utf-8")


def replace_section(text: str, name: str, content: str) -> str:
    """Put *content* between the marks of *name* in *text*; without marks, in a new section at its end."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{begin}\n\n{content}\n\n{end}"
    if begin in text:
        before, _, rest = text.partition(begin)
        return before + section + rest.partition(end)[2]
    return f"{text.rstrip()}\n\n## {name}\n\n{section}\n"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

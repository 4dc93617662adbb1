"""Everything between a log and a dataset version: the parts `collect`, `curate`, `duplicates` and `privacy` in one result.

Each part is a benchmark of its own and can be run alone by its name.
"""

import json
import subprocess
import sys

from benchmarks.__main__ import FOLDER, PARTS, find_result

__all__ = ["main"]


def main() -> int:
    """Run the parts one after the other and print their bars and runs together; 1 if one gives no result."""
    bars, runs = [], []
    for part in PARTS["collect-curate"]:
        command = [sys.executable, "-m", f"benchmarks.{part}"]
        done = subprocess.run(command, cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        found = find_result(done.stdout)
        if done.returncode or found is None:
            print(f"error: '{part}' ended with {done.returncode} and without a result", file=sys.stderr)
            return 1
        bars += [{**bar, "name": f"{part}: {bar['name']}"} for bar in found["bars"]]
        runs += [{"part": part, **run} for run in found.get("runs", [])]
    print(json.dumps({"bars": bars, "runs": runs}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Objects: how near keeping and checking a file come to hashing it with hashlib and nothing else.

CPU time decides, as the disk is not ours; ingest reads, hashes, writes and syncs, verify reads and
hashes. The peer reads the same file with the same buffer in the same run. Alternating rounds, median.
"""

import hashlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cortex_cli.store.objects import ObjectStore

SIZE = 256 << 20
ROUNDS = 7
BAR = 0.60


def main() -> None:
    """Print one JSON line and a table."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        rounds = [measure(Path(folder), number) for number in range(ROUNDS)]
    bars = [bar(rounds, name) for name in ("ingest", "verify")]
    result = {"name": "objects", "machine": platform.machine(), "bars": bars, "runs": rounds}
    print(json.dumps(result))
    print_table(bars, rounds)


def measure(folder: Path, number: int) -> dict[str, float]:
    """Return CPU and wall seconds of hashing, ingest and verify of one fresh random file."""
    source = folder / "source"
    source.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
    os.sync()  # ext4 would otherwise write the source out inside the store's fsync, and bill it to the store
    store = ObjectStore(folder / f"objects-{number}")
    digests: list[str] = []
    steps: dict[str, Callable[[], object]] = {
        "hashlib": lambda: hash_plainly(source),
        "ingest": lambda: digests.append(store.put_file(source).digest),
        "verify": lambda: store.verify(digests[0]),
    }
    found: dict[str, float] = {}
    for name, step in steps.items():
        cpu, wall = time.process_time(), time.perf_counter()
        step()
        found[f"{name}_cpu"] = round(time.process_time() - cpu, 4)
        found[f"{name}_wall"] = round(time.perf_counter() - wall, 4)
    store.delete(digests[0])
    return found


def hash_plainly(path: Path) -> str:
    """Hash *path* as Python's own documentation does it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def bar(rounds: list[dict[str, float]], name: str) -> dict[str, object]:
    """Return the bar of *name*: its share of the plain rate, by median CPU time."""
    value = round(median(rounds, "hashlib_cpu") / median(rounds, f"{name}_cpu"), 3)
    peer = f"hashlib.sha256 {rate(rounds, 'hashlib_cpu'):.0f} MB/CPU-s"
    return {"name": name, "value": value, "unit": "of hashlib", "bar": BAR, "peer": peer, "holds": value >= BAR}


def median(rounds: list[dict[str, float]], key: str) -> float:
    """Return the median of one figure over the rounds."""
    return statistics.median(found[key] for found in rounds)


def rate(rounds: list[dict[str, float]], key: str) -> float:
    """Return megabytes per second of the median."""
    return SIZE / 1e6 / median(rounds, key)


def print_table(bars: list[dict[str, object]], rounds: list[dict[str, float]]) -> None:
    """Print rates for people."""
    print(f"\n{'':10} {'MB/CPU-s':>10} {'MB/s wall':>10} {'of hashlib':>11} {'bar':>6} holds")
    shares = {str(found["name"]): found for found in bars}
    for name in ("hashlib", "ingest", "verify"):
        found = shares.get(name, {"value": 1.0, "bar": "", "holds": ""})
        cpu, wall = rate(rounds, f"{name}_cpu"), rate(rounds, f"{name}_wall")
        print(f"{name:10} {cpu:10.0f} {wall:10.0f} {found['value']:>11} {found['bar']:>6} {found['holds']}")


if __name__ == "__main__":
    main()

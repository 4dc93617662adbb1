"""Measuring and telling: CPU and wall time of processes and calls, bars, the JSON line and the table."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "Bar",
    "Report",
    "Timing",
    "at_least",
    "at_most",
    "median",
    "render_table",
    "tell",
    "time_call",
    "time_process",
    "time_rounds",
]


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU time (user and system, children included) and wall time of one run, in seconds."""

    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One promise: what was measured, what it must reach, and the peer or floor it is compared with."""

    name: str
    value: float
    unit: str
    bar: float
    peer: str
    holds: bool
    better: Literal["lower", "higher"] = "lower"


@dataclass(slots=True)
class Report:
    """What a benchmark found: its bars, and whatever each run gave."""

    bars: list[Bar] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)


def at_most(name: str, value: float, unit: str, limit: float, peer: str) -> Bar:
    """Return a bar that holds while *value* does not exceed *limit*."""
    return Bar(name, round(value, 4), unit, limit, peer, value <= limit)


def at_least(name: str, value: float, unit: str, limit: float, peer: str) -> Bar:
    """Return a bar that holds while *value* does not fall below *limit*."""
    return Bar(name, round(value, 4), unit, limit, peer, value >= limit, "higher")


def time_process(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Timing:
    """Run *command* to its end, output discarded, and return what it and its children took.

    Raises `RuntimeError` when it fails: a benchmark of an error message measures nothing.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return Timing(usage.ru_utime + usage.ru_stime, wall)


def time_rounds(
    commands: Mapping[str, Sequence[str]],
    *,
    rounds: int = 15,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> dict[str, list[Timing]]:
    """Run all *commands* once per round, so that a noisy moment of the machine falls on all of them."""
    for command in commands.values():
        time_process(command, cwd=cwd, env=env)  # once to warm caches and byte-code
    found: dict[str, list[Timing]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(time_process(command, cwd=cwd, env=env))
    return found


def time_call(call: Callable[[], object]) -> Timing:
    """Run *call* in this process and return what it took, threads included and children not."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Timing(time.process_time() - cpu, time.perf_counter() - wall)


def median(timings: Sequence[Timing], what: Literal["cpu", "wall"] = "cpu") -> float:
    """Return the median CPU or wall time in seconds."""
    return statistics.median(timing.cpu if what == "cpu" else timing.wall for timing in timings)


def tell(name: str, report: Report) -> None:
    """Print *report* as one JSON line, which `make bench` keeps, and as a table."""
    print(json.dumps({"name": name, **asdict(report)}))
    print(render_table([asdict(bar) for bar in report.bars]))


def render_table(bars: Sequence[Mapping[str, Any]]) -> str:
    """Render *bars* as a Markdown table with aligned columns."""
    rows = [("what", "measured", "bar", "peer or floor", "holds")]
    for bar in bars:
        sign = {"lower": "at most ", "higher": "at least "}.get(bar.get("better", ""), "")
        value, limit = (f"{bar[key]:g} {bar['unit']}" for key in ("value", "bar"))
        rows.append((bar["name"], value, sign + limit, bar["peer"], "yes" if bar["holds"] else "NO"))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])

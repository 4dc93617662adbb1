"""Planning: what a training will need of memory, time, disk and money, before its first step, and what to change.

Weights, optimiser and steps are counted; what cannot be counted, the memory of a step and its time, is measured: a
few real steps over batches of the shortest to the longest shape. What was measured is good for any later run
of the same base and settings on the same machine.
"""

import math
import platform
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cortex_cli.domain.digests import digest_value
from cortex_cli.train.batches import Row, plan_epoch, size_of
from cortex_cli.train.cores import SINCE_START, allowed_cores
from cortex_cli.train.loop import Prepared, Progress, run_loop
from cortex_cli.train.spec import LoopSpec, TrainSpec

__all__ = [
    "Machine",
    "Measured",
    "Outlook",
    "Work",
    "calibration_key",
    "count_work",
    "measure",
    "outlook",
    "read_machine",
    "read_peak",
    "read_runtime",
]

_BATCHES = 16  # batches that are tried: memory grows with the shapes seen, and the first few do not show how fast
_FEWEST = 3
_SECONDS = 30.0  # a large base on few cores is not tried for longer
_MOMENTS = 2  # of AdamW, beside weight and gradient
_ROOM = 0.95  # of what is free, the rest is for what others may begin meanwhile


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine has to spare: bytes of memory and of disk, and cores that nobody else uses."""

    name: str
    memory: int
    disk: int
    cores: int
    free_cores: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted: examples, tokens without padding, steps; *sizes* and *lengths* of the batches of all epochs."""

    examples: int
    tokens: int
    steps: int
    sizes: tuple[int, ...]
    lengths: tuple[int, ...]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a few steps took. Bytes of the process before (*runtime*) and after a step (*first*), and of the *weights*.

    *growth* is bytes for every doubling of the steps: kernels are kept by shape, and freed memory is in pieces. *costs* are seconds per token, padding included, of batches by the *lengths* of their rows; *micro* is the largest
    micro-batch tried, in tokens; *load* the seconds before the first step.
    """

    runtime: int
    first: int
    growth: int
    weights: int
    parameters: int
    trained: int
    micro: int
    lengths: tuple[int, ...]
    costs: tuple[float, ...]
    load: float


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a training will need: bytes by kind of *memory* and their *peak*, seconds, bytes of *disk*, dollars.

    *seconds* are those of the steps, *start* those before the first.
    *faults* say what does not fit, *advice* what to change in the recipe.
    """

    examples: int
    tokens: int
    steps: int
    parameters: int
    trained: int
    memory: dict[str, int]
    peak: int
    seconds: float
    start: float
    disk: int
    cost: float
    machine: Machine
    faults: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


def read_machine(folder: Path) -> Machine:
    """Return what is free now: memory within the limits of this process, disk where *folder* is, cores by the load."""
    cores = allowed_cores()
    return Machine(
        name=f"{_processor()}, {cores} cores",
        memory=_free_memory(),
        disk=shutil.disk_usage(_existing(folder)).free,
        cores=cores,
        free_cores=SINCE_START.free_cores(),
    )


def count_work(rows: Sequence[Row], spec: LoopSpec) -> Work:
    """Count what *rows* are under *spec*: the very batches that the loop will take."""
    batches: list[list[Row]] = []
    for epoch in range(math.ceil(spec.epochs)):
        one = plan_epoch(rows, spec.batch_tokens, spec.seed + epoch, spec.plan)
        kept = one[: max(1, round(min(1.0, spec.epochs - epoch) * len(one)))]
        batches += [[rows[index] for index in batch] for batch in kept]
    return Work(
        examples=len(rows),
        tokens=sum(row.tokens for batch in batches for row in batch),
        steps=len(batches),
        sizes=tuple(size_of(batch, spec.plan) for batch in batches),
        lengths=tuple(max(row.length for row in batch) for batch in batches),
    )


def calibration_key(machine: Machine, base: str, spec: TrainSpec) -> str:
    """Return what a measurement holds for: machine, digest of the *base*, objective, adapter and way of running."""
    loop = msgspec.structs.replace(
        spec.loop, epochs=1.0, seed=0, learning_rate=1.0, max_seconds=0.0, checkpoint_every=1, keep=0
    )
    table = [msgspec.to_builtins(spec.lora), msgspec.to_builtins(loop), spec.objective, spec.engine]
    return digest_value([machine.name, base, table])


def measure(prepared: Prepared, spec: LoopSpec, steps: int, *, runtime: int, began: float) -> Measured:
    """Try a few of the *steps* of *prepared*, over batches of all its lengths, and return what they took.

    *runtime* is the memory of the process before the weights were loaded, *began* the monotonic time of that. The
    weights that are trained are changed by it: the objective is not to be used after it.
    """
    rows = _pick_rows(prepared.rows, spec, min(_BATCHES, max(_FEWEST, steps // 10)))
    load = time.monotonic() - began
    taken = _try_steps(prepared, rows, spec)
    batches = [[rows[index] for index in batch] for batch in plan_epoch(rows, spec.batch_tokens, spec.seed, spec.plan)]
    batches = batches[: len(taken)]
    lengths, costs = _costs(batches, [seconds for seconds, _ in taken], spec)
    values = list(prepared.objective.network.parameters())
    sizes = [size_of(batch, spec.plan) for batch in batches]
    peaks = [peak for _, peak in taken]
    return Measured(
        runtime=runtime,
        first=peaks[0],
        growth=round((peaks[-1] - peaks[0]) / math.log2(len(peaks))) if len(peaks) > 1 else 0,
        weights=sum(value.numel() * value.element_size() for value in values if not value.requires_grad),
        parameters=sum(value.numel() for value in values),
        trained=sum(value.numel() for value in values if value.requires_grad),
        micro=min(max(sizes), spec.micro_tokens or max(sizes)),
        lengths=lengths,
        costs=costs,
        load=round(load, 3),
    )


def _try_steps(prepared: Prepared, rows: Sequence[Row], spec: LoopSpec) -> list[tuple[float, int]]:
    """Return seconds and peak bytes at the end of each step of one epoch over *rows*."""
    tried = msgspec.structs.replace(
        spec, epochs=1.0, max_seconds=_SECONDS, checkpoint_every=1_000_000, learning_rate=1e-6, keep=0
    )
    taken: list[tuple[float, int]] = []

    def note(progress: Progress) -> None:
        taken.append((progress.seconds, read_peak()))

    with tempfile.TemporaryDirectory(prefix="cortex-plan-") as folder:
        run_loop(prepared.objective, rows, tried, Path(folder), watch=note)
    return taken


def outlook(work: Work, found: Measured, spec: LoopSpec, machine: Machine, *, hourly: float = 0.0) -> Outlook:
    """Return what *work* will need on *machine*, from what was *found*; *hourly* is dollars per hour of it."""
    state = 4 * found.trained  # float32, whatever the base is held in
    micro = min(max(work.sizes), spec.micro_tokens or max(work.sizes))
    fixed = found.runtime + found.weights + state * (2 + _MOMENTS)
    memory = {
        "runtime": found.runtime,
        "base": found.weights,
        "adapter": state,
        "gradients": state,
        "optimizer": _MOMENTS * state,
        "activations": round(max(0, found.first - fixed) * max(0.5, micro / found.micro)),
        "buffers": round(found.growth * math.log2(work.steps)),
    }
    per_token = np.interp(work.lengths, found.lengths, found.costs)  # (steps,)
    seconds = float(per_token @ np.array(work.sizes, np.float64))
    limited = min(seconds, spec.max_seconds) if spec.max_seconds else seconds
    # Two checkpoints stand side by side until the newer one is whole; then adapter and its copy among the objects.
    disk = 2 * state * (1 + _MOMENTS) + 2 * state
    plain = Outlook(
        examples=work.examples,
        tokens=work.tokens,
        steps=work.steps,
        parameters=found.parameters,
        trained=found.trained,
        memory=memory,
        peak=sum(memory.values()),
        seconds=round(limited, 1),
        start=round(found.load, 1),
        disk=disk,
        cost=round((limited + found.load) / 3600 * hourly, 4),
        machine=machine,
    )
    return _with_faults(plain, spec, seconds)


def _with_faults(plain: Outlook, spec: LoopSpec, seconds: float) -> Outlook:
    faults, advice = [], []
    room = int(_ROOM * plain.machine.memory)
    if plain.peak > room:
        faults.append(f"memory: {_gigabytes(plain.peak)} are needed, {_gigabytes(room)} are free")
        advice += _advise(plain, spec, room)
    if plain.disk > plain.machine.disk:
        faults.append(f"disk: {_gigabytes(plain.disk)} are needed, {_gigabytes(plain.machine.disk)} are free")
        advice.append("free disk space, or lower lora.rank: checkpoints hold it six times")
    if spec.max_seconds and seconds > 1.05 * spec.max_seconds:
        done = spec.max_seconds / seconds
        advice.append(f"max_seconds ends it after {done:.0%} of the steps: lower epochs to {done * spec.epochs:.2g}")
    return msgspec.structs.replace(plain, faults=tuple(faults), advice=tuple(advice))


def _advise(plain: Outlook, spec: LoopSpec, room: int) -> list[str]:
    """Return the first change that would make it fit: smaller micro-batches, recomputation, less of a base."""
    busy = plain.memory["activations"]
    spare = room - (plain.peak - busy)
    size = spec.micro_tokens or spec.batch_tokens
    halvings = math.ceil(math.log2(busy / spare)) if 0 < spare < busy else 0
    if spare > 0 and size >> halvings >= spec.window:
        return [f"set micro_tokens = {size >> halvings} in [train.loop]: the same steps in smaller parts"]
    if spare > 0 and not spec.checkpointing:
        return [
            "set checkpointing = true and micro_tokens = window in [train.loop]: slower by a fifth, much less memory"
        ]
    return [
        "take a smaller base, or a machine with more memory; on a GPU bits = 4 in [train.lora] holds it in a quarter"
    ]


def _pick_rows(rows: Sequence[Row], spec: LoopSpec, most: int) -> list[Row]:
    # Whole batches as the run will have them, evenly by length, the one with the longest row among them.
    planned = plan_epoch(rows, spec.batch_tokens, spec.seed, spec.plan)
    ordered = sorted(planned, key=lambda batch: max(rows[index].length for index in batch))
    count = min(most, len(ordered))
    places = {round(place) for place in np.linspace(0, len(ordered) - 1, count)}
    return [rows[index] for place in sorted(places) for index in ordered[place]]


def _costs(
    batches: Sequence[list[Row]], ends: Sequence[float], spec: LoopSpec
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    times = np.diff([0.0, *ends])
    sizes = np.array([size_of(batch, spec.plan) for batch in batches], np.float64)
    lengths = np.array([max(row.length for row in batch) for batch in batches])
    costs = times / sizes
    if len(costs) > 3:  # the first step also warms up
        lengths, costs = lengths[1:], costs[1:]
    order = np.argsort(lengths, kind="stable")
    # A running median of three: one slow step of a busy machine is not the cost of its length.
    padded = np.concatenate([costs[order][:1], costs[order], costs[order][-1:]])
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 3), axis=1)
    return tuple(int(value) for value in lengths[order]), tuple(float(value) for value in smooth)


def read_runtime() -> int:
    """Return the bytes of memory that this process holds now, and begin its peak anew from there."""
    with suppress(OSError):  # not allowed in some containers: then the peak before counts too
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: resets VmHWM
    return _memory("VmRSS")


def read_peak() -> int:
    """Return the most bytes of memory that this process has held since its peak was begun."""
    return _memory("VmHWM")


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        free = min(free, max(0, int(limit - used)))
    return free + _memory("VmRSS")  # what this process holds already is part of what it will need


def _number(path: str) -> float | None:
    try:
        return float(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _processor() -> str:
    try:
        lines: Any = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:.2f} GiB"

"""The one training loop. Read it from top to bottom: what it is given, the run, a step, memory, the end.

What makes it fast on a CPU, with the factor measured on 2 cores and a 6 M parameter Llama: batches of like length
(2.4 over padding), plain attention instead of the fused kernel (1.75), bf16 (1.4 to 1.8), the loss of the output
layer in chunks that fit the cache and only where a label stands (1.7 for that part), and adapters whose gradients
are derived by hand (1.15 to 1.4 for a layer).
"""

import hashlib
import math
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import torch
from torch import nn

from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.errors import CortexError, UsageError
from cortex_cli.train.batches import Row, plan_epoch, size_of, split_batch
from cortex_cli.train.checkpoint import Position, restore_checkpoint, save_checkpoint, save_snapshot
from cortex_cli.train.cores import SINCE_START
from cortex_cli.train.crew import ALONE, Crew
from cortex_cli.train.diary import Diary, Progress, Watch
from cortex_cli.train.interrupts import deferred_interrupt
from cortex_cli.train.memory import give_back_memory, is_out_of_memory
from cortex_cli.train.spec import LoopSpec

__all__ = ["Objective", "Prepared", "Progress", "Result", "Watch", "run_loop"]

_GIVE_BACK = 8  # steps between returns of freed memory to the system


class Objective(Protocol):
    """What is minimised: the mean of terms that rows add, over a whole batch.

    Those parameters of *network* that require a gradient are trained.
    """

    @property
    def network(self) -> nn.Module:
        """Return the model that is trained."""
        ...

    def weigh(self, row: Row) -> float:
        """Return how many terms *row* adds to the mean: its learned ids, or 1 for a pair."""
        ...

    def loss(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the sum over the terms of *rows*, a micro-batch, as a scalar in float32."""
        ...


def _measure_nothing(_adapter: Path) -> dict[str, float]:
    return {}


@dataclass(frozen=True, slots=True)
class Prepared:
    """An objective ready to run: what is minimised, over which rows, and how many examples were left out and why.

    *finish* is called with the adapter's folder once it is written: it may add files, and returns what it measured.
    """

    objective: Objective
    rows: Sequence[Row]
    counts: dict[str, int]
    finish: Callable[[Path], dict[str, float]] = _measure_nothing


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did: steps and tokens from its start, seconds of work, mean loss of its last tenth."""

    steps: int
    tokens: int
    seconds: float
    loss: float
    stopped_early: bool


def run_loop(
    objective: Objective, rows: Sequence[Row], spec: LoopSpec, folder: Path, *, watch: Watch, crew: Crew = ALONE
) -> Result:
    """Train *objective* on *rows*; go on if *folder* has a checkpoint of the same rows and settings.

    Writes `metrics.jsonl`, `steps.jsonl` (example ids of each step), checkpoints and snapshots to *folder*; a kill
    leaves the last checkpoint, Ctrl-C one of the last whole step. Raises `CortexError` naming the examples of a step
    whose loss is not a number, or when one row alone is too much for the memory.
    """
    parameters = {name: value for name, value in objective.network.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=spec.learning_rate, betas=(0.9, 0.95), weight_decay=spec.weight_decay, fused=True
    )
    torch.manual_seed(spec.seed)
    batches = _plan(rows, spec)
    position = restore_checkpoint(folder, _digest(rows, spec), parameters, optimizer)
    # Sums over more threads may round differently, so a run that goes on keeps the number it began with.
    threads = spec.threads or position.threads or SINCE_START.free_cores()
    torch.set_num_threads(threads)
    position = msgspec.structs.replace(position, threads=threads, micro=position.micro or spec.micro_tokens)
    with ExitStack() as stack:
        diary = stack.enter_context(Diary(folder, position.step)) if crew.rank == 0 else None
        interrupted = stack.enter_context(deferred_interrupt())
        run = _Run(objective, spec, folder, crew, parameters, optimizer, len(batches), diary, position)
        try:
            return run.go(([rows[index] for index in batch] for batch in batches[position.step :]), watch, interrupted)
        except KeyboardInterrupt:
            run.save()
            raise


@dataclass(slots=True)
class _Run:
    objective: Objective
    spec: LoopSpec
    folder: Path
    crew: Crew
    parameters: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    steps: int
    diary: Diary | None
    position: Position
    note: str = ""

    def go(self, batches: Iterator[list[Row]], watch: Watch, interrupted: Callable[[], bool]) -> Result:
        started = time.monotonic() - self.position.seconds
        kept = _evenly(self.steps, self.spec.keep)
        for batch in batches:
            done = max(self.position.step / self.steps, self._share_of_time())
            if done >= 1:
                break
            rate = _rate(self.spec, done)
            loss, seconds = self._step(batch, rate, started)
            self._advance(batch, loss, seconds)
            progress = self._progress(rate)
            if self.diary:  # before the checkpoint, which promises that the lines up to its step are there
                self.diary.note(progress, [row.example for row in batch])
            if self.position.step in kept and self.crew.rank == 0:
                save_snapshot(self.folder, self.position.step, self.objective.network, self.optimizer)
            if self.position.step % self.spec.checkpoint_every == 0 and self.position.step < self.steps:
                self.save()
            if self.position.step % _GIVE_BACK == 0:
                give_back_memory()
            if self.diary:
                watch(progress)
            self.note = ""
            if interrupted():
                raise KeyboardInterrupt
        at = self.position
        mean = self.diary.tail_mean(max(20, self.steps // 10)) if self.diary else at.loss
        return Result(at.step, at.tokens, at.seconds, mean, at.step < self.steps)

    def save(self) -> None:
        """Write a checkpoint of the last whole step."""
        if self.diary and self.position.step:
            self.diary.sync()  # a line per step of the checkpoint must outlive a power cut too
            save_checkpoint(self.folder, self.position, self.parameters, self.optimizer)

    def _share_of_time(self) -> float:
        return self.position.seconds / self.spec.max_seconds if self.spec.max_seconds else 0.0

    def _step(self, batch: list[Row], rate: float, started: float) -> tuple[float, float]:
        share = self._accumulate(batch)
        # Workers must agree on time, by which the learning rate may fall: that of rank 0 counts.
        spent = time.monotonic() - started if self.crew.rank == 0 else 0.0
        clock = torch.tensor([share, spent], dtype=torch.float64)
        self.crew.reduce([*_gradients(self.parameters), clock])
        loss, seconds = clock.tolist()
        if not math.isfinite(loss):
            raise self._not_a_number(batch)
        nn.utils.clip_grad_norm_(self.parameters.values(), self.spec.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss, seconds

    def _accumulate(self, batch: list[Row]) -> float:
        """Add this worker's part of the gradient of the mean over *batch*; return its part of the loss."""
        total = sum(self.objective.weigh(row) for row in batch) or 1.0
        limit, plan = self.position.micro, self.spec.plan
        # What is shared is split by what all workers know; the own limit, halved when memory ran out, comes after.
        agreed = math.ceil(size_of(batch, plan) / self.crew.size) if self.crew.size > 1 else 0
        mine = [row for part in self.crew.share(split_batch(batch, agreed, plan)) for row in part]
        while True:
            try:
                return sum(self._backward(micro, total) for micro in split_batch(mine, limit, plan))
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not is_out_of_memory(error):
                    raise
                limit = self._halve(mine, limit)
            self.optimizer.zero_grad(set_to_none=True)  # what the part before it had added

    def _backward(self, micro: list[Row], total: float) -> float:
        loss = self.objective.loss(micro) / total
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own annotation is missing
        return float(loss.detach())

    def _halve(self, rows: list[Row], limit: int) -> int:
        parts = split_batch(rows, limit, self.spec.plan)
        if all(len(part) == 1 for part in parts):
            raise CortexError(
                f"memory does not even hold one example at a time; the longest here has {parts[-1][0].length} tokens",
                hint="set checkpointing = true or chunk = 64 in [train.loop], or lower window or lora.rank",
                state=f"checkpoints up to the last full one are in '{self.folder}', no adapter was made",
            )
        half = max(size_of(part, self.spec.plan) for part in parts) // 2
        self.note = f"memory ran out: micro-batches of at most {half} tokens from here on"
        self.position = msgspec.structs.replace(self.position, micro=half)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return half

    def _advance(self, batch: list[Row], loss: float, seconds: float) -> None:
        at = self.position
        tokens = at.tokens + sum(row.tokens for row in batch)
        self.position = msgspec.structs.replace(at, step=at.step + 1, tokens=tokens, seconds=seconds, loss=loss)

    def _progress(self, rate: float) -> Progress:
        at = self.position
        return Progress(
            step=at.step,
            steps=self.steps,
            loss=round(at.loss, 6),
            learning_rate=rate,
            tokens=at.tokens,
            seconds=round(at.seconds, 3),
            micro_tokens=at.micro,
            note=self.note,
        )

    def _not_a_number(self, batch: list[Row]) -> CortexError:
        named = ", ".join(row.example for row in batch[:5])
        return CortexError(
            f"the loss of step {self.position.step + 1} is not a number; its examples: {named}",
            hint="lower learning_rate in the recipe, then train again",
            state=f"checkpoints up to the last full one are in '{self.folder}', no adapter was made",
        )


def _plan(rows: Sequence[Row], spec: LoopSpec) -> list[list[int]]:
    if not rows:
        raise UsageError("there is nothing to train on", hint="cortex dataset ls", state="nothing was trained")
    batches: list[list[int]] = []
    for epoch in range(math.ceil(spec.epochs)):
        one = plan_epoch(rows, spec.batch_tokens, spec.seed + epoch, spec.plan)
        share = min(1.0, spec.epochs - epoch)
        batches += one[: max(1, round(share * len(one)))]
    return batches


def _digest(rows: Sequence[Row], spec: LoopSpec) -> str:
    # What decides the weights. Threads and micro-batches only decide how they are reached.
    settings = msgspec.structs.replace(spec, threads=0, micro_tokens=0, checkpoint_every=0, keep=0)
    content = hashlib.sha256()
    for row in rows:
        content.update(row.example.encode() + array("q", (row.wanted, *row.ids, -1)).tobytes())
        content.update(array("q", [end for span in row.learned for end in span]).tobytes())
        if row.pair:
            content.update(array("q", row.pair.ids).tobytes())
    return digest_value([msgspec.to_builtins(settings), content.hexdigest()])


def _rate(spec: LoopSpec, done: float) -> float:
    # Trapezoid: warm up, hold, fall. *done* is the fraction of the run behind us.
    if done < spec.warmup:
        return spec.learning_rate * max(0.05, done / spec.warmup)
    fall = 1 - spec.warmup - spec.hold
    left = (1 - done) / fall if fall > 0 else 1.0
    return spec.learning_rate * max(spec.floor, min(1.0, left))


def _evenly(steps: int, count: int) -> set[int]:
    # The last one is what the run ends with, so that influence is measured up to the adapter itself.
    return {round(steps * number / count) for number in range(1, count + 1)} if count else set()


def _gradients(parameters: dict[str, nn.Parameter]) -> list[torch.Tensor]:
    # A worker without a micro-batch has none of its own; its sum with the others counts all the same.
    for value in parameters.values():
        if value.grad is None:
            value.grad = torch.zeros_like(value)
    return [value.grad for value in parameters.values() if value.grad is not None]

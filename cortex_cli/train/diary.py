"""What a run tells while it goes: a line of metrics and the example ids of every step."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from cortex_cli.store.atomic import report_disk, write_atomic

__all__ = ["Diary", "Progress", "Watch"]

_METRICS, _STEPS = "metrics.jsonl", "steps.jsonl"


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a run's metrics. Tokens are useful ones, without padding; seconds are of work from its start.

    *micro_tokens* is the most that is computed at once (0: a whole batch), *note* what the user should know.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float
    micro_tokens: int = 0
    note: str = ""


Watch = Callable[[Progress], None]


class Diary:
    """The files `metrics.jsonl` and `steps.jsonl` in *folder*, opened to go on after *steps* steps.

    A killed run wrote lines past its last checkpoint; those steps come again, so their lines go.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self._losses = [msgspec.json.decode(line)["loss"] for line in _keep_lines(folder / _METRICS, steps)]
        _keep_lines(folder / _STEPS, steps)
        self._path = folder / _METRICS
        # Unbuffered: a line is in the file before a checkpoint can say that its step is done.
        self._metrics: Any = self._path.open("ab", buffering=0)
        self._steps: Any = (folder / _STEPS).open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.close()
        self._steps.close()

    def note(self, progress: Progress, examples: Sequence[str]) -> None:
        """Write the lines of one step."""
        self._losses.append(progress.loss)
        with report_disk(self._path):
            self._metrics.write(msgspec.json.encode(progress) + b"\n")
            self._steps.write(msgspec.json.encode([progress.step, examples]) + b"\n")

    def sync(self) -> None:
        """Make every line durable."""
        with report_disk(self._path):
            os.fsync(self._metrics.fileno())
            os.fsync(self._steps.fileno())

    def tail_mean(self, steps: int) -> float:
        """Return the mean loss of the last *steps* steps, those before a kill included."""
        tail = self._losses[-steps:]
        return sum(tail) / len(tail) if tail else 0.0


def _keep_lines(path: Path, count: int) -> list[bytes]:
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    if len(lines) > count:
        write_atomic(path, b"".join(lines[:count]))
    return lines[:count]

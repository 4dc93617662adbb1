"""Progress on stderr: a bar on a terminal, one line per step elsewhere, nothing when quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cortex_cli.cli.output import say
from cortex_cli.cli.session import session

if TYPE_CHECKING:
    from cortex_cli.train.loop import Progress

__all__ = ["Steps", "tell_progress"]


class Steps:
    """Tell the user about the steps of a long verb, numbered if their *total* is known."""

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.done = 0
        self._live = sys.stderr.isatty() and not session().plain and not session().quiet

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show *what* while the block runs, and how long it took when it ends."""
        self.done += 1
        label = f"[{self.done}/{self.total}] {what}" if self.total else what
        begun = time.monotonic()
        if self._live:
            sys.stderr.write(f"\r\033[K{label} ...")
            sys.stderr.flush()
        ending = "failed"
        try:
            yield
            ending = f"{time.monotonic() - begun:.1f} s"
        finally:
            self._line(f"{label}: {ending}")

    def update(self, what: str) -> None:
        """Show *what* inside the running step; on a terminal only, where it replaces itself."""
        if self._live:
            sys.stderr.write(f"\r\033[K{what}")
            sys.stderr.flush()

    def _line(self, text: str) -> None:
        if session().quiet:
            return
        start = "\r\033[K" if self._live else ""
        sys.stderr.write(f"{start}{text}\n")
        sys.stderr.flush()


def tell_progress(steps: Steps, progress: "Progress") -> None:
    """Show one step of a training on the live line: loss, tokens per second, seconds to go."""
    rate = progress.tokens / progress.seconds if progress.seconds else 0.0
    left = progress.seconds / progress.step * (progress.steps - progress.step)
    steps.update(
        f"step {progress.step} of {progress.steps}  loss {progress.loss:.3f}  {rate:,.0f} tokens/s  {left:.0f} s to go"
    )
    if progress.note:
        say(f"  {progress.note}")

"""Progress on stderr: a bar on a terminal, one line per step elsewhere, nothing when quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cortex_cli.cli.session import session

__all__ = ["Steps"]


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

"""One run of the program: arguments and environment in, exit code out."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Never, TextIO

from cortex_cli.cli.errors import Terminated, run_guarded

__all__ = ["run", "run_process"]


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the program on *arguments* and return its exit code; nothing is raised."""
    from cortex_cli.cli.framework import root, run_command

    return run_guarded(lambda: run_command(root(), arguments), arguments, environ)


def run_process(arguments: Sequence[str]) -> int:
    """Run the program as this process: its signals, its streams, its environment."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _terminate)
    sys.stdout, sys.stderr = map(_open_stream, (sys.stdout, sys.stderr))
    return run(arguments, os.environ)


def _open_stream(stream: TextIO | None) -> TextIO:
    # A caller may have closed it, as some supervisors do; what is said then goes nowhere.
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, TextIOWrapper):
        # A name or an answer may hold what the locale of a cron job cannot show; that must not end the run.
        stream.reconfigure(errors="backslashreplace")
    return stream


def _interrupt(_number: int, _frame: FrameType | None) -> Never:
    # The second Ctrl-C skips the clean-up of the first.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _terminate(_number: int, _frame: FrameType | None) -> Never:
    raise Terminated

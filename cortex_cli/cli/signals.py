"""Verbs that go on until they are told to stop, and then end in order."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["until_told"]

# Programs such as GNU timeout tell the process and then its group: that is one wish, not two. Seconds.
_ECHO = 0.5


@contextmanager
def until_told() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set; a later second one ends the program as it would without this."""
    told = threading.Event()
    since = 0.0

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal since
        if told.is_set() and time.monotonic() - since > _ECHO:
            raise KeyboardInterrupt
        since = since or time.monotonic()
        told.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

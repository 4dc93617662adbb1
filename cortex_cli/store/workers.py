"""A pool of processes for work on batches: results come in order, and only a few batches are in memory."""

import gc
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["collect_garbage_seldom", "count_workers", "map_batches"]

T = TypeVar("T")
R = TypeVar("R")

# Batches in flight per worker: one to work on, one waiting, so that no worker is idle.
_AHEAD = 2
# Batches that are worked on here before processes are started: starting one costs about 0.2 s of imports.
_SMALL = 4


def count_workers(threads: int) -> int:
    """Return how many processes to use: *threads*, or one per core this process may run on when it is 0."""
    return threads or len(os.sched_getaffinity(0))


def map_batches(
    make: Callable[..., Callable[[T], R]], arguments: tuple[Any, ...], batches: Iterable[T], *, workers: int
) -> Generator[R, None, None]:
    """Yield `make(*arguments)(batch)` for every batch, in the order of *batches*.

    *make* runs once in every process and returns the function that works; it, its arguments, the batches and the
    results must pickle. With one worker, or few batches, no process is started. An error in a worker is raised
    here; closing the iterator ends the processes.
    """
    waiting = iter(batches)
    head = list(islice(waiting, _SMALL)) if workers > 1 else []
    if workers < 2 or len(head) < _SMALL:
        yield from map(make(*arguments), chain(head, waiting))
        return
    yield from _map_in_processes(make, arguments, chain(head, waiting), workers)


def _map_in_processes(
    make: Callable[..., Callable[[T], R]], arguments: tuple[Any, ...], batches: Iterator[T], workers: int
) -> Iterator[R]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Spawned, not forked: a fork would carry open databases and held locks along.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (make, arguments))
    flight: deque[Future[R]] = deque()
    try:
        for batch in batches:
            flight.append(pool.submit(_work, batch))
            if len(flight) >= workers * _AHEAD:
                yield flight.popleft().result()
        while flight:
            yield flight.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_FUNCTION: Callable[[Any], Any] | None = None


def collect_garbage_seldom() -> None:
    """Let Python look for cycles of garbage after 100,000 new containers instead of 700.

    Batches of records are tens of thousands of live containers without a cycle: looking at them again and again took
    27 % of the time of redaction.
    """
    gc.set_threshold(100_000, 20, 20)


def _begin(make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    import signal
    import threading

    global _FUNCTION  # noqa: PLW0603 - a worker process has one job, and pickling the function per batch costs more
    # Ctrl-C reaches the whole group of processes: only the first one answers it, and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The processes are the parallelism: threads of BLAS below them cost 40 % more CPU for the same work. Read when
    # numpy is first imported.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    collect_garbage_seldom()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _FUNCTION = make(*arguments)


def _end_with_parent() -> None:
    # A worker waits for its next batch on a pipe of which it holds both ends, so it would outlive a killed parent.
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(batch: Any) -> Any:
    if _FUNCTION is None:  # the pool calls _begin first
        raise RuntimeError("the worker has not begun")
    return _FUNCTION(batch)

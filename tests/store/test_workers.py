import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.store.workers import count_workers, map_batches


class _Scale:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, batch: list[int]) -> tuple[int, list[int]]:
        return os.getpid(), [self.factor * value for value in batch]


class _Refuse:
    def __call__(self, batch: list[int]) -> list[int]:
        if 7 in batch:
            raise ValueError("seven")
        return batch


class _Length:
    def __call__(self, batch: bytes) -> int:
        return len(batch)


def _batches(count: int) -> Iterator[list[int]]:
    return ([number, number + 1] for number in range(count))


def test_results_come_in_the_order_of_the_batches() -> None:
    found = [values for _, values in map_batches(_Scale, (3,), _batches(40), workers=2)]
    assert found == [[3 * number, 3 * number + 3] for number in range(40)]


def test_work_is_shared_by_other_processes() -> None:
    pids = {pid for pid, _ in map_batches(_Scale, (1,), _batches(40), workers=2)}
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


@pytest.mark.parametrize(("count", "workers"), [(0, 2), (3, 2), (40, 1)])
def test_little_work_and_one_worker_start_no_process(count: int, workers: int) -> None:
    pids = {pid for pid, _ in map_batches(_Scale, (1,), _batches(count), workers=workers)}
    assert pids <= {os.getpid()}


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(-5, 5), max_size=4), max_size=8), st.integers(-3, 3))
def test_one_worker_maps_like_a_plain_loop(batches: list[list[int]], factor: int) -> None:
    found = [values for _, values in map_batches(_Scale, (factor,), batches, workers=1)]
    assert found == [[factor * value for value in batch] for batch in batches]


def test_an_error_in_a_worker_is_raised_here_after_what_came_before_it() -> None:
    found: list[list[int]] = []
    with pytest.raises(ValueError, match="seven"):
        found.extend(map_batches(_Refuse, (), _batches(20), workers=2))
    assert found == [[number, number + 1] for number in range(6)]


def test_only_a_few_batches_are_taken_ahead_of_what_was_asked_for() -> None:
    taken = 0

    def count() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b"x" * 100

    results = map_batches(_Length, (), count(), workers=2)
    assert next(results) == 100
    assert taken <= 8
    results.close()


def test_a_count_that_was_given_is_used_and_none_means_all_cores() -> None:
    assert count_workers(3) == 3
    assert count_workers(0) == len(os.sched_getaffinity(0))


_PARENT = """
    import os, sys, time
    sys.path.insert(0, {folder!r})
    from cortex_cli.store.workers import map_batches
    from napper import Nap

    def batches():
        for number in range(100):
            yield number

    if __name__ == "__main__":
        for pid in map_batches(Nap, (), batches(), workers=2):
            print(pid, flush=True)
"""
_NAPPER = """
    import os

    class Nap:
        def __call__(self, number):
            if number > 6:
                while True:
                    pass
            return os.getpid()
"""


@pytest.mark.kill
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "napper.py").write_text(textwrap.dedent(_NAPPER))
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(_PARENT.format(folder=str(tmp_path))))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = {int(parent.stdout.readline()) for _ in range(5)}
        parent.send_signal(signal.SIGKILL)
        # Their ends of the pipe close when they have ended: reading to the end waits for that.
        assert isinstance(parent.stdout.read(), str)
    assert all(not _runs(worker) for worker in workers)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def test_a_function_that_is_a_closure_of_the_caller_works_with_one_worker() -> None:
    def make() -> Callable[[int], int]:
        return lambda value: value + 1

    assert list(map_batches(make, (), [1, 2], workers=1)) == [2, 3]

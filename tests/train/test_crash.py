"""What is left when a run ends where nobody wanted it to: killed, interrupted, out of memory, out of disk."""

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from cortex_cli.domain.errors import CortexError
from cortex_cli.models.lora import attach, lora_state
from cortex_cli.train.batches import Row, size_of
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import Progress, Result, run_loop
from cortex_cli.train.memory import give_back_memory
from cortex_cli.train.spec import LoopSpec, LoraSpec
from tests.train.tiny_rows import network, some_rows

pytestmark = pytest.mark.model

SPEC = LoopSpec(batch_tokens=64, epochs=1.0, window=16, checkpoint_every=2, keep=2, threads=1, dtype="float32")


def silent(_progress: Progress) -> None:
    pass


def adapted(spec: LoopSpec = SPEC) -> LanguageLoss:
    model = network()
    attach(model, LoraSpec(rank=2, alpha=4.0), seed=0)
    return LanguageLoss(model, 0, spec)


def train(folder: Path, watch: Any = silent, spec: LoopSpec = SPEC) -> tuple[Result, dict[str, torch.Tensor]]:
    folder.mkdir(exist_ok=True)
    objective = adapted(spec)
    return run_loop(objective, some_rows(), spec, folder, watch=watch), lora_state(objective.network)


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, two[name]) for name, value in one.items())


def in_child(work: Callable[[], object]) -> int:
    """Run *work* in a process of its own; return its exit status, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(moment: int, folder: Path) -> None:
    """Kill this process at its *moment*-th touch of a file in *folder*: opened, renamed, removed, made."""
    touched = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal touched
        if event in {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"} and str(folder) in str(arguments[0]):
            touched += 1
            if touched == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def train_until(moment: int, folder: Path) -> None:
    kill_at(moment, folder)
    train(folder)


# A child of a process with threads is a risk that this one takes: it trains with one thread and ends.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_run_killed_at_any_file_it_touches_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, straight = train(tmp_path / "whole")
    moment, killed = 1, True
    while killed:
        folder = tmp_path / f"killed-{moment}"
        folder.mkdir()
        killed = in_child(partial(train_until, moment, folder)) == -signal.SIGKILL
        again, resumed = train(folder)

        assert same(resumed, straight), moment
        assert (again.steps, again.tokens, again.loss) == (whole.steps, whole.tokens, whole.loss), moment
        for name in ("metrics.jsonl", "steps.jsonl"):
            assert len((folder / name).read_bytes().splitlines()) == whole.steps, moment
        moment += 9  # no multiple of what a checkpoint touches, so the moments differ from one to the next
    assert moment > 30


def test_ctrl_c_saves_the_last_whole_step_and_leaves(tmp_path: Path) -> None:
    def press(progress: Progress) -> None:
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "a", press)
    seen: list[Progress] = []
    _, resumed = train(tmp_path / "a", seen.append)

    assert seen[0].step == 4
    assert same(resumed, train(tmp_path / "b")[1])
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_from_what_watches_saves_too(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop)
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-00000003"]


def test_training_works_outside_of_the_main_thread(tmp_path: Path) -> None:
    done: list[Result] = []
    thread = threading.Thread(target=lambda: done.append(train(tmp_path)[0]))
    thread.start()
    thread.join()

    assert done[0].steps > 0


class Narrow:
    """An objective whose memory holds *room* tokens: beyond that it asks the allocator for what no machine has."""

    def __init__(self, room: int) -> None:
        self.inner = adapted()
        self.network = self.inner.network
        self.room = room
        self.sizes: list[int] = []

    def weigh(self, row: Row) -> float:
        return self.inner.weigh(row)

    def loss(self, rows: Sequence[Row]) -> torch.Tensor:
        size = size_of(rows, "buckets")
        if size > self.room:
            torch.empty(1 << 60)
        self.sizes.append(size)
        return self.inner.loss(rows)


def test_out_of_memory_halves_the_micro_batch_and_goes_on_to_the_same_steps(tmp_path: Path) -> None:
    seen: list[Progress] = []
    (tmp_path / "a").mkdir()
    objective = Narrow(32)
    run_loop(objective, some_rows(), SPEC, tmp_path / "a", watch=seen.append)
    plain: list[Progress] = []
    train(tmp_path / "b", plain.append)

    assert max(objective.sizes) <= 32
    assert [line.loss for line in seen] == pytest.approx([line.loss for line in plain], abs=1e-5)
    assert seen[0].note == f"memory ran out: micro-batches of at most {seen[0].micro_tokens} tokens from here on"
    assert seen[-1].note == ""
    assert 16 < seen[-1].micro_tokens <= 32


def test_a_row_that_is_too_much_for_the_memory_alone_stops_with_what_to_change(tmp_path: Path) -> None:
    with pytest.raises(CortexError, match="does not even hold one example at a time") as caught:
        run_loop(Narrow(2), some_rows(), SPEC, tmp_path, watch=silent)

    assert "checkpointing = true" in caught.value.hint


def test_another_error_of_the_model_is_not_taken_for_lack_of_memory(tmp_path: Path) -> None:
    objective = adapted()
    objective.pad = 10**6  # an id that no embedding has

    with pytest.raises(IndexError):
        run_loop(objective, some_rows(), SPEC, tmp_path, watch=silent)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    limits: list[Any] = []

    def fill(progress: Progress) -> None:
        if progress.step == 3:  # a checkpoint of this model is larger, a line of metrics is not
            limits.append(files_of_at_most(8000))
            limits[0].__enter__()

    try:
        with pytest.raises(CortexError, match="cannot be written") as caught:
            train(tmp_path / "a", fill)
    finally:
        limits[0].__exit__(None, None, None)
    _, resumed = train(tmp_path / "a")

    assert "what was acknowledged before is kept" in caught.value.state
    assert same(resumed, train(tmp_path / "b")[1])


def test_snapshots_are_kept_at_even_steps_and_the_last_is_the_adapter(tmp_path: Path) -> None:
    result, adapter = train(tmp_path, spec=msgspec.structs.replace(SPEC, keep=3))
    kept = sorted(path.name for path in (tmp_path / "snapshots").iterdir())
    last = tmp_path / "snapshots" / kept[-1]

    assert kept == [f"{round(result.steps * number / 3):08d}" for number in (1, 2, 3)]
    assert same(load_file(last / "adapter_model.safetensors"), adapter)
    moments = load_file(last / "moments.safetensors")
    assert moments.keys() == adapter.keys()
    assert all(bool((value >= 0).all()) for value in moments.values())


def test_a_whole_model_leaves_no_snapshots(tmp_path: Path) -> None:
    run_loop(LanguageLoss(network(), 0, SPEC), some_rows(), SPEC, tmp_path, watch=silent)

    assert not (tmp_path / "snapshots").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has the call")
def test_what_was_freed_is_given_back_to_the_system() -> None:
    pieces = [torch.ones(16_000) for _ in range(4000)]  # 256 MB in pieces that the allocator keeps
    last = pieces[-1].clone()  # in the way of giving back by itself
    pieces.clear()
    before = resident()
    give_back_memory()

    assert resident() < before - 100e6
    assert float(last.sum()) == 16_000


def resident() -> float:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

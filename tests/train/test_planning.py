"""The plan of a training: what is counted is exact, what is measured is taken over, what does not fit says what to change."""

import time
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.store.starter import starter_root
from cortex_cli.train.batches import Row
from cortex_cli.train.fitting import fit_adapter, prepare_adapter
from cortex_cli.train.loop import Progress
from cortex_cli.train.planning import (
    Machine,
    Measured,
    Work,
    calibration_key,
    count_work,
    measure,
    outlook,
    read_machine,
    read_peak,
    read_runtime,
)
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from tests.train.conftest import requests

MACHINE = Machine(name="a machine", memory=8 * 2**30, disk=2**30, cores=2, free_cores=2)
FOUND = Measured(
    runtime=400 * 2**20,
    first=600 * 2**20,
    growth=50 * 2**20,
    weights=100 * 2**20,
    parameters=52_000_000,
    trained=1_000_000,
    micro=2048,
    lengths=(16, 64),
    costs=(1e-4, 2e-4),
    load=2.0,
)
WORK = Work(examples=100, tokens=16_000, steps=16, sizes=(2048,) * 8 + (1024,) * 8, lengths=(16,) * 8 + (64,) * 8)
SPEC = TrainSpec(
    agent="dispatch",
    dataset="dispatch",
    min_examples=10,
    lora=LoraSpec(rank=4, alpha=8.0),
    loop=LoopSpec(batch_tokens=256, epochs=2.5, window=64, threads=1),
)


def rows(count: int) -> list[Row]:
    return [Row(tuple(range(5 + number % 40)), ((2, 5),), f"x-{number}") for number in range(count)]


def examples() -> list[Example]:
    return [
        Example(id=f"x-{number}", agent="a", messages=(Message("user", text),), answer=intent, source="demonstration")
        for number, (text, intent) in enumerate(requests())
    ]


def test_time_and_memory_are_summed_over_what_the_batches_are() -> None:
    found = outlook(WORK, FOUND, LoopSpec(), MACHINE, hourly=3600.0)
    assert found.seconds == pytest.approx(8 * 2048 * 1e-4 + 8 * 1024 * 2e-4, abs=0.06)
    assert found.cost == pytest.approx(found.seconds + found.start, abs=0.06)
    assert found.memory["base"] == 100 * 2**20
    assert (found.memory["adapter"], found.memory["gradients"], found.memory["optimizer"]) == (4e6, 4e6, 8e6)
    assert found.memory["buffers"] == 4 * 50 * 2**20  # 16 steps are four doublings
    assert found.peak == sum(found.memory.values()) == pytest.approx(800 * 2**20, abs=4)
    assert (found.faults, found.advice) == ((), ())


def test_what_is_too_large_for_memory_says_how_small_the_parts_must_be() -> None:
    large = msgspec.structs.replace(FOUND, first=9 * 2**30, growth=0)
    small = msgspec.structs.replace(MACHINE, memory=3 * 2**30)
    found = outlook(WORK, large, LoopSpec(batch_tokens=2048, window=64), small)
    assert found.faults == ("memory: 9.00 GiB are needed, 2.85 GiB are free",)
    assert found.advice == ("set micro_tokens = 512 in [train.loop]: the same steps in smaller parts",)


@pytest.mark.parametrize(
    ("memory", "checkpointing", "said"),
    [
        (2**30, False, "set checkpointing = true"),
        (2**30, True, "take a smaller base"),
        (2**28, False, "take a smaller base"),
    ],
)
def test_when_smaller_parts_do_not_help_something_else_is_named(memory: int, checkpointing: bool, said: str) -> None:
    large = msgspec.structs.replace(FOUND, first=300 * 2**30, growth=0)
    found = outlook(WORK, large, LoopSpec(checkpointing=checkpointing), msgspec.structs.replace(MACHINE, memory=memory))
    assert found.advice[0].startswith(said)


def test_a_full_disk_and_a_limit_of_time_are_told_before() -> None:
    full = msgspec.structs.replace(MACHINE, disk=1000)
    found = outlook(WORK, FOUND, LoopSpec(max_seconds=1.0, epochs=4.0), full)
    assert found.faults == ("disk: 0.03 GiB are needed, 0.00 GiB are free",)
    assert (found.seconds, found.start) == (1.0, 2.0)
    assert found.advice[-1].startswith("max_seconds ends it after 31% of the steps: lower epochs to 1.2")


def test_smaller_micro_batches_need_less_for_activations() -> None:
    whole = outlook(WORK, FOUND, LoopSpec(), MACHINE).memory["activations"]
    half = outlook(WORK, FOUND, LoopSpec(micro_tokens=1024), MACHINE).memory["activations"]
    assert half == pytest.approx(whole / 2, rel=0.01)


def test_a_measurement_holds_for_other_data_and_not_for_another_adapter() -> None:
    key = calibration_key(MACHINE, "sha256:1", SPEC)
    longer = msgspec.structs.replace(SPEC, loop=msgspec.structs.replace(SPEC.loop, epochs=9.0, seed=4), dataset="other")
    wider = msgspec.structs.replace(SPEC, lora=LoraSpec(rank=64))
    assert calibration_key(MACHINE, "sha256:1", longer) == key
    assert calibration_key(MACHINE, "sha256:1", wider) != key
    assert calibration_key(MACHINE, "sha256:2", SPEC) != key
    assert calibration_key(msgspec.structs.replace(MACHINE, name="b"), "sha256:1", SPEC) != key


def test_work_counts_every_epoch_and_a_part_of_the_last() -> None:
    spec = LoopSpec(batch_tokens=256, epochs=1.5)
    once = count_work(rows(200), msgspec.structs.replace(spec, epochs=1.0))
    found = count_work(rows(200), spec)
    assert once.tokens == sum(len(row.ids) for row in rows(200))
    assert found.steps == once.steps + round(once.steps / 2)
    assert max(found.sizes) <= 256
    assert found.examples == 200


def test_this_machine_has_memory_disk_and_cores_to_spare(tmp_path: Path) -> None:
    machine = read_machine(tmp_path / "not" / "there" / "yet")
    assert machine.memory > 2**28
    assert machine.disk > 0
    assert 1 <= machine.free_cores <= machine.cores
    assert machine.name


@pytest.mark.model
def test_the_steps_of_the_plan_are_those_of_the_run_and_trying_them_leaves_nothing(tmp_path: Path) -> None:
    base = starter_root() / "registry" / "models" / "cortex-tiny"
    runtime = read_runtime()
    prepared = prepare_adapter(examples(), base, SPEC)
    work = count_work(prepared.rows, SPEC.loop)
    found = measure(prepared, SPEC.loop, work.steps, runtime=runtime, began=time.monotonic())
    assert found.trained == sum(
        value.numel() for value in prepared.objective.network.parameters() if value.requires_grad
    )
    assert runtime < found.first <= read_peak()
    assert list(found.lengths) == sorted(found.lengths)
    assert all(cost > 0 for cost in found.costs)

    taken: list[Progress] = []
    fitted = fit_adapter(examples(), base, SPEC, tmp_path / "run", watch=taken.append)
    assert (fitted.result.steps, fitted.result.tokens) == (work.steps, work.tokens)
    assert fitted.examples == work.examples

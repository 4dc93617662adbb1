import json
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
import torch

from cortex_cli.domain.errors import UsageError
from cortex_cli.train.crew import ALONE, Workers

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]
# What each worker runs: argv is rank, size, file of the meeting point, run folder, micro tokens.
WORKER = """
import json, sys
import torch
from pathlib import Path
from torch import distributed
from cortex_cli.train.crew import ALONE, Workers
from cortex_cli.train.language import LanguageLoss
from cortex_cli.train.loop import run_loop
from cortex_cli.train.spec import LoopSpec
from tests.train.tiny_rows import network, some_rows

rank, size, meeting, folder, plan = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), sys.argv[5]
if size > 1:
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
spec = LoopSpec(batch_tokens=64, window=16, epochs=3.0, dtype="float32", threads=1, plan=plan)
model = LanguageLoss(network(), 0, spec)
run_loop(model, some_rows(), spec, folder, watch=lambda _progress: None, crew=Workers() if size > 1 else ALONE)
if size > 1:  # a worker whose peer is gone before its own threads of gloo have ended is aborted
    distributed.barrier()
    distributed.destroy_process_group()
print(json.dumps([value.double().sum().item() for value in model.network.parameters()]))
"""


def train(folder: Path, size: int, plan: str = "buckets") -> tuple[list[float], list[Any]]:
    folder.mkdir()
    command = [sys.executable, "-c", WORKER]
    workers = [
        Popen(
            [*command, str(rank), str(size), str(folder / "meeting"), str(folder), plan],
            cwd=ROOT,
            stdout=PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    told = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * size
    losses = [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return losses, [json.loads(text) for text in told]


@pytest.mark.parametrize("plan", ["buckets", "packed"])
def test_two_workers_have_the_loss_curve_of_one_at_equal_global_batch(tmp_path: Path, plan: str) -> None:
    alone, (weights,) = train(tmp_path / "one", 1, plan)
    together, both = train(tmp_path / "two", 2, plan)

    assert together == pytest.approx(alone, abs=1e-4)
    assert both[0] == both[1]
    assert both[0] == pytest.approx(weights, abs=1e-3)


def test_one_alone_computes_everything_and_changes_nothing() -> None:
    tensor = torch.ones(2)
    ALONE.reduce([tensor])

    assert ALONE.share([1, 2, 3]) == [1, 2, 3]
    assert (ALONE.rank, ALONE.size) == (0, 1)
    assert tensor.tolist() == [1.0, 1.0]


def test_workers_without_a_meeting_point_say_so() -> None:
    with pytest.raises(UsageError, match=r"torch\.distributed is not initialised"):
        Workers()

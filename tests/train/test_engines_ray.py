import json
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.lora import read_adapter
from cortex_cli.train.engines import fit
from cortex_cli.train.fitting import Fitted
from cortex_cli.train.loop import Progress
from cortex_cli.train.spec import LoopSpec, LoraSpec, RaySpec, TrainSpec
from tests.models.tiny import make_base
from tests.train.lessons import TEXTS, lessons

pytest.importorskip("ray", reason="needs the ray extra")
# Ray leaves sockets and files open in the driver, and warns of its own future.
pytestmark = [pytest.mark.model, pytest.mark.kill, pytest.mark.filterwarnings("ignore")]

SPEC = TrainSpec(
    agent="a",
    dataset="d",
    engine="ray",
    min_examples=4,
    lora=LoraSpec(rank=2, alpha=4.0, targets=("q_proj", "v_proj")),
    loop=LoopSpec(batch_tokens=128, window=64, epochs=6.0, dtype="float32", threads=1, checkpoint_every=4),
    ray=RaySpec(workers=2, failures=3),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), TEXTS)


@pytest.fixture(scope="module")
def alone(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    spec = msgspec.structs.replace(SPEC, engine="native")
    return fit(lessons(), base, spec, tmp_path_factory.mktemp("alone"), watch=lambda _progress: None)


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def same(one: Fitted, two: Fitted) -> None:
    first, second = read_adapter(one.folder)[0], read_adapter(two.folder)[0]
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=0, atol=1e-3)


def worker_of_ray() -> int:
    """The process id of a worker that is in the loop; Ray names processes after what they run."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = path.read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if name.startswith(b"ray::") and b"TrainWorker" in name and descends(int(path.parent.name), os.getpid()):
            return int(path.parent.name)
    raise AssertionError("no worker of Ray was found")


def descends(pid: int, ancestor: int) -> bool:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if pid == ancestor:
            return True
    return False


def test_two_workers_have_the_loss_curve_of_one_and_a_killed_one_goes_on(
    base: Path, alone: Fitted, tmp_path: Path
) -> None:
    killed: list[int] = []
    seen: list[Progress] = []

    def kill_once(progress: Progress) -> None:
        seen.append(progress)
        if progress.step >= 6 and not killed:
            killed.append(worker_of_ray())
            os.kill(killed[0], signal.SIGKILL)

    fitted = fit(lessons(), base, SPEC, tmp_path, watch=kill_once)

    assert killed
    assert [progress.step for progress in seen] == list(range(1, fitted.result.steps + 1))
    assert losses(tmp_path) == pytest.approx(losses(alone.folder.parent), abs=1e-4)
    assert fitted.result.tokens == alone.result.tokens
    assert fitted.examples == alone.examples
    same(fitted, alone)
    assert not (tmp_path / "examples.jsonl").exists()


def test_what_is_wrong_with_the_data_is_told_as_without_ray(base: Path, tmp_path: Path) -> None:
    spec = msgspec.structs.replace(SPEC, loop=msgspec.structs.replace(SPEC.loop, window=2))

    with pytest.raises(UsageError, match="longer than the window of 2 tokens"):
        fit(lessons(), base, spec, tmp_path, watch=lambda _progress: None)


def test_sharding_is_refused_with_what_is_missing(base: Path, tmp_path: Path) -> None:
    spec: Any = msgspec.structs.replace(SPEC, ray=RaySpec(strategy="fsdp"))

    with pytest.raises(UsageError, match="as many micro-batches as the others"):
        fit(lessons(), base, spec, tmp_path, watch=lambda _progress: None)

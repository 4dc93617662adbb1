import os
from pathlib import Path

import pytest

from cortex_cli.train.cores import CoreMeter, allowed_cores

HERTZ = os.sysconf("SC_CLK_TCK")


def write_stat(folder: Path, busy: float) -> Path:
    """Write the kernel's count of *busy* seconds of all cores, and of a long idle time."""
    (folder / "stat").write_text(f"cpu  {int(busy * HERTZ)} 0 0 999999 0 0 0 0 0 0\ncpu0 1 2 3\n")
    return folder


def measured(folder: Path, others: float, seconds: float) -> CoreMeter:
    """Return a meter that began *seconds* ago, since when others have kept *others* cores busy."""
    meter = CoreMeter(write_stat(folder, 1000))
    wall, own, busy = meter._before
    meter._before = (wall - seconds, own, busy)
    write_stat(folder, 1000 + others * seconds)
    return meter


def test_cores_that_nobody_uses_are_free(tmp_path: Path) -> None:
    assert measured(tmp_path, 0.0, 10.0).free_cores() == allowed_cores()


def test_cores_that_others_keep_busy_are_not(tmp_path: Path) -> None:
    cores = os.cpu_count() or 1

    assert measured(tmp_path, 0.9 + cores - allowed_cores(), 10.0).free_cores() == max(1, allowed_cores() - 1)
    assert measured(tmp_path, 5.0 * cores, 10.0).free_cores() == 1


def test_without_a_count_of_the_kernel_the_load_decides_and_one_is_always_left(tmp_path: Path) -> None:
    assert 1 <= CoreMeter(tmp_path).free_cores() <= allowed_cores()


@pytest.mark.parametrize(
    ("quota", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("?", None)]
)
def test_the_quota_of_a_container_bounds_the_cores(tmp_path: Path, quota: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)

    assert allowed_cores(tmp_path / "cpu.max") == (cores or allowed_cores(tmp_path / "none"))

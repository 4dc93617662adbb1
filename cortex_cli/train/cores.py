"""How many cores are free: those this process may use, less those that other processes keep busy."""

import math
import os
import time
from pathlib import Path

__all__ = ["SINCE_START", "CoreMeter", "allowed_cores"]

_SHORTEST = 0.1  # seconds; the kernel counts in hundredths


class CoreMeter:
    """Measures the processor time that other processes take, from its making to the question.

    With more threads than free cores a training step waits for its slowest thread: two threads on two cores that
    six others shared took twenty times as long as one alone.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._stat = proc / "stat"
        self._before = self._read()

    def free_cores(self) -> int:
        """Return how many cores are free, at least 1 and at most those that this process may use."""
        wall, own, busy = (now - before for now, before in zip(self._read(), self._before, strict=True))
        # Too short to measure, or a system that does not tell: the mean number of runners of the last minute.
        told = wall >= _SHORTEST and self._stat.is_file()
        others = max(0.0, (busy - own) / wall) if told else os.getloadavg()[0]
        return max(1, min(allowed_cores(), math.floor((os.cpu_count() or 1) - others + 0.5)))

    def _read(self) -> tuple[float, float, float]:
        times = os.times()
        return time.monotonic(), times.user + times.system, self._busy()

    def _busy(self) -> float:
        try:
            fields = self._stat.read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
        except OSError:
            return 0.0
        user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, fields[:8])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def allowed_cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the cores this process may use: by its affinity, and by the quota of its container in the file *limit*."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = limit.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, round(int(quota) / int(period))))


# Loading torch and a model takes seconds: long enough to measure, and nobody has to wait for it.
SINCE_START = CoreMeter()

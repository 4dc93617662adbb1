import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from cortex_cli.registry.copies import pending_path
from cortex_cli.registry.fsck import check, find_locks
from cortex_cli.registry.repair import _find_git_process, repair
from cortex_cli.registry.repository import Registry
from cortex_cli.store.clock import Clock
from cortex_cli.store.objects import ObjectStore

User = Callable[..., str]

KILLS = 200
# About two commits long at first; then it follows this machine, so that the kills fall on all steps of a
# commit, and about half of them after an acknowledged one, however busy the machine is.
LONGEST_SECONDS = 0.12


def kill_at(moment: float, server: subprocess.Popen[str]) -> list[str]:
    """Start a child, kill its whole process group after *moment* seconds, return what it acknowledged."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("go\n")
    server.stdin.flush()
    pid, acknowledged = _read_pid(server.stdout)
    select.select([], [], [], moment)
    # A child killed before it could leave its parent's group is killed alone: it has started nothing yet.
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)
    for line in iter(server.stdout.readline, "dead\n"):
        assert line.startswith("ack "), line
        acknowledged.append(line.split()[1])
    return acknowledged


def wait_for_the_dying(root: Path) -> None:
    """Return when the last git of a killed group is gone: its end takes a moment longer than the signal."""
    deadline = time.monotonic() + 10
    while _find_git_process(root):
        assert time.monotonic() < deadline


def _read_pid(stream: IO[str]) -> tuple[int, list[str]]:
    acknowledged: list[str] = []
    for line in iter(stream.readline, ""):
        word, value = line.split()
        if word == "pid":
            return int(value), acknowledged
        acknowledged.append(value)
    raise AssertionError("the server has ended")


@pytest.mark.kill
def test_two_hundred_kills_lose_no_acknowledged_commit_and_need_at_most_one_repair(
    registry: Registry, objects: ObjectStore, root: Path, user: User, later: Clock
) -> None:
    moments = random.Random(20_260_102)
    acknowledged: list[str] = []
    found: Counter[str] = Counter()
    command = [sys.executable, str(Path(__file__).with_name("committer.py")), "serve", str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        longest = LONGEST_SECONDS
        for _ in range(KILLS):
            done = kill_at(moments.uniform(0, longest), server)
            longest = min(2.0, max(0.03, longest * (0.95 if done else 1.05)))
            acknowledged += done
            wait_for_the_dying(root)
            found["kills"] += 1
            found["cut off"] += pending_path(registry.git).exists()
            if find_locks(registry.git):
                found["stale locks"] += 1
                repair(registry, objects, now=later)
                assert find_locks(registry.git) == []
        assert server.stdin is not None
        server.stdin.close()
    assert server.returncode == 0

    repair(registry, objects, now=later)
    # The champions of these commits are made up, and that is all that may be wrong with them.
    left = [item for item in check(registry, objects, depth="content") if "no variant of its own" not in item.what]
    assert left == []
    assert set(acknowledged) <= set(user("rev-list", "HEAD").split())
    assert user("status", "--porcelain") == ""
    assert found["kills"] == KILLS
    # Kills that never cut anything off would prove nothing.
    assert len(acknowledged) > KILLS // 10
    assert found["cut off"] > 0

"""SIGKILL at random moments: what was acknowledged is there, and the store is sound without any repair."""

import os
import random
import select
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cortex_cli.domain.digests import digest_bytes
from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.store.journal import Journal
from cortex_cli.store.objects import ObjectStore

pytestmark = pytest.mark.kill

KILLS = 200


def acknowledged_until_killed(work: Callable[[], Iterator[str]], chance: random.Random) -> list[str]:
    """Run *work* in a child, kill it at a random moment, and return the lines it had acknowledged."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for line in work():
                os.write(writer, line.encode() + b"\n")
        finally:
            os._exit(1)
    os.close(writer)
    received = b"".join(os.read(reader, 1 << 16) for _ in range(chance.randrange(6)))
    # A moment inside the next write, not between two: up to 4 ms, the time of one to three writes.
    select.select([], [], [], chance.random() * 0.004)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while chunk := os.read(reader, 1 << 16):
        received += chunk
    os.close(reader)
    return received.decode().split()


def test_no_acknowledged_object_is_lost(tmp_path: Path) -> None:
    store, chance = ObjectStore(tmp_path / "objects"), random.Random(20260102)

    def work(seed: int) -> Iterator[str]:
        content = random.Random(seed)
        while True:
            yield store.put_bytes(content.randbytes(content.choice([10, 5_000, 300_000])))

    acknowledged: set[str] = set()
    for kill in range(KILLS):
        acknowledged |= set(acknowledged_until_killed(lambda seed=kill: work(seed), chance))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    found = set(store.digests())
    assert len(acknowledged) > KILLS
    assert acknowledged <= found
    assert all(store.verify(digest) for digest in found)
    assert len(store.leftovers()) <= KILLS


def test_no_acknowledged_file_is_torn(tmp_path: Path) -> None:
    store, chance = ObjectStore(tmp_path / "objects"), random.Random(7)
    data = [random.Random(number).randbytes(100_000) for number in range(20)]

    def work() -> Iterator[str]:
        while True:
            for chunk in data:
                yield store.put_chunks([chunk[:70_000], chunk[70_000:]], "part").digest

    for _ in range(KILLS // 5):
        acknowledged_until_killed(work, chance)
    assert set(store.digests()) <= {digest_bytes(chunk) for chunk in data}
    assert all(store.verify(digest) for digest in store.digests())


def test_no_acknowledged_record_is_lost(tmp_path: Path) -> None:
    path, chance = tmp_path / ".cortex" / "journal.db", random.Random(20260103)

    def work(seed: int) -> Iterator[str]:
        sizes = random.Random(seed)
        with Journal(path) as journal:
            for step in range(10_000):
                ids = [f"i-{seed}-{step}-{number}" for number in range(sizes.choice([1, 3, 40]))]
                journal.append(
                    Interaction(id=name, agent="a", time="", messages=(Message("user", name * 20),)) for name in ids
                )
                yield " ".join(ids)

    acknowledged: set[str] = set()
    for kill in range(KILLS):
        acknowledged |= set(acknowledged_until_killed(lambda seed=kill: work(seed), chance))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        with Journal(path) as journal:
            journal.last()
    with Journal(path) as journal:
        assert journal.faults() == []
        found = {record.id for _, record in journal.interactions()}
    assert len(acknowledged) > KILLS
    assert acknowledged <= found

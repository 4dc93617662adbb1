"""Collecting is killed, interrupted and run twice at once; the journal ends as if nothing had happened."""

import json
import os
import random
import select
import signal
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.collect.reading import read_records
from cortex_cli.collect.sources import open_source
from cortex_cli.pipeline.collecting import Sources, collect_sources
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import Workspace, open_key


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    start_workspace(tmp_path / "lab", name="lab")
    return open_place(Workspace(tmp_path / "lab"))


def write(path: Path, numbers: range) -> str:
    def line(number: int) -> str:
        content = f"request {number} of a{number}@example.org"
        value: Any = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "ok"}]}
        return json.dumps(value) + "\n"

    path.write_text("".join(map(line, numbers)), encoding="utf-8")
    return str(path)


def ids(place: Place) -> list[str]:
    with Journal(place.workspace.journal_path) as journal:
        assert journal.faults() == []
        return [record.id for _, record in journal.interactions()]


def in_child(place: Place, log: str) -> int:
    child = os.fork()
    if child == 0:
        try:
            collect_sources(place, Sources((log,), agent="shell"))
        finally:
            os._exit(0)
    return child


@pytest.mark.kill
def test_a_killed_collection_is_completed_by_the_same_call(place: Place, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", range(9000))
    open_key(place.workspace)
    chance = random.Random(11)
    for _ in range(12):
        child = in_child(place, log)
        # Up to 0.3 s, in which two or three of the five batches are kept.
        select.select([], [], [], chance.random() * 0.3)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        ids(place)
    report = collect_sources(place, Sources((log,), agent="shell"))
    assert report.new + report.known == 9000
    assert len(ids(place)) == len(set(ids(place))) == 9000


def test_two_collections_at_once_keep_every_record_once(place: Place, tmp_path: Path) -> None:
    children = [
        in_child(place, write(tmp_path / f"{number}.jsonl", range(number * 1500, number * 1500 + 5000)))
        for number in range(2)
    ]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert len(ids(place)) == len(set(ids(place))) == 6500


def test_memory_does_not_grow_with_the_length_of_a_source(place: Place, tmp_path: Path) -> None:
    def peak(records: Iterator[Any]) -> int:
        tracemalloc.start()
        with Journal(place.workspace.journal_path) as journal:
            journal.append(records)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    short = open_source(Path(write(tmp_path / "short.jsonl", range(3000))))
    long = open_source(Path(write(tmp_path / "long.jsonl", range(3000, 18_000))))
    first = peak(read_records(short, agent="shell"))
    assert peak(read_records(long, agent="shell")) < first * 2

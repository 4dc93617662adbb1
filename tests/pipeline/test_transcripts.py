import os
from datetime import timedelta
from pathlib import Path

import pytest

from cortex_cli.pipeline.collecting import Sources, collect_sources
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.transcripts import find_endangered
from cortex_cli.store.clock import utc_now
from tests.pipeline.memories import open_memory


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return open_memory(tmp_path / "workspace").place


def leave(folder: Path, name: str, days: int) -> Path:
    path = folder / "project" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"agent": "dispatch", "messages": [{"role": "user", "content": "hi"}], "output": "ho"}\n')
    moment = (utc_now() - timedelta(days=days)).timestamp()
    os.utime(path, (moment, moment))
    return path


def at_present(place: Place) -> Place:
    return Place(place.workspace, place.registry, place.objects, place.starter, utc_now)


def test_without_the_folder_nothing_is_in_danger(place: Place, tmp_path: Path) -> None:
    assert find_endangered(at_present(place), tmp_path / "projects") == 0


def test_what_is_old_and_was_not_collected_is_in_danger(place: Place, tmp_path: Path) -> None:
    leave(tmp_path / "projects", "young.jsonl", 3)
    leave(tmp_path / "projects", "old.jsonl", 26)
    leave(tmp_path / "projects", "notes.txt", 26)
    assert find_endangered(at_present(place), tmp_path / "projects") == 1


def test_what_was_collected_is_not(place: Place, tmp_path: Path) -> None:
    path = leave(tmp_path / "projects", "old.jsonl", 26)
    collect_sources(place, Sources((str(path),), policy="off"))
    assert find_endangered(at_present(place), tmp_path / "projects") == 0

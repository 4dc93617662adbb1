from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.pipeline.demo import Extent, Report, run_demo
from cortex_cli.registry.fsck import check
from cortex_cli.registry.history import read_log
from cortex_cli.registry.repository import Registry
from cortex_cli.release.verifying import verify_all
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

pytestmark = pytest.mark.model

# Training ends with its epochs, never by the clock, so that the verdict does not depend on how busy the machine is.
SMALL = Extent(traffic=1200, held_out=60, contest=120, morning=60, train_seconds=300.0)


class Heard:
    """Notes the steps, and stops as a kill would when a step of that name begins."""

    def __init__(self, stop: str = "never") -> None:
        self.steps: list[str] = []
        self.stop = stop

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        if what.startswith(self.stop):
            raise KeyboardInterrupt
        self.steps.append(what.partition(":")[0])
        yield

    def update(self, what: str) -> None:
        pass


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "lab"


@pytest.fixture(scope="module")
def report(root: Path) -> Report:
    """The demo, stopped in the middle and called again."""
    for stop in ("train", "ab"):
        with pytest.raises(KeyboardInterrupt):
            run_demo(root, SMALL, Heard(stop))
    return run_demo(root, SMALL, Heard())


def test_a_demo_that_was_stopped_twice_ends_with_everything_measured(report: Report) -> None:
    night = report.nights[0]

    assert night.comparison.cases == 60
    assert night.comparison.first < 0.15
    assert report.judged == 3678
    assert report.shell_examples > 400
    assert report.shell_cases > 40
    assert night.outcome in {"promote", "hold"}
    assert night.reason


def test_what_the_demo_recorded_is_sound_and_can_be_recomputed(report: Report, root: Path) -> None:
    registry = Registry(Workspace(root))
    store = ObjectStore(Workspace(root).objects_root)

    assert check(registry, store, depth="content") == []
    assert [found.holds for found in verify_all(registry.snapshot(), store)] == [True]


def test_each_stage_left_one_commit(report: Report, root: Path) -> None:
    actions = [event.action for event in read_log(Registry(Workspace(root)), "dispatch")][::-1]

    assert actions[:5] == ["curate", "train", "variant", "ab", "decide"]
    if report.nights[0].promoted:
        assert actions[5:] == ["promote", "rollback", "promote"]


def test_the_same_demo_again_repeats_nothing_but_its_measurements(report: Report, root: Path) -> None:
    head = Registry(Workspace(root)).snapshot().commit
    again = run_demo(root, SMALL, Heard())

    assert Registry(Workspace(root)).snapshot().commit == head
    assert again.nights == report.nights
    assert again.moves == report.moves


def test_a_demo_of_another_extent_in_the_same_folder_is_refused(report: Report, root: Path) -> None:
    head = Registry(Workspace(root)).snapshot().commit
    with pytest.raises(UsageError, match="holds a demo with other settings"):
        run_demo(root, msgspec.structs.replace(SMALL, traffic=1300), Heard())

    assert Registry(Workspace(root)).snapshot().commit == head

"""The search: one budget, growing shares, failures told, and the same trials whether it was killed or not."""

import itertools
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.errors import MissingExtraError, UsageError
from cortex_cli.train.search import Attempt, Choice, Found, apply_choice, plan_shares, require_search_extra, run_search
from cortex_cli.train.spec import LoopSpec, LoraSpec, TrainSpec
from cortex_cli.train.study import SearchSpec

pytest.importorskip("optuna", reason="the search extra is not installed")

SPEC = SearchSpec(
    trials=12, minutes=60.0, ranks=(4, 8, 16), learning_rate=(1e-3, 1e-1), mixture=(0.5, 1.0), metric="success"
)


def landscape(choice: Choice, share: float) -> float:
    """Best near a learning rate of 0.01 and with many epochs; more data helps everybody alike."""
    return round(1 - 0.2 * abs(math.log10(choice.learning_rate) + 2) - 0.1 / choice.epochs - 0.2 * (1 - share), 6)


def ticking(seconds: float) -> Callable[[], float]:
    ticks = itertools.count()
    return lambda: seconds * next(ticks)


def find(
    journal: Path, train: Callable[[Choice, float], float] = landscape, spec: SearchSpec = SPEC, seconds: float = 1.0
) -> Found:
    return run_search(spec, "tiny", journal, Attempt(train=train, rate=3.6, clock=ticking(seconds)))


def plain(found: Found) -> list[object]:
    return [msgspec.structs.replace(trial, seconds=0.0) for trial in found.tried]


def test_the_search_finds_what_is_good(tmp_path: Path) -> None:
    found = find(tmp_path / "search.log")
    assert found.best is not None
    assert found.best.choice is not None
    assert found.best.score == max(trial.score or 0 for trial in found.tried if trial.state == "complete")
    assert 0.003 < found.best.choice.learning_rate < 0.03
    assert (len(found.tried), found.ended) == (12, "12 trials")


def test_only_the_best_go_on_to_more_data(tmp_path: Path) -> None:
    found = find(tmp_path / "search.log")
    stopped = [trial for trial in found.tried if trial.state == "stopped"]
    assert len(stopped) > 4
    for trial in stopped:
        assert "1" not in trial.shares
        assert "not among the best at" in trial.reason
    assert all(set(trial.shares) == {"0.111", "0.333", "1"} for trial in found.tried if trial.state == "complete")


@pytest.mark.parametrize(
    ("trials", "halving", "shares"),
    [(2, 3, (1.0,)), (3, 3, (1 / 3, 1.0)), (9, 3, (1 / 9, 1 / 3, 1.0)), (500, 3, (1 / 9, 1 / 3, 1.0)), (50, 1, (1.0,))],
)
def test_few_trials_are_tried_on_few_shares(trials: int, halving: int, shares: tuple[float, ...]) -> None:
    assert plan_shares(SearchSpec(trials=trials, halving=halving)) == pytest.approx(shares)


def test_the_same_seed_gives_the_same_trials_and_another_one_others(tmp_path: Path) -> None:
    first, second = find(tmp_path / "a.log"), find(tmp_path / "b.log")
    other = find(tmp_path / "c.log", spec=msgspec.structs.replace(SPEC, seed=1))
    assert plain(first) == plain(second)
    assert plain(first) != plain(other)


def test_a_trial_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    def train(choice: Choice, share: float) -> float:
        if choice.rank == 8:
            raise UsageError("the loss of step 7 is not a number\nand more", state="nothing was trained")
        return landscape(choice, share)

    found = find(tmp_path / "search.log", train)
    failed = [trial for trial in found.tried if trial.state == "failed"]
    assert {trial.reason for trial in failed} == {"the loss of step 7 is not a number"}
    assert found.best is not None
    assert found.best.choice is not None
    assert found.best.choice.rank != 8


def test_a_search_in_which_all_fails_ends_without_a_winner(tmp_path: Path) -> None:
    def train(choice: Choice, share: float) -> float:
        raise RuntimeError("out of memory")

    found = find(tmp_path / "search.log", train)
    assert found.best is None
    assert {trial.state for trial in found.tried} == {"failed"}


def test_a_loss_is_better_when_it_is_lower(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(SPEC, metric="loss")
    found = find(tmp_path / "search.log", lambda choice, share: 1 - landscape(choice, share), spec)
    assert found.best is not None
    assert found.best.score == min(trial.score or 9 for trial in found.tried if trial.state == "complete")


@pytest.mark.parametrize(("spec", "ended"), [({"minutes": 0.2}, "0.2 minutes spent"), ({"cost": 0.01}, "$0.01 spent")])
def test_the_budget_ends_it(tmp_path: Path, spec: dict[str, float], ended: str) -> None:
    """A training takes 2 seconds at $3.60 an hour, so $0.01 is 10 seconds."""
    found = find(tmp_path / "search.log", spec=msgspec.structs.replace(SPEC, trials=99, **spec), seconds=2.0)
    assert found.ended == ended
    assert found.best is not None
    assert len(found.tried) < 12
    assert found.cost == pytest.approx(found.seconds / 1000, abs=1e-4)


def test_a_search_that_ended_is_only_read_again(tmp_path: Path) -> None:
    first = find(tmp_path / "search.log")

    def train(choice: Choice, share: float) -> float:
        raise AssertionError("nothing is left to try")

    assert find(tmp_path / "search.log", train) == first


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.train.test_search import SPEC, landscape
from cortex_cli.train.search import Attempt, run_search
left = int(sys.argv[2])
def train(choice, share):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return landscape(choice, share)
run_search(SPEC, "tiny", Path(sys.argv[1]), Attempt(train=train))
"""


@pytest.mark.kill
@pytest.mark.parametrize("after", [0, 4])
def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path, after: int) -> None:
    journal = tmp_path / "search.log"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])}
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(journal), str(after)], env=environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')  # half a line, as a kill within a write leaves it

    assert plain(find(journal)) == plain(find(tmp_path / "other.log"))


def test_the_table_of_a_choice_decides_all_by_itself() -> None:
    spec = TrainSpec(agent="a", dataset="d", lora=LoraSpec(rank=32, alpha=64.0), loop=LoopSpec(seed=3), search=SPEC)
    made = apply_choice(spec, Choice(base="b", rank=8, learning_rate=2e-3, epochs=2.0, mixture=0.5))
    assert (made.base, made.mixture, made.search, made.predict) == ("b", 0.5, None, None)
    assert (made.lora.rank, made.lora.alpha) == (8, 16.0)
    assert (made.loop.learning_rate, made.loop.epochs, made.loop.seed) == (2e-3, 2.0, 3)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match="needs the 'search' extra"):
        require_search_extra()

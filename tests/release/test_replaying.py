"""Replays of known outcomes."""

import json
from pathlib import Path

import numpy as np
import pytest

from cortex_cli.domain.errors import FaultsError, UsageError
from cortex_cli.domain.manifests import Policy
from cortex_cli.release.replaying import Contest, OutcomeLog, Spread, parse_split, read_outcomes, replay, select_contest

POLICY = Policy()


def write_log(path: Path, rows: int = 1500, rates: tuple[float, float] = (0.7, 0.8)) -> Path:
    draws = np.random.default_rng(5).random((rows, 2)) < rates
    lines = [
        json.dumps({"unit": f"u{number}", "outcomes": {"old": bool(old), "new": bool(new)}, "domain": "d"})
        for number, (old, new) in enumerate(draws)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def log(tmp_path: Path) -> OutcomeLog:
    return read_outcomes(write_log(tmp_path / "log.jsonl"))


def test_a_log_is_read_with_booleans_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"unit":"a","outcomes":{"x":true,"y":0.25}}\n\n{"unit":"b","outcomes":{"x":0,"y":1}}\n')

    found = read_outcomes(path)

    assert found.rows == 2
    assert list(found.outcomes["x"]) == [1.0, 0.0]
    assert list(found.outcomes["y"]) == [0.25, 1.0]


def test_every_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"unit":"a","outcomes":{"x":2}}\nnonsense\n{"unit":"b"}\n{"unit":"c","outcomes":{"x":"yes"}}\n')

    with pytest.raises(FaultsError) as error:
        read_outcomes(path)

    assert [fault.where for fault in error.value.faults] == ["line 1", "line 2", "line 3", "line 4"]


def test_a_log_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no log"):
        read_outcomes(tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(FaultsError, match="has no line"):
        read_outcomes(tmp_path / "empty")


def test_the_variants_of_a_log_of_two_are_found_the_worse_one_is_champion(log: OutcomeLog) -> None:
    assert select_contest(log, Contest("", "", POLICY)) == Contest("old", "new", POLICY)
    assert select_contest(log, Contest("new", "", POLICY)) == Contest("new", "old", POLICY)
    assert select_contest(log, Contest("", "old", POLICY)) == Contest("new", "old", POLICY)
    assert select_contest(log, Contest("old", "old", POLICY)) == Contest("old", "old", POLICY)


def test_a_choice_that_is_open_or_unknown_is_refused(tmp_path: Path, log: OutcomeLog) -> None:
    path = tmp_path / "three.jsonl"
    path.write_text('{"unit":"a","outcomes":{"x":1,"y":1,"z":1}}\n{"unit":"b","outcomes":{"x":1,"y":0}}\n')
    three = read_outcomes(path)

    with pytest.raises(UsageError, match="has 3 variants: x, y, z"):
        select_contest(three, Contest("x", "", POLICY))
    with pytest.raises(UsageError, match="no outcome of 'z' on 1 of 2 lines"):
        select_contest(three, Contest("x", "z", POLICY))
    with pytest.raises(UsageError, match="has no variant 'best'; it has new, old"):
        select_contest(log, Contest("old", "best", POLICY))
    with pytest.raises(UsageError, match="needs cost, and a log has success alone"):
        select_contest(log, Contest("old", "new", Policy(guardrails=("cost",))))


@pytest.mark.parametrize("mode", ["shadow", "split"])
def test_the_better_variant_is_promoted(log: OutcomeLog, mode: str) -> None:
    contest = Contest("old", "new", POLICY, "split" if mode == "split" else "shadow", 0.5)

    found = replay(log, contest, Spread(runs=60, seed=1))

    assert found.promoted_rate >= 0.9
    assert found.median_tasks is not None
    assert found.p90_tasks is not None
    assert 100 <= found.median_tasks <= found.p90_tasks <= found.tasks == 1500
    assert found.replayed


@pytest.mark.parametrize("mode", ["shadow", "split"])
def test_a_variant_against_itself_is_promoted_in_at_most_one_run_of_twenty(log: OutcomeLog, mode: str) -> None:
    contest = Contest("old", "old", POLICY, "split" if mode == "split" else "shadow", 0.1)

    found = replay(log, contest, Spread(runs=300, seed=2))

    # 5 % of 300 is 15; 25 or more would happen in 1 of 100 suites.
    assert found.promoted_rate <= 24 / 300
    assert found.champion_rate == found.challenger_rate


def test_the_worse_variant_is_removed(log: OutcomeLog) -> None:
    found = replay(log, Contest("new", "old", POLICY), Spread(runs=40, seed=3))

    assert found.promoted_rate == 0.0
    assert found.rolled_back_rate + found.futile_rate == 1.0


def test_the_same_seed_gives_the_same_runs_and_another_others(log: OutcomeLog) -> None:
    contest = Contest("old", "new", POLICY, "split", 0.5)

    first, again = (replay(log, contest, Spread(20, seed=4)) for _ in range(2))

    assert first == again
    assert replay(log, contest, Spread(20, seed=5)).median_tasks != first.median_tasks


def test_rates_sum_to_one_and_a_short_run_stays_undecided(log: OutcomeLog) -> None:
    found = replay(log, Contest("old", "new", POLICY), Spread(runs=10, seed=6, max_tasks=20))

    assert (found.undecided_rate, found.median_tasks, found.p90_tasks, found.tasks) == (1.0, None, None, 20)
    rates = (found.promoted_rate, found.rolled_back_rate, found.futile_rate, found.invalid_rate, found.undecided_rate)
    assert sum(rates) == pytest.approx(1.0)


def test_a_decision_on_a_prefix_is_that_on_the_whole_log(tmp_path: Path) -> None:
    long = read_outcomes(write_log(tmp_path / "long.jsonl", rows=6000, rates=(0.80, 0.815)))
    contest = Contest("old", "new", Policy(mde=0.03))

    whole = replay(long, contest, Spread(runs=20, seed=7))
    cut = replay(long, contest, Spread(runs=20, seed=7, max_tasks=5999))

    assert whole.undecided_rate <= cut.undecided_rate
    assert whole.median_tasks == cut.median_tasks


@pytest.mark.parametrize("text", ["0.9", "0.9/0.2", "1/0", "a/b", "0.5/0.25/0.25", ""])
def test_a_split_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not two shares that sum to 1"):
        parse_split(text)


def test_a_split_names_the_champion_first() -> None:
    assert parse_split("0.9/0.1") == 0.1

"""The measuring that benchmarks share: what is timed, what is told, what is kept."""

import json
import sys

import pytest

from benchmarks.__main__ import find_result, main, replace_section
from benchmarks.measure import (
    Report,
    Timing,
    at_least,
    at_most,
    median,
    render_table,
    tell,
    time_call,
    time_process,
    time_rounds,
)

BUSY = [sys.executable, "-c", "sum(range(3_000_000))"]
IDLE = [sys.executable, "-c", "pass"]


def test_a_process_that_works_takes_more_cpu_than_one_that_does_not() -> None:
    assert time_process(BUSY).cpu > time_process(IDLE).cpu > 0


def test_a_process_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        time_process([sys.executable, "-c", "raise SystemExit(3)"])


def test_rounds_time_every_command_as_often() -> None:
    found = time_rounds({"a": IDLE, "b": IDLE}, rounds=3)
    assert {name: len(timings) for name, timings in found.items()} == {"a": 3, "b": 3}


def test_a_call_is_timed_in_this_process() -> None:
    assert time_call(lambda: sum(range(300_000))).cpu > 0


def test_the_median_is_of_what_was_asked_for() -> None:
    timings = [Timing(1.0, 5.0), Timing(9.0, 6.0), Timing(2.0, 70.0)]
    assert (median(timings), median(timings, "wall")) == (2.0, 6.0)


def test_a_bar_holds_on_its_own_side() -> None:
    assert at_most("a", 2.5, "x", 2.5, "p").holds
    assert not at_most("a", 2.6, "x", 2.5, "p").holds
    assert at_least("a", 0.6, "x", 0.6, "p").holds
    assert not at_least("a", 0.5, "x", 0.6, "p").holds


def test_the_table_shows_a_bar_that_does_not_hold() -> None:
    lines = render_table(
        [{"name": "a", "value": 3.0, "unit": "x", "bar": 2.5, "peer": "p", "holds": False}]
    ).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == ["a", "3 x", "2.5 x", "p", "NO"]
    assert len({len(line) for line in lines}) == 1


def test_what_is_told_can_be_found_again(capsys: pytest.CaptureFixture[str]) -> None:
    tell("x", Report([at_most("a", 1.0, "s", 2.0, "p")], [{"seconds": 1.0}]))
    found = find_result("noise\n" + capsys.readouterr().out)
    assert found is not None
    assert (found["name"], found["runs"], found["bars"][0]["better"]) == ("x", [{"seconds": 1.0}], "lower")
    assert find_result('{"other": 1}\n') is None


def test_a_section_is_added_once_and_then_replaced() -> None:
    once = replace_section("# Benchmarks\n", "x", "first")
    assert "## x" in once
    twice = replace_section(once, "x", "second")
    assert twice.count("## x") == 1
    assert "first" not in twice
    assert replace_section(twice, "y", "third").count("<!-- x -->") == 1


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing"]) == 2
    assert "there are: " in capsys.readouterr().err


def test_a_result_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    tell("x", Report())
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {"name": "x", "bars": [], "runs": []}

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.measures import name_agent, read_amount, read_count, read_text, seconds_between
from cortex_cli.collect.records import BadRecordError
from cortex_cli.domain.names import check_name

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@given(st.integers(0, 10**7), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_a_duration_is_the_same_in_any_unit(milliseconds: int, unit: int) -> None:
    end = START + timedelta(milliseconds=milliseconds)
    expected = milliseconds / 1000
    assert seconds_between(START.isoformat(), end.isoformat()) == pytest.approx(expected)
    numbers = START.timestamp() * unit, end.timestamp() * unit
    assert seconds_between(*numbers) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05Z", ""),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:04Z"),
        ("soon", "later"),
        (True, 5),
        ([], {}),
        (1, 10**30),
    ],
)
def test_an_unknown_duration_is_told_as_such(start: Any, end: Any) -> None:
    assert seconds_between(start, end) is None


def test_moments_of_the_storage_export_have_no_zone() -> None:
    assert seconds_between("2026-01-02 03:04:05.250000", "2026-01-02T03:04:05.500Z") == 0.25


@pytest.mark.parametrize(("value", "expected"), [(None, None), ("", None), (7, 7), ("7", 7), (7.0, 7), (0, 0)])
def test_counts_may_be_text(value: Any, expected: int | None) -> None:
    assert read_count(value, "tokens") == expected


@pytest.mark.parametrize("value", [-1, 1.5, "many", [7], True, "nan", "inf", math.inf, 2**60])
def test_what_is_no_count_is_refused(value: Any) -> None:
    with pytest.raises(BadRecordError) as caught:
        read_count(value, "tokens")
    assert caught.value.reason in {"bad_number", "wrong_type"}


def test_amounts_are_at_least_zero() -> None:
    assert read_amount("0.25", "cost") == 0.25
    with pytest.raises(BadRecordError, match="bad_number"):
        read_amount(-0.25, "cost")


def test_text_is_text_or_a_whole_number() -> None:
    assert [read_text(value, "id") for value in (None, "a", 5)] == ["", "a", "5"]
    wrong: list[Any] = [True, 1.5, []]
    for value in wrong:
        with pytest.raises(BadRecordError, match="wrong_type"):
            read_text(value, "id")


@given(st.text(max_size=90))
def test_any_name_becomes_a_name_or_none(text: str) -> None:
    name = name_agent(text)
    assert name == "" or check_name("agent", name) == name


def test_names_of_producers_stay_readable() -> None:
    assert name_agent("Weather Agent/v2") == "weather-agent-v2"
    assert name_agent("tensorzero::default") == "tensorzero-default"
    assert name_agent(None) == name_agent("!?") == ""

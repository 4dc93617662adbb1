from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.domain.interactions import Interaction, Message
from cortex_cli.store.journal import Journal
from cortex_cli.store.volumes import Volume

START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> datetime:
        """Return the present moment."""
        return self.moment

    def wait(self, **span: float) -> None:
        """Let time pass."""
        self.moment += timedelta(**span)


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def journal(tmp_path: Path, clock: Ticking) -> Iterator[Journal]:
    with Journal(tmp_path / ".cortex" / "journal.db", now=clock) as journal:
        yield journal


def make(number: int, agent: str = "shell", time: str = "2026-01-01T00:00:00Z") -> Interaction:
    return Interaction(id=f"i-{number}", agent=agent, time=time, messages=(Message("user", "hi"),))


def aged(journal: Journal, before: str, agent: str = "") -> list[str]:
    return [record.id for _, record in journal.aged(before, agent)]


def test_rows_and_bytes_are_counted_by_agent(journal: Journal) -> None:
    journal.append([make(1), make(2, "dispatch"), make(3)])
    size = len(next(body for _, body in journal.bodies()))
    assert journal.volumes() == {"dispatch": Volume(1, size + 3), "shell": Volume(2, 2 * size)}


def test_what_came_after_a_number_is_counted_across_buckets(journal: Journal) -> None:
    journal.append(make(number, "shell" if number % 3 else "dispatch") for number in range(9000))
    for after in (0, 1, 4095, 4096, 5000, 8191, 8192, 8999, 9000, 20_000):
        expected = sum(number % 3 != 0 for number in range(after, 9000))
        assert journal.count_after("shell", after) == expected
    assert journal.count_after("nobody", 0) == 0


def test_days_of_arrival_are_told_apart(journal: Journal, clock: Ticking) -> None:
    for day in range(3):
        journal.append(make(10 * day + number) for number in range(day + 1))
        clock.wait(hours=1)
        journal.append([make(100 + day, "dispatch")])
        clock.wait(hours=23)
    assert journal.days("shell") == [("2026-05-01", 1), ("2026-05-02", 2), ("2026-05-03", 3)]
    assert journal.days("dispatch", most=2) == [("2026-05-02", 1), ("2026-05-03", 1)]


def test_age_is_what_a_record_tells_and_never_less_than_its_arrival_says(journal: Journal, clock: Ticking) -> None:
    journal.append([make(1), make(2, time=""), make(3, time="2030-01-01T00:00:00Z")])
    clock.wait(days=10)
    journal.append([make(4, time=""), make(5, "dispatch")])
    assert sorted(aged(journal, "2026-04-01T00:00:00Z")) == ["i-1", "i-5"]
    assert aged(journal, "2026-04-01T00:00:00Z", "shell") == ["i-1"]
    assert aged(journal, "2026-05-02T00:00:00Z", "shell") == ["i-1", "i-2", "i-3"]
    assert aged(journal, "2026-05-12T00:00:00Z", "shell") == ["i-1", "i-2", "i-3", "i-4"]
    assert aged(journal, "2025-01-01T00:00:00Z") == []


@settings(max_examples=20, deadline=None)
@given(times=st.lists(st.dates().map(lambda day: f"{day.isoformat()}T00:00:00Z"), max_size=30), limit=st.dates())
def test_the_counters_find_what_a_scan_would(
    tmp_path_factory: pytest.TempPathFactory, times: list[str], limit: object
) -> None:
    before = f"{limit}T00:00:00Z"
    path = tmp_path_factory.mktemp("aged") / "journal.db"
    with Journal(path, now=lambda: datetime(9999, 12, 31, tzinfo=UTC)) as journal:
        journal.append(make(number, time=time) for number, time in enumerate(times))
        assert aged(journal, before) == [f"i-{number}" for number, time in enumerate(times) if time < before]

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.store.clock import rfc3339, utc_now


def test_now_is_aware_and_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)


def test_rendering_ends_in_z_and_has_whole_seconds() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 999, tzinfo=UTC)) == "2026-01-02T03:04:05Z"


def test_another_zone_is_converted() -> None:
    east = timezone(timedelta(hours=2))
    assert rfc3339(datetime(2026, 1, 2, 1, 0, tzinfo=east)) == "2026-01-01T23:00:00Z"


def test_a_moment_without_a_zone_is_taken_as_utc() -> None:
    assert rfc3339(datetime(2026, 1, 2)) == "2026-01-02T00:00:00Z"  # noqa: DTZ001 - the case under test


@given(st.datetimes(timezones=st.just(UTC)))
def test_rendering_reads_back_to_the_second(moment: datetime) -> None:
    assert datetime.fromisoformat(rfc3339(moment)) == moment.replace(microsecond=0)

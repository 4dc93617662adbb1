"""The clock that is passed in wherever a moment is recorded; time is a label, never an order."""

from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["Clock", "rfc3339", "utc_now"]

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Render *moment* as `2026-01-02T03:04:05Z`; a moment without a time zone is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    # strftime does not pad the years before 1000.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"

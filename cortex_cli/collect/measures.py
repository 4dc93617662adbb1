"""Measures of a call as producers log them: moments, durations, counts and amounts.

What cannot be true is told as unknown where it is only a clock's fault, and refused where it is a wrong type.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any

from cortex_cli.collect.records import BadRecordError, typed

__all__ = ["name_agent", "read_amount", "read_count", "read_text", "seconds_between"]

_OUTSIDE = re.compile(r"[^a-z0-9_-]+")


def seconds_between(start: Any, end: Any) -> float | None:
    """Return the seconds from *start* to *end*; None when one is missing or the clock went back between them."""
    first, last = _moment(start), _moment(end)
    if first is None or last is None or last < first:
        return None
    return round(last - first, 6)


def read_count(value: Any, name: str) -> int | None:
    """Return the number of tokens *value*, which may be written as text; None when there is none."""
    number = read_amount(value, name)
    if number is not None and number != int(number):
        raise BadRecordError("bad_number", f"{name} is {number}, expected a whole number")
    return None if number is None else int(number)


def read_amount(value: Any, name: str) -> float | None:
    """Return the number *value*, at least 0, which may be written as text; None when there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        value = _number(value, name)
    number = typed(value, float, name)
    if number < 0:
        raise BadRecordError("bad_number", f"{name} is {number}, expected at least 0")
    return float(number)


def read_text(value: Any, name: str) -> str:
    """Return the text *value*, '' for None; a number is told as it is written."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:80]
    return typed(value, str, name) or ""


def name_agent(text: Any) -> str:
    """Return *text* as the name of an agent: lower case, other characters become '-'; '' when nothing is left."""
    if not isinstance(text, str):
        return ""
    return _OUTSIDE.sub("-", text.lower()).strip("-_")[:64].strip("-_")


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise BadRecordError("wrong_type", f"{name} is {text[:80]!r}, expected a number") from error
    if not math.isfinite(number):
        raise BadRecordError("bad_number", f"{name} is {text[:80]!r}")
    return number


def _moment(value: Any) -> float | None:
    """Return the seconds since 1970 of RFC 3339 text or of a number of seconds, milli-, micro- or nanoseconds."""
    if isinstance(value, str) and value:
        return _from_text(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    # As in parse_time, the magnitude tells the unit.
    unit = next((unit for bound, unit in ((1e11, 1), (1e14, 10**3), (1e17, 10**6)) if abs(value) < bound), 10**9)
    return value / unit if abs(value) < 1e22 else None


def _from_text(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

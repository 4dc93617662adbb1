"""Task outcomes of agent systems: one task per line with status, quality, duration, retries and error.

The scale of a quality is what the record says. Without a word, a value above 1 and up to 5 is on 1 to 5, as agent
systems of this family rate; any other value could be on several scales, so it has none and passes no threshold.
"""

from collections.abc import Iterable
from typing import Any

from cortex_cli.collect.completions import describe_failure
from cortex_cli.collect.records import (
    BadRecordError,
    EachRecord,
    Format,
    Place,
    Record,
    identify,
    parse_messages,
    parse_time,
    pick_agent,
    pick_first,
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Interaction, Message, Outcome, Scale

__all__ = ["FORMAT", "parse_outcome", "read_outcome"]

_STATUS: dict[str, Outcome] = {
    "success": "success",
    "succeeded": "success",
    "successful": "success",
    "completed": "success",
    "complete": "success",
    "done": "success",
    "ok": "success",
    "passed": "success",
    "true": "success",
    "failure": "failure",
    "failed": "failure",
    "rejected": "failure",
    "false": "failure",
    "error": "error",
    "errored": "error",
    "timeout": "error",
    "timed_out": "error",
    "cancelled": "error",
    "canceled": "error",
    "crashed": "error",
}
_STATUSES = ("status", "outcome", "success")
_PROMPTS = ("prompt", "input", "description", "task_description", "task", "request")
_OUTPUTS = ("output", "result", "response")
_TIMES = ("time", "timestamp", "completed_at", "finished_at", "ended_at", "created_at")
_QUALITIES = ("quality", "quality_score")
_SCALES = ("quality_scale", "scale", "max_quality")
_RETRIES = ("retries", "retry_count")
# Words by which a field says that there was no error.
_NO_ERROR = {"", "none", "null", "false", "0"}


def _recognises(value: dict[str, Any]) -> bool:
    return "task_id" in value and bool(value.keys() & set(_STATUSES))


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    return [parse_outcome(value, place)]


def parse_outcome(value: dict[str, Any], place: Place) -> Interaction:
    """Return the interaction that the task *value* was."""
    task = value.get("task_id")
    if not isinstance(task, str | int) or isinstance(task, bool) or task == "":
        raise BadRecordError("no_task_id", f"task_id is {str(task)[:80]!r}")
    quality = typed(pick_first(value, _QUALITIES), float, "quality")
    record = Interaction(
        id="",
        agent=pick_agent(value, place, "agent", "master", "master_id", "agent_id"),
        time=parse_time(pick_first(value, _TIMES)),
        messages=_prompt(value),
        output=render_json(pick_first(value, _OUTPUTS)),
        episode=typed(value.get("episode"), str, "episode") or "",
        outcome=read_outcome(value),
        error=_error(value),
        latency=_seconds(value),
        cost=typed(pick_first(value, ("cost", "cost_usd")), float, "cost"),
        quality=quality,
        quality_scale=_scale(value, quality),
        retries=_retries(value),
        domain=typed(pick_first(value, ("domain", "task_type")), str, "domain") or "",
        origin=place.origin,
        aliases=(str(task),),
        meta={"task_id": str(task), **_meta(value)},
    )
    return identify(record)


def read_outcome(value: dict[str, Any]) -> Outcome:
    """Return how the task *value* ended: an error when it has one, else what its status says."""
    if _error(value):
        return "error"
    told = pick_first(value, _STATUSES)
    return _STATUS.get(str(told).strip().lower(), "unknown")


def _meta(value: dict[str, Any]) -> dict[str, str]:
    told = pick_first(value, _STATUSES)
    if told is None or str(told).strip().lower() in _STATUS:
        return {}
    return {"status": render_json(told) or str(told)}


def _error(value: dict[str, Any]) -> str:
    told = pick_first(value, ("error", "error_message"))
    text = describe_failure(told)
    return "" if text.strip().lower() in _NO_ERROR else text


def _prompt(value: dict[str, Any]) -> tuple[Message, ...]:
    if "messages" in value:
        return parse_messages(value["messages"])
    text = render_json(pick_first(value, _PROMPTS))
    return (Message("user", text),) if text else ()


def _seconds(value: dict[str, Any]) -> float | None:
    told = pick_first(value, ("duration", "duration_seconds", "duration_s", "latency"))
    seconds = typed(told, float, "duration")
    if seconds is None:
        milliseconds = typed(value.get("duration_ms"), float, "duration_ms")
        seconds = None if milliseconds is None else milliseconds / 1000.0
    if seconds is not None and seconds < 0:
        raise BadRecordError("bad_number", f"the duration is {seconds:g} seconds")
    return None if seconds is None else float(seconds)


def _retries(value: dict[str, Any]) -> int | None:
    retries: int | None = typed(pick_first(value, _RETRIES), int, "retries")
    if retries is not None and retries < 0:
        raise BadRecordError("bad_number", f"retries are {retries}")
    return retries


def _scale(value: dict[str, Any], quality: float | None) -> Scale | None:
    if quality is None:
        return None
    told = pick_first(value, _SCALES)
    if told is None:
        return Scale(1.0, 5.0) if 1.0 < quality <= 5.0 else None
    scale = _read_scale(told)
    if not scale.low <= quality <= scale.high:
        raise BadRecordError("bad_quality", f"quality {quality:g} is not on the scale {scale.low:g} to {scale.high:g}")
    return scale


def _read_scale(told: Any) -> Scale:
    bounds = told
    if isinstance(told, dict):
        bounds = [pick_first(told, ("low", "min")), pick_first(told, ("high", "max"))]
    elif isinstance(told, str):
        bounds = told.replace("..", "-").replace("to", "-").split("-")
    elif isinstance(told, int | float):
        # A highest value alone: 5 is that of 1 to 5, others begin at 0.
        bounds = [1.0 if told == 5 else 0.0, told]
    if not isinstance(bounds, list) or len(bounds) != 2:
        raise BadRecordError("bad_scale", f"the scale is {str(told)[:80]!r}")
    low, high = (_bound(bound) for bound in bounds)
    if not low < high:
        raise BadRecordError("bad_scale", f"the scale goes from {low:g} to {high:g}")
    return Scale(low, high)


def _bound(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError as error:
        raise BadRecordError("bad_scale", f"{value[:80]!r} is no bound of a scale") from error
    found = typed(number, float, "scale")
    if found is None:
        raise BadRecordError("bad_scale", "a scale without one of its bounds")
    return float(found)


FORMAT = Format(
    "outcomes",
    "task outcomes: task_id, status, quality, duration, retries, error",
    _recognises,
    lambda: EachRecord(_parse),
)

"""Task outcomes of agent systems: one task per line with status, quality, duration, retries and error."""

from collections.abc import Iterable
from typing import Any

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
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Interaction, Message, Outcome

__all__ = ["FORMAT"]

_STATUS: dict[str, Outcome] = {
    "success": "success",
    "succeeded": "success",
    "completed": "success",
    "complete": "success",
    "done": "success",
    "ok": "success",
    "failure": "failure",
    "failed": "failure",
    "rejected": "failure",
    "error": "error",
    "errored": "error",
    "timeout": "error",
    "cancelled": "error",
    "crashed": "error",
}
_PROMPTS = ("prompt", "input", "description", "task", "request")
_OUTPUTS = ("output", "result", "response")
_TIMES = ("time", "timestamp", "completed_at", "finished_at", "created_at")


def _recognises(value: dict[str, Any]) -> bool:
    return "task_id" in value and bool(value.keys() & {"status", "success", "outcome"})


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record]:
    task = value.get("task_id")
    if not isinstance(task, str | int) or isinstance(task, bool) or task == "":
        raise BadRecordError("no_task_id", f"task_id is {task!r}")
    record = Interaction(
        id="",
        agent=pick_agent(value, place, "agent", "master", "master_id"),
        time=parse_time(_first(value, _TIMES)),
        messages=_prompt(value),
        output=render_json(_first(value, _OUTPUTS)),
        episode=typed(value.get("episode"), str, "episode") or "",
        outcome=_outcome(value),
        error=render_json(value.get("error")),
        latency=_seconds(value),
        cost=typed(value.get("cost"), float, "cost"),
        quality=typed(_first(value, ("quality", "quality_score")), float, "quality"),
        domain=typed(_first(value, ("domain", "task_type")), str, "domain") or "",
        origin=place.origin,
        meta={"producer_id": str(task), "retries": str(_retries(value))},
    )
    return [identify(record)]


def _outcome(value: dict[str, Any]) -> Outcome:
    if value.get("error"):
        return "error"
    told = _first(value, ("status", "outcome", "success"))
    if isinstance(told, bool):
        return "success" if told else "failure"
    return _STATUS.get(str(told).lower(), "unknown")


def _prompt(value: dict[str, Any]) -> tuple[Message, ...]:
    if "messages" in value:
        return parse_messages(value["messages"])
    text = render_json(_first(value, _PROMPTS))
    return (Message("user", text),) if text else ()


def _seconds(value: dict[str, Any]) -> float | None:
    seconds = typed(_first(value, ("duration", "duration_seconds", "duration_s", "latency")), float, "duration")
    if seconds is not None:
        return float(seconds)
    milliseconds = typed(value.get("duration_ms"), float, "duration_ms")
    return None if milliseconds is None else float(milliseconds) / 1000.0


def _retries(value: dict[str, Any]) -> int:
    return int(typed(_first(value, ("retries", "retry_count")), int, "retries") or 0)


def _first(value: dict[str, Any], keys: Iterable[str]) -> Any:
    return next((value[key] for key in keys if value.get(key) is not None), None)


FORMAT = Format(
    "outcomes",
    "task outcomes: task_id, status, quality, duration, retries, error",
    _recognises,
    lambda: EachRecord(_parse),
)

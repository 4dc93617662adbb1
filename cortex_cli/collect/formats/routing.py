"""Routing decisions of agent systems: which agent was chosen for a task, how sure the router was, how it went.

A decision is an interaction of the agent `router`: the task is asked, and `{"agent": ...}` is answered. Files of the
same family hold metrics of workers and events: an event that tells how a task ended is an outcome, others hold no
request and are counted as skipped.
"""

from collections.abc import Iterable
from typing import Any

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.formats.outcomes import parse_outcome, read_outcome
from cortex_cli.collect.records import (
    BadRecordError,
    EachRecord,
    Format,
    Place,
    Record,
    Skipped,
    identify,
    parse_time,
    pick_agent,
    pick_first,
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Interaction, Message

__all__ = ["FORMAT"]

_CHOSEN = (
    "selected_agent",
    "selected_master",
    "chosen_agent",
    "chosen_master",
    "assigned_agent",
    "assigned_master",
    "routed_to",
    "chosen",
    "primary_expert",
)
_ASKED = ("task", "query", "task_description", "description", "prompt", "request", "input")
_TEXTS = ("description", "prompt", "text", "query", "content", "summary")
_SIGNS = {"confidence", "scores", "candidates", "alternatives", "method", "routing_method", "decision_id"}
_TIMES = ("timestamp", "time", "ts", "created_at")
_KEPT = ("confidence", "method", "routing_method", "scores", "candidates", "alternatives", "strategy", "reason")
# What routers of this family write where no agent could be chosen.
_FAILED = {"routing_failed", "FAILED", "failed"}
_ASKS_BACK = {"clarification_needed", "CLARIFY"}
# What events of this family are about; other programs log events too.
_FAMILY = ("task", "worker", "routing", "master")
# Ends of the names of events, and the status that they tell.
_ENDS = {"completed": "completed", "succeeded": "success", "failed": "failed", "timeout": "timeout", "error": "error"}


def _recognises(value: dict[str, Any]) -> bool:
    told = _flatten(value)
    # Preference data chooses between answers.
    if pick_first(told, _CHOSEN) is not None and "rejected" not in told:
        return bool(told.keys() & set(_ASKED)) and bool(told.keys() & _SIGNS)
    return _is_event(value) or _is_metric(value)


def _is_event(value: dict[str, Any]) -> bool:
    named = value.get("event_type", value.get("event"))
    if not isinstance(named, str) or value.keys() & {"request", "response", "messages"}:
        return False
    return any(word in named.lower() for word in _FAMILY) and any(key in value for key in _TIMES)


def _is_metric(value: dict[str, Any]) -> bool:
    return "worker_id" in value and "task_id" not in value and any(key in value for key in _TIMES)


def _flatten(value: dict[str, Any]) -> dict[str, Any]:
    decision = value.get("decision")
    return {**decision, **value} if isinstance(decision, dict) else value


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record | Skipped]:
    told = _flatten(value)
    if pick_first(told, _CHOSEN) is not None:
        return [_parse_decision(told, place)]
    if _is_event(value):
        return [_parse_event(value, place)]
    if _is_metric(value):
        return [Skipped("metric")]
    raise BadRecordError("no_choice", "the line names no agent that was chosen")


def _parse_decision(value: dict[str, Any], place: Place) -> Interaction:
    chosen = typed(pick_first(value, _CHOSEN), str, "chosen agent")
    failed, asks = chosen in _FAILED, chosen in _ASKS_BACK
    ended = value.get("outcome")
    result = ended if isinstance(ended, dict) else value
    return identify(
        Interaction(
            id="",
            agent=pick_agent(value, place._replace(agent=place.agent or "router"), "router"),
            time=parse_time(pick_first(value, _TIMES)),
            messages=(Message("user", _read_task(value)),),
            output="" if failed else render_json({"agent": None if asks else chosen}),
            outcome="error" if failed else read_outcome(result),
            error="no agent could be chosen" if failed else "",
            latency=_seconds(value),
            origin=place.origin,
            aliases=join_names(value.get("decision_id"), _find_task_id(value)),
            meta=_meta(value) | ({"clarification": "true"} if asks else {}),
        )
    )


def _read_task(value: dict[str, Any]) -> str:
    task = pick_first(value, _ASKED)
    if isinstance(task, dict):
        title = typed(task.get("title"), str, "title") or ""
        text = typed(pick_first(task, _TEXTS), str, "task") or ""
        task = "\n".join(part for part in (title, text) if part)
    text = typed(task, str, "task") or ""
    if not text.strip():
        raise BadRecordError("no_request", "the decision tells no task")
    return text


def _find_task_id(value: dict[str, Any]) -> str:
    task = value.get("task")
    inner = pick_first(task, ("task_id", "id")) if isinstance(task, dict) else None
    found = pick_first(value, ("task_id",))
    named = inner if found is None else found
    return str(named) if isinstance(named, str | int) and not isinstance(named, bool) else ""


def _seconds(value: dict[str, Any]) -> float | None:
    told = typed(pick_first(value, ("latency_ms", "routing_time_ms", "duration_ms")), float, "latency_ms")
    return None if told is None else told / 1000.0


def _meta(value: dict[str, Any]) -> dict[str, str]:
    found = {key: value[key] for key in _KEPT if value.get(key) is not None}
    meta = {key: render_json(told) or str(told) for key, told in found.items()}
    if "routing_method" in meta:
        meta["method"] = meta.pop("routing_method")
    return meta


def _parse_event(value: dict[str, Any], place: Place) -> Record | Skipped:
    named = str(value.get("event_type", value.get("event"))).lower()
    ending = _ENDS.get(named.replace(".", "_").rsplit("_", 1)[-1])
    inner = pick_first(value, ("data", "payload", "details"))
    told = {**value, **inner} if isinstance(inner, dict) else value
    if ending is None or "task" not in named or "task_id" not in told:
        return Skipped("event")
    return parse_outcome({"status": ending, **told}, place)


FORMAT = Format("routing", "routing decisions, with their results", _recognises, lambda: EachRecord(_parse))

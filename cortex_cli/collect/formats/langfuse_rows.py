"""Rows of a Langfuse export: what kind each is, and how a generation or a trace becomes an interaction."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.exchanges import Answer, Prompt, read_answer, read_prompt
from cortex_cli.collect.measures import name_agent, read_amount, read_count, read_text, seconds_between
from cortex_cli.collect.records import BadRecordError, Place, parse_time, pick_first, render_json, typed
from cortex_cli.domain.interactions import Interaction

__all__ = ["Row", "find_agent", "find_kind", "merge_events", "read_generation", "read_trace", "spell"]

_OBSERVATIONS = {
    "GENERATION",
    "SPAN",
    "EVENT",
    "AGENT",
    "TOOL",
    "CHAIN",
    "RETRIEVER",
    "EVALUATOR",
    "EMBEDDING",
    "GUARDRAIL",
}
_SCORES = {"NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"}
_EVENT = re.compile(r"(trace|span|generation|event|observation|score)-(create|update)")
# What only an observation has beside its type; of these at least one is in every row, whatever fields were chosen.
_OBSERVED = {"level", "parentObservationId", "completionStartTime", "statusMessage", "usageDetails", "promptName"}
# The SDKs put this in place of a field that is too long, and the tables of the UI end what they shorten so.
_CUT = "<truncated due to size exceeding limit>"
_CUT_END = "[truncated]"
# In place of an image, a sound or a file that was uploaded apart.
_MEDIA = "@@@langfuseMedia:"


class Row(NamedTuple):
    """One row with its names in camel case, and where it was read."""

    value: dict[str, Any]
    place: Place

    def text(self, name: str) -> str:
        """Return the text under *name*, '' when there is none."""
        return read_text(self.value.get(name), name)


def spell(value: dict[str, Any]) -> dict[str, Any]:
    """Return *value* with its names in camel case, as the API spells them; tables and storage exports do not."""
    return {re.sub(r"_([a-z])", lambda match: match[1].upper(), name): told for name, told in value.items()}


def find_kind(told: dict[str, Any]) -> str:
    """Return what the row *told* is: event, observation, trace, score or config; '' for none of them."""
    kind = told.get("type")
    if isinstance(told.get("body"), dict) and isinstance(kind, str) and _EVENT.fullmatch(kind):
        return "event"
    if isinstance(kind, str) and kind in _OBSERVATIONS and "startTime" in told and told.keys() & _OBSERVED:
        return "observation"
    scored = told.get("dataType")
    if "name" in told and isinstance(scored, str) and scored in _SCORES:
        return "config" if told.keys() & {"minValue", "maxValue", "categories"} else "score"
    if "timestamp" in told and (isinstance(told.get("observations"), list) or {"sessionId", "tags"} <= told.keys()):
        return "trace"
    return "trace" if isinstance(told.get("trace"), dict) and "observations" in told else ""


def read_generation(row: Row) -> Interaction:
    """Return the generation *row* as an interaction without its id; its agent may be '' until its trace is known."""
    value = row.value
    failed = row.text("level") == "ERROR"
    prompt, answer = _read_exchange(value, failed=failed)
    started = value.get("startTime")
    return Interaction(
        id="",
        agent=find_agent(row, "traceName"),
        time=parse_time(started),
        messages=prompt.messages,
        output=answer.output,
        calls=answer.calls,
        episode=row.text("sessionId") or row.text("traceId"),
        tools=prompt.tools or _read_tools(value),
        outcome="error" if failed else "unknown",
        error=(row.text("statusMessage") or "the generation has the level ERROR") if failed else "",
        latency=seconds_between(started, value.get("endTime")),
        tokens_in=_read_tokens(value, "input", "promptTokens", "inputUsage"),
        tokens_out=_read_tokens(value, "output", "completionTokens", "outputUsage"),
        cost=_read_cost(value),
        user=row.text("userId"),
        aliases=join_names(row.text("id")),
        origin=row.place.origin,
        meta=_read_meta(row) | ({"history": "missing"} if prompt.earlier else {}),
    )


def read_trace(row: Row) -> Interaction:
    """Return the trace *row* itself as an interaction, for an export that has none of its generations."""
    value = row.value
    prompt, answer = _read_exchange(value | {"endTime": value.get("timestamp")}, failed=False)
    latency = read_amount(value.get("latency"), "latency")
    return Interaction(
        id="",
        agent=find_agent(row, "name"),
        time=parse_time(value.get("timestamp")),
        messages=prompt.messages,
        output=answer.output,
        calls=answer.calls,
        episode=row.text("sessionId") or row.text("id"),
        tools=prompt.tools,
        latency=latency,
        cost=read_amount(value.get("totalCost"), "totalCost"),
        user=row.text("userId"),
        aliases=join_names(row.text("id")),
        origin=row.place.origin,
        meta=_read_meta(row),
    )


def find_agent(row: Row, name: str) -> str:
    """Return the agent of *row*: the one that was given for all, or else the name of its trace."""
    return row.place.agent or name_agent(row.value.get(name))


def merge_events(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield what ingestion events tell in the end: a later event on the same object overwrites what it names."""
    told: dict[tuple[str, str], dict[str, Any]] = {}
    places: dict[tuple[str, str], Place] = {}
    for row in sorted(rows, key=lambda row: (str(row.value.get("timestamp")), str(row.value.get("id")))):
        what = str(row.value["type"]).partition("-")[0]
        body = {name: item for name, item in spell(row.value["body"]).items() if item is not None}
        if what in {"span", "generation", "event"}:
            body["type"] = what.upper()
        key = "trace" if what == "trace" else "score" if what == "score" else "", str(body.get("id"))
        told.setdefault(key, {"timestamp": row.value.get("timestamp")}).update(body)
        places[key] = row.place
    for (what, _), value in told.items():
        yield Row(_completed(what, value), places[what, str(value.get("id"))])


def _completed(what: str, value: dict[str, Any]) -> dict[str, Any]:
    if what == "trace":
        return {"sessionId": None, "tags": [], **value}
    if what == "score":
        kind = "NUMERIC" if isinstance(value.get("value"), int | float) else "CATEGORICAL"
        return {"dataType": kind, "source": "API", **value}
    return {"type": "SPAN", "level": "DEFAULT", "startTime": value.get("timestamp"), **value}


def _read_exchange(value: dict[str, Any], *, failed: bool) -> tuple[Prompt, Answer]:
    asked, answered = value.get("input"), value.get("output")
    if asked is None:
        # Some versions and views of Langfuse leave both columns out, though they were recorded.
        raise BadRecordError("incomplete_export", "the input is not in the export")
    if answered is None and not failed:
        if value.get("endTime") is None:
            raise BadRecordError("unfinished", "the generation has neither an output nor an end")
        raise BadRecordError("no_answer", "the output is null")
    prompt = read_prompt(asked)
    answer = Answer("") if answered is None else read_answer(answered)
    for text in (*(message.content for message in prompt.messages), answer.text):
        _check_whole(text)
    return prompt, answer


def _check_whole(text: str) -> None:
    if _CUT in text or text.endswith(_CUT_END):
        raise BadRecordError("truncated", "the producer cut an input or output that was too long")
    if _MEDIA in text:
        raise BadRecordError("unsupported_content", "an image, sound or file was uploaded apart")


def _read_tokens(value: dict[str, Any], side: str, *old: str) -> int | None:
    # Cached and other kinds of tokens are counted apart, as `input_cached_tokens` beside `input`.
    details = _read_object(value.get("usageDetails"), "usageDetails")
    kinds = [read_count(told, f"{side} tokens") for name, told in details.items() if name.startswith(side)]
    if kinds:
        return sum(count or 0 for count in kinds)
    usage = _read_object(value.get("usage"), "usage")
    return read_count(pick_first({**value, **usage}, (side, *old) if usage else old), f"{side} tokens")


def _read_cost(value: dict[str, Any]) -> float | None:
    details = _read_object(value.get("costDetails"), "costDetails")
    total = pick_first(details, ("total",)) if details else None
    if total is None and details:
        total = sum(read_amount(told, "costDetails") or 0.0 for told in details.values())
    return read_amount(pick_first({**value, "": total}, ("", "totalCost", "calculatedTotalCost")), "cost")


def _read_object(value: Any, name: str) -> dict[str, Any]:
    if isinstance(value, str) and value:
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRecordError("wrong_type", f"{name} is {value[:40]!r}, expected an object") from error
    return typed(value or None, dict[str, Any], name) or {}


def _read_tools(value: dict[str, Any]) -> str:
    parameters = value.get("modelParameters")
    tools = parameters.get("tools") if isinstance(parameters, dict) else None
    return render_json(tools) if isinstance(tools, list) else ""


def _read_meta(row: Row) -> dict[str, str]:
    found = {
        "model": row.text("model") or row.text("providedModelName"),
        "prompt": row.text("promptName"),
        "prompt_version": row.text("promptVersion"),
        "release": row.text("release"),
    }
    return {name: text for name, text in found.items() if text}

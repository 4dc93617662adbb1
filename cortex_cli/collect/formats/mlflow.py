"""MLflow traces, as `Trace.to_json`, `to_dict` and rows of `search_traces` give them, of schema 3 and before.

Each model call is an interaction; a trace without one is one itself, by its root span. Content is that of the
spans: previews and metadata of a trace are cut at a length. Of model calls inside each other, as one client
that wraps another makes them, the innermost is the one that happened.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.exchanges import Answer, read_answer, read_prompt
from cortex_cli.collect.formats.mlflow_assessments import read_assessments
from cortex_cli.collect.formats.mlflow_spans import Span, find_calls, read_json, read_spans
from cortex_cli.collect.measures import name_agent, read_amount, read_count, read_text, seconds_between
from cortex_cli.collect.records import (
    BadRecordError,
    EachRecord,
    Format,
    Place,
    Quarantined,
    Record,
    identify,
    parse_time,
    pick_first,
    render_json,
    typed,
)
from cortex_cli.domain.interactions import Interaction

__all__ = ["FORMAT"]

_DETAIL = 200
_OPEN = {"IN_PROGRESS", "STATE_UNSPECIFIED", "TRACE_STATUS_IN_PROGRESS"}


class _Trace(NamedTuple):
    """One trace: its *info*, its metadata and tags in one, its spans, and where it was read."""

    info: dict[str, Any]
    marks: dict[str, Any]
    spans: list[Span]
    place: Place

    @property
    def id(self) -> str:
        return read_text(pick_first(self.info, ("trace_id", "request_id")), "trace_id")

    @property
    def root(self) -> Span | None:
        return next((span for span in self.spans if not span.parent), None)


def _recognises(value: dict[str, Any]) -> bool:
    if isinstance(value.get("trace"), str | dict) and {"trace_id", "spans"} & value.keys():
        return "assessments" in value or "request_time" in value or "timestamp_ms" in value
    info, data = value.get("info"), value.get("data")
    if not isinstance(info, dict) or not isinstance(data, dict):
        return False
    return "spans" in data and bool(info.keys() & {"trace_id", "request_id"})


def _parse(value: dict[str, Any], place: Place) -> Iterable[Record | Quarantined]:
    trace = _read_trace(value, place)
    state = pick_first(trace.info, ("state", "status"))
    if isinstance(state, str) and state in _OPEN:
        raise BadRecordError("unfinished", f"the trace is in the state {state}")
    calls = find_calls(trace.spans) or [span for span in (trace.root,) if span]
    if not calls:
        raise BadRecordError("incomplete_export", "the trace has no spans")
    found = [_read_safely(trace, span) for span in calls]
    named = _find_named(trace, [item for item in found if isinstance(item, Interaction)], len(calls))
    records = [identify(_name(item, trace)) if item in named else item for item in found]
    settled = [identify(item) if isinstance(item, Interaction) and not item.id else item for item in records]
    told = read_assessments(
        trace.info.get("assessments"), trace.id, place.origin, "interaction" if named else "episode"
    )
    return [*settled, *told]


def _read_trace(value: dict[str, Any], place: Place) -> _Trace:
    if "trace" in value:
        value = typed(read_json(value["trace"]), dict[str, Any], "trace") or {}
    info = typed(value.get("info"), dict[str, Any], "info") or {}
    data = typed(read_json(value.get("data")), dict[str, Any], "data") or {}
    marks: dict[str, Any] = {}
    for name in ("tags", "request_metadata", "trace_metadata"):
        marks |= _read_marks(info.get(name))
    return _Trace(info, marks, read_spans(data.get("spans")), place)


def _read_marks(value: Any) -> dict[str, Any]:
    # The oldest versions have a list of keys and values.
    if isinstance(value, list):
        return {str(item.get("key")): item.get("value") for item in value if isinstance(item, dict)}
    return typed(value, dict[str, Any], "tags") or {}


def _read_safely(trace: _Trace, span: Span) -> Interaction | Quarantined:
    try:
        return _read_call(trace, span)
    except BadRecordError as error:
        if error.reason == "no_agent":
            raise
        return Quarantined(error.reason, error.detail[:_DETAIL], trace.place.origin)


def _read_call(trace: _Trace, span: Span) -> Interaction:
    asked, answered = span.read("mlflow.spanInputs"), span.read("mlflow.spanOutputs")
    if asked is None:
        raise BadRecordError("incomplete_export", "the span has no inputs")
    if answered is None and not span.failed:
        raise BadRecordError("no_answer" if span.end else "unfinished", "the span has no outputs")
    prompt = read_prompt(asked)
    answer = Answer("") if answered is None else read_answer(answered)
    usage = _read_usage(span, answered)
    tools = span.read("mlflow.chat.tools")
    return Interaction(
        id="",
        agent=_find_agent(trace),
        time=parse_time(span.start or trace.info.get("request_time") or trace.info.get("timestamp_ms")),
        messages=prompt.messages,
        output=answer.output,
        calls=answer.calls,
        episode=read_text(trace.marks.get("mlflow.trace.session"), "session") or trace.id,
        tools=render_json(tools) if isinstance(tools, list) else prompt.tools,
        outcome="error" if span.failed else "unknown",
        error=span.message if span.failed else "",
        latency=seconds_between(span.start, span.end),
        tokens_in=read_count(pick_first(usage, ("input_tokens", "prompt_tokens")), "input_tokens"),
        tokens_out=read_count(pick_first(usage, ("output_tokens", "completion_tokens")), "output_tokens"),
        cost=_read_cost(span),
        user=read_text(trace.marks.get("mlflow.trace.user"), "user"),
        aliases=join_names(span.alias(trace.id), answered.get("id") if isinstance(answered, dict) else None),
        origin=trace.place.origin,
        meta=_read_meta(trace, span, asked) | ({"history": "missing"} if prompt.earlier else {}),
    )


def _read_usage(span: Span, answered: Any) -> dict[str, Any]:
    told = typed(span.read("mlflow.chat.tokenUsage"), dict[str, Any], "mlflow.chat.tokenUsage")
    usage = answered.get("usage") if isinstance(answered, dict) else None
    return told or (usage if isinstance(usage, dict) else {})


def _read_cost(span: Span) -> float | None:
    told = typed(span.read("mlflow.llm.cost"), dict[str, Any], "mlflow.llm.cost") or {}
    return read_amount(told.get("total_cost"), "total_cost")


def _find_agent(trace: _Trace) -> str:
    named = trace.marks.get("mlflow.traceName") or (trace.root.name if trace.root else "")
    agent = trace.place.agent or name_agent(named)
    if not agent:
        raise BadRecordError("no_agent", "the trace has no name; give an agent with --agent")
    return agent


def _read_meta(trace: _Trace, span: Span, asked: Any) -> dict[str, str]:
    model = span.read("mlflow.llm.model") or (asked.get("model") if isinstance(asked, dict) else "")
    prompts = read_json(trace.marks.get("mlflow.linkedPrompts"))
    prompt = prompts[0] if isinstance(prompts, list) and prompts and isinstance(prompts[0], dict) else {}
    found = {"model": model, "prompt": prompt.get("name"), "prompt_version": prompt.get("version")}
    return {name: str(told)[:200] for name, told in found.items() if isinstance(told, str | int) and told}


def _find_named(trace: _Trace, found: list[Interaction], calls: int) -> list[Interaction]:
    """Return what the id of the trace means: its only model call, or the last whose answer is the trace's own."""
    if calls == 1:
        return found
    told = ""
    if trace.root is not None:
        outputs = trace.root.read("mlflow.spanOutputs")
        told = outputs if isinstance(outputs, str) else render_json(outputs)
    return [record for record in found if told and record.output == told][-1:]


def _name(record: Interaction, trace: _Trace) -> Interaction:
    asked = read_text(trace.info.get("client_request_id"), "client_request_id")
    return msgspec.structs.replace(record, aliases=join_names(*record.aliases, trace.id, asked))


FORMAT = Format("mlflow", "MLflow traces and their assessments", _recognises, lambda: EachRecord(_parse))

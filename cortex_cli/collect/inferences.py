"""Spans that are calls of a model become interactions, and evaluations of them become feedback.

A span of an agent, a workflow or a tool is none: it names the agent and the episode of the calls below it, and the
tokens it may sum up are not counted. A call's agent is the one that it or the nearest span above it names
(`gen_ai.agent.name`), else the one that was given for records without, else the service (`service.name`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.evaluations import Target, read_annotations, read_evaluation
from cortex_cli.collect.measures import name_agent, read_amount, read_count, read_text
from cortex_cli.collect.otlp import Event, Span
from cortex_cli.collect.records import (
    BadRecordError,
    Place,
    Quarantined,
    Record,
    parse_time,
    pick_agent,
    pick_first,
    render_json,
)
from cortex_cli.collect.span_messages import NOT_CAPTURED, Choice, Content, read_content
from cortex_cli.collect.span_tree import Trace
from cortex_cli.domain.interactions import Interaction, Outcome, interaction_id

__all__ = ["Kind", "find_kind", "is_complete", "read_trace"]

Kind = Literal["inference", "tool", "other"]

_OPERATIONS = {"chat", "text_completion", "generate_content", "completion"}
_KINDS: dict[str, Kind] = {"LLM": "inference", "TOOL": "tool", "chat": "inference", "completion": "inference"}
_DETAILS = "gen_ai.client.inference.operation.details"
_EVALUATION = "gen_ai.evaluation.result"
# What a call of a model says of itself without naming the operation, as before it had a name.
_EVIDENCE = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt", "gen_ai.completion", "gen_ai.usage.")
_EPISODES = ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id")
_USERS = ("user.id", "enduser.id", "traceloop.association.properties.user_id")
_AGENTS = ("gen_ai.agent.name", "agent.name")
_TOKENS_IN = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_TOKENS_OUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
_MODELS = ("gen_ai.response.model", "gen_ai.request.model", "llm.response.model_name", "llm.model_name")
_PROVIDERS = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
# The prompt then goes on from one that the producer holds, or from a summary of it.
_EARLIER = ("gen_ai.request.previous_response.id", "gen_ai.conversation.compacted")

# Ways to end of an answer that is whole.
_WHOLE = {"", "stop", "tool_calls", "tool_call", "function_call", "end_turn", "error"}


def find_kind(span: Span) -> Kind:
    """Return whether *span* is a call of a model, of a tool, or something else, such as an agent's whole run."""
    told = span.attributes
    operation = told.get("gen_ai.operation.name")
    if isinstance(operation, str) and operation:
        return "inference" if operation in _OPERATIONS else "tool" if operation == "execute_tool" else "other"
    named = pick_first(told, ("openinference.span.kind", "llm.request.type"))
    if isinstance(named, str):
        return _KINDS.get(named, "other")
    if "traceloop.span.kind" in told:
        return "tool" if told["traceloop.span.kind"] == "tool" else "other"
    if any(key.startswith(_EVIDENCE) for key in told) or any(event.name != "exception" for event in span.events):
        return "inference"
    return "other"


def read_trace(trace: Trace) -> Iterator[Record | Quarantined]:
    """Yield the interactions and judgements of *trace*, and a reason for each span or event that gives none."""
    for call in _find_calls(trace):
        if not call.known or find_kind(call.span) == "inference":
            yield from _guarded(partial(_read_call, trace, call), call.place)
        if call.known:
            yield from _guarded(partial(_judge_span, trace, call), call.place)
    for event, place in _find_evaluations(trace):
        yield from _guarded(partial(_judge_event, trace, event, place), place)


def is_complete(trace: Trace) -> bool:
    """Tell whether nothing more of *trace* is to be expected: all parents are there, and every call has content."""
    if not trace.rooted:
        return False
    return all(_has_content(call) for call in _find_calls(trace) if find_kind(call.span) == "inference")


class _Call(NamedTuple):
    """A span with the events of it, its own and those that came as log records; *known* when it came itself."""

    span: Span
    events: list[Event]
    place: Place
    known: bool = True

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the span, and those of the event that tells the whole call where the span has none."""
        merged = self.span.attributes
        for event in self.events:
            if event.name == _DETAILS:
                merged = {**event.attributes, **merged}
        return merged


def _find_calls(trace: Trace) -> Iterator[_Call]:
    for held in trace.spans.values():
        logged = [found.item for found in trace.find_events(held.item.span)]
        yield _Call(held.item, [*held.item.events, *logged], held.place)
    for name in trace.events:
        if name not in trace.spans:
            yield from _find_spanless(trace, name)


def _find_spanless(trace: Trace, name: str) -> Iterator[_Call]:
    """Yield a call for events whose span has not come; those that name no span at all each stand alone."""
    held = [found for found in trace.find_events(name) if found.item.name not in {_EVALUATION, "exception"}]
    for group in [held] if name and held else [[found] for found in held]:
        first = group[0].item
        span = Span(trace=trace.name, span=name, start=first.time, service=first.service)
        yield _Call(span, [found.item for found in group], group[0].place, known=False)


def _find_evaluations(trace: Trace) -> Iterator[tuple[Event, Place]]:
    for held in trace.spans.values():
        yield from ((event, held.place) for event in held.item.events if event.name == _EVALUATION)
    for found in trace.events.values():
        yield from ((held.item, held.place) for held in found if held.item.name == _EVALUATION)


def _guarded(read: Callable[[], Iterable[Record]], place: Place) -> Iterator[Record | Quarantined]:
    try:
        # A list: of a bad span nothing is given, not its first half.
        yield from list(read())
    except BadRecordError as error:
        yield Quarantined(error.reason, error.detail[:200], place.origin)
    except RecursionError:
        yield Quarantined("too_deep", "a value is nested too deeply", place.origin)


def _has_content(call: _Call) -> bool:
    attributes = call.attributes
    try:
        content = read_content(attributes, call.events, dropped=False)
    except BadRecordError as error:
        return error.reason != NOT_CAPTURED
    return bool(content.choices) or bool(_describe_error(call, attributes))


def _read_call(trace: Trace, call: _Call) -> Iterator[Record]:
    attributes = call.attributes
    content = read_content(attributes, call.events, dropped=bool(call.span.dropped))
    error = _describe_error(call, attributes)
    if not (content.choices or error):
        raise BadRecordError("no_answer", "the span tells what was asked, and neither an answer nor an error")
    choices = content.choices if content.apart or _count_choices(attributes) > 1 else _join(content.choices)
    base = _fill_measures(_start_record(trace, call, content), call, attributes)
    for number, choice in enumerate(choices or (Choice(""),)):
        yield _identify(_fill_choice(base, choice, error, number))


def _start_record(trace: Trace, call: _Call, content: Content) -> Interaction:
    span, attributes = call.span, call.attributes
    return Interaction(
        id="",
        agent=_find_agent(trace, call),
        time=_render_time(span.start),
        messages=content.messages,
        episode=_find_episode(trace, span, attributes),
        tools=content.tools,
        user=read_text(pick_first(attributes, _USERS), "user"),
        aliases=_find_aliases(span, attributes),
        origin=call.place.origin,
        meta=_find_meta(attributes),
    )


def _fill_measures(base: Interaction, call: _Call, attributes: dict[str, Any]) -> Interaction:
    start, end = call.span.start, call.span.end
    return msgspec.structs.replace(
        base,
        # A clock that went back between the two tells nothing.
        latency=round((end - start) / 1e9, 6) if 0 < start <= end else None,
        tokens_in=read_count(pick_first(attributes, _TOKENS_IN), "input tokens"),
        tokens_out=read_count(pick_first(attributes, _TOKENS_OUT), "output tokens"),
        cost=read_amount(attributes.get("llm.cost.total"), "cost"),
    )


def _fill_choice(base: Interaction, choice: Choice, error: str, number: int) -> Interaction:
    failed = bool(error) or choice.finish == "error"
    outcome: Outcome = "error" if failed else "unknown"
    ending = {"finish": choice.finish} if choice.finish not in _WHOLE else {}
    told = msgspec.structs.replace(
        base,
        output=choice.text or choice.calls,
        calls=choice.calls,
        outcome=outcome,
        error=error or ("the model ended with an error" if failed else ""),
        meta=base.meta | ending,
    )
    if not number:
        return told
    # The prompt was paid once, so tokens and cost are on the first choice.
    names = tuple(f"{name}#{number}" for name in base.aliases)
    return msgspec.structs.replace(told, aliases=names, tokens_in=0, tokens_out=0, cost=0.0 if base.cost else None)


def _identify(record: Interaction) -> Interaction:
    """Return *record* with an id of what was asked and answered, under the ids that its producer gave it.

    Agent, episode and time stay out of it: they come from other spans of the trace too, and one that comes
    alone, or late, must not make the same call another interaction.
    """
    told = msgspec.structs.replace(record, agent="", episode="", time="", error="")
    return msgspec.structs.replace(record, id=interaction_id(told if record.aliases else record))


def _join(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    # Several messages of one answer, such as words and then calls of tools.
    if len(choices) < 2:
        return tuple(choices)
    calls = [call for choice in choices if choice.calls for call in msgspec.json.decode(choice.calls)]
    finish = next((choice.finish for choice in reversed(choices) if choice.finish), "")
    return (Choice("".join(choice.text for choice in choices), render_json(calls), finish),)


def _count_choices(attributes: dict[str, Any]) -> int:
    endings = attributes.get("gen_ai.response.finish_reasons")
    told = [attributes.get("gen_ai.request.choice.count"), _read_json(attributes, "llm.invocation_parameters").get("n")]
    counts = [*told, len(endings) if isinstance(endings, list) else None]
    return max((count for count in counts if isinstance(count, int)), default=1)


def _read_json(attributes: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the object that the JSON text of the attribute *name* holds, empty when it holds none."""
    told = attributes.get(name)
    with suppress(msgspec.DecodeError, RecursionError, UnicodeError):
        found = msgspec.json.decode(told) if isinstance(told, str) and told.startswith("{") else None
        return found if isinstance(found, dict) else {}
    return {}


def _describe_error(call: _Call, attributes: dict[str, Any]) -> str:
    kind = attributes.get("error.type")
    if not (kind or call.span.failed):
        return ""
    raised = next((event.attributes for event in call.events if event.name == "exception"), {})
    kind = kind or raised.get("exception.type")
    words = call.span.message or raised.get("exception.message")
    parts = [part for part in (kind, words) if isinstance(part, str) and part]
    # Some producers put the kind of the error into its message.
    told = len(parts) == 2 and parts[0].rpartition(".")[2] in parts[1]
    return (parts[1] if told else ": ".join(parts)) or "error"


def _find_agent(trace: Trace, call: _Call) -> str:
    def named(span: Span) -> str:
        own = [span.attributes.get(key) for key in _AGENTS]
        if span.attributes.get("traceloop.span.kind") == "agent":
            own.append(span.attributes.get("traceloop.entity.name"))
        return next((name for name in map(name_agent, own) if name), "")

    own = name_agent(pick_first(call.attributes, _AGENTS))
    told = own or trace.inherit(call.span, named) or call.place.agent or name_agent(call.span.service)
    return pick_agent({"agent": told}, call.place, "agent")


def _find_episode(trace: Trace, span: Span, attributes: dict[str, Any]) -> str:
    def named(span: Span) -> str:
        return read_text(pick_first(span.attributes, _EPISODES), "conversation id")

    return read_text(pick_first(attributes, _EPISODES), "conversation id") or trace.inherit(span, named) or span.trace


def _find_aliases(span: Span, attributes: dict[str, Any]) -> tuple[str, ...]:
    own = f"{span.trace}:{span.span}" if span.trace and span.span else ""
    # OpenInference tells the response's id in the response only.
    response = attributes.get("gen_ai.response.id") or _read_json(attributes, "output.value").get("id")
    return join_names(own, response)


def _find_meta(attributes: dict[str, Any]) -> dict[str, str]:
    asked = _read_json(attributes, "llm.invocation_parameters").get("model")
    found = {"model": pick_first(attributes, _MODELS) or asked, "provider": pick_first(attributes, _PROVIDERS)}
    meta = {key: text for key, text in found.items() if isinstance(text, str) and text}
    return meta | ({"history": "missing"} if any(attributes.get(key) for key in _EARLIER) else {})


def _find_targets(trace: Trace, span: Span) -> dict[str, Target]:
    episode = _find_episode(trace, span, span.attributes)
    own = Target(f"{span.trace}:{span.span}") if find_kind(span) == "inference" else Target(episode, whole=True)
    session = read_text(pick_first(span.attributes, _EPISODES), "conversation id")
    return {"": own, "trace": Target(span.trace, whole=True), "session": Target(session or episode, whole=True)}


def _judge_span(trace: Trace, call: _Call) -> Iterable[Record]:
    return read_annotations(call.span, lambda: _find_targets(trace, call.span), call.place)


def _judge_event(trace: Trace, event: Event, place: Place) -> Iterable[Record]:
    held = trace.spans.get(event.span)
    response = event.attributes.get("gen_ai.response.id")
    if isinstance(response, str) and response:
        target = Target(response)
    elif held is not None:
        target = _find_targets(trace, held.item)[""]
    elif event.trace and event.span:
        target = Target(f"{event.trace}:{event.span}")
    else:
        raise BadRecordError("no_target", "the evaluation names neither a span nor a response")
    return read_evaluation(event, target, place)


def _render_time(nanoseconds: int) -> str:
    return parse_time(nanoseconds / 1e9) if nanoseconds else ""

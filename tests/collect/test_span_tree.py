from cortex_cli.collect.formats.otel import decode_items
from cortex_cli.collect.inferences import is_complete
from cortex_cli.collect.otlp import Fault, Item
from cortex_cli.collect.records import Place
from cortex_cli.collect.span_tree import Trace, Traces
from cortex_cli.domain.interactions import Origin
from tests.collect.spans import CHAT, CONTENT, PARENT, SPAN, TRACE, logs, make_log, make_span, traces

PLACE = Place(Origin("test"), "")
OTHER = "0" * 31 + "1"


def items(*values: dict[str, object]) -> list[Item]:
    return [item for value in values for item in decode_items(value) if not isinstance(item, Fault)]


def tree(*values: dict[str, object]) -> Trace:
    trace = Trace(TRACE)
    for item in items(*values):
        trace.add(item, PLACE)
    return trace


def test_a_trace_is_rooted_when_every_parent_and_every_span_of_an_event_is_there() -> None:
    child, parent = make_span(CHAT | CONTENT, parent=PARENT), make_span({}, span=PARENT)
    assert not Trace(TRACE).rooted
    assert not tree(traces(child)).rooted
    assert tree(traces(child, parent)).rooted
    assert not tree(traces(parent), logs(make_log("gen_ai.choice"))).rooted


def test_a_trace_is_complete_when_its_calls_have_their_content() -> None:
    asked = logs(make_log("gen_ai.user.message", {"content": "x"}))
    answered = logs(make_log("gen_ai.choice", {"message": {"content": "y"}}))
    assert not is_complete(tree(traces(make_span(CHAT))))
    assert not is_complete(tree(traces(make_span(CHAT)), asked))
    assert is_complete(tree(traces(make_span(CHAT)), asked, answered))
    assert is_complete(tree(traces(make_span(CHAT, status={"code": 2})), asked))
    assert is_complete(tree(traces(make_span({}))))


def test_of_a_span_told_twice_the_finished_one_stays() -> None:
    begun, ended = make_span(CHAT, endTimeUnixNano=0), make_span(CHAT | CONTENT)
    for order in ([begun, ended], [ended, begun]):
        assert tree(*map(traces, order)).spans[SPAN].item.end


def test_events_are_in_the_order_of_their_time() -> None:
    late = {**make_log("gen_ai.choice"), "observedTimeUnixNano": 9}
    soon = {**make_log("gen_ai.user.message"), "observedTimeUnixNano": 3}
    found = tree(logs(late, soon)).find_events(SPAN)
    assert [held.item.name for held in found] == ["gen_ai.user.message", "gen_ai.choice"]


def test_beyond_its_limit_the_trace_that_was_silent_longest_is_given_out() -> None:
    held = Traces(most=2500)
    for trace in (TRACE, OTHER, TRACE):
        for item in items(traces(make_span(CHAT | {"gen_ai.x": "x" * 900}, traceId=trace))):
            held.add(item, PLACE)
    (first,) = held.overflow()
    assert first.name == OTHER
    assert held.find(OTHER) is None
    assert [trace.name for trace in held.drain()] == [TRACE]
    assert list(held.overflow()) == []

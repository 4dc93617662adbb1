"""Traces on their way from the spool into the journal; time is told, never waited for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.collect.formats.otel import decode_items
from cortex_cli.collect.otlp import Fault
from cortex_cli.collect.redact import Redactor
from cortex_cli.pipeline.moving import Batch, Mover, ReceiveReport, decode_line, encode_line
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from tests.collect.spans import CHAT, CONTENT, PARENT, logs, make_log, make_span, traces

AGENT = make_span({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "pilot"}, span=PARENT)


class Bench:
    """A mover over a journal of its own; *released* are the lines that it has settled."""

    def __init__(self, root: Path) -> None:
        self.path = root / "journal.db"
        self.released: list[str] = []
        self.redactor = Redactor(b"k" * 32)
        self.journal = Journal(self.path, wait=0.0)
        self.mover = Mover(
            self.journal, lambda mask, items: mask(self.redactor, items), self.released.append, agent="", patience=10.0
        )

    def add(self, name: str, value: dict[str, Any], now: float = 0.0) -> None:
        items = tuple(item for item in decode_items(value) if not isinstance(item, Fault))
        self.mover.add(Batch(name, items), now)

    def agents(self) -> list[str]:
        with Journal(self.path) as journal:
            return [record.agent for _, record in journal.interactions()]

    def report(self) -> ReceiveReport:
        return self.mover.report(self.redactor, requests=0, failures=())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.journal.close()


def call(**fields: Any) -> dict[str, Any]:
    return make_span({"gen_ai.operation.name": "chat", **CONTENT}, **fields)


def test_a_complete_trace_is_moved_at_once(bench: Bench) -> None:
    bench.add("a", traces(call(parent=PARENT), AGENT))
    bench.mover.move_due(0.0)
    assert (bench.agents(), bench.released) == (["pilot"], ["a"])


def test_a_child_waits_for_its_parent(bench: Bench) -> None:
    bench.add("a", traces(call(parent=PARENT), service="desk"))
    bench.mover.move_due(9.0)
    assert (bench.agents(), bench.released) == ([], [])
    bench.add("b", traces(AGENT), 9.0)
    bench.mover.move_due(9.0)
    assert (bench.agents(), bench.released) == (["pilot"], ["a", "b"])


def test_a_trace_that_stays_silent_is_moved_as_it_is(bench: Bench) -> None:
    bench.add("a", traces(call(parent=PARENT), service="desk"))
    bench.mover.move_due(10.0)
    assert (bench.agents(), bench.released) == (["desk"], ["a"])


def test_what_comes_late_of_a_trace_is_moved_too_and_makes_no_call_twice(bench: Bench) -> None:
    bench.add("a", traces(call(parent=PARENT), service="desk"))
    bench.mover.move_due(10.0)
    bench.add("b", traces(call(parent=PARENT), AGENT), 11.0)
    bench.mover.move_due(11.0)
    report = bench.report()
    assert (bench.agents(), report.new, report.known) == (["desk"], 1, 1)


def test_a_call_waits_for_the_events_that_hold_its_content(bench: Bench) -> None:
    bench.add("a", traces(make_span(CHAT)))
    bench.add("b", logs(make_log("gen_ai.user.message", {"content": "Capital?"})))
    bench.mover.move_due(1.0)
    assert bench.released == []
    bench.add("c", logs(make_log("gen_ai.choice", {"message": {"content": "Oslo."}})), 1.0)
    bench.mover.move_due(1.0)
    assert (bench.agents(), bench.released) == (["desk"], ["a", "b", "c"])


def test_a_line_with_two_traces_is_released_after_both(bench: Bench) -> None:
    other = call(parent=PARENT, traceId="0" * 31 + "1")
    bench.add("a", traces(call(), other, service="desk"))
    bench.mover.move_due(1.0)
    assert (len(bench.agents()), bench.released) == (1, [])
    bench.mover.move_all()
    assert (len(bench.agents()), bench.released) == (2, ["a"])


def test_a_locked_journal_keeps_everything_in_the_spool(bench: Bench, tmp_path: Path) -> None:
    bench.add("a", traces(call(), service="desk"))
    with hold(tmp_path / "locks" / "journal.lock", purpose="test"):
        bench.mover.move_all()
        assert (bench.released, bench.report().waiting) == ([], 1)
    bench.mover.move_due(0.0)
    assert (bench.released, bench.report().waiting, bench.agents()) == (["a"], 0, ["desk"])


def test_what_is_no_call_is_counted_and_what_is_none_is_quarantined(bench: Bench) -> None:
    tool = make_span({"gen_ai.operation.name": "execute_tool"}, span="00000000000000a1")
    empty = make_span(CHAT, span="00000000000000a2")
    bench.add("a", traces(AGENT, tool, empty))
    bench.mover.add(Batch("", (), (Fault("bad_id", "x"),)), 0.0)
    bench.mover.move_all()
    report = bench.report()
    assert report.skipped == {"not_inference": 1, "tool_span": 1}
    assert report.quarantined == {"bad_id": 1, "content_not_captured": 1}
    assert (report.spans, report.interactions) == (3, 0)


def test_a_line_of_the_spool_holds_what_it_was_made_of() -> None:
    items = tuple(item for item in decode_items(traces(call(), AGENT)) if not isinstance(item, Fault))
    assert decode_line("a", encode_line(items)) == Batch("a", items)


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff", b"[" * 5000, json.dumps([{"type": "colour"}]).encode()])
def test_a_damaged_line_is_counted_and_let_go(bench: Bench, line: bytes) -> None:
    bench.mover.replay(decode_line("a", line), 0.0)
    assert (bench.report().quarantined, bench.released) == ({"damaged_spool": 1}, ["a"])

"""The whole receiver: real SDK exporters over real sockets into a real journal, also when it is killed."""

import gzip
import http.client
import json
import os
import random
import select
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from cortex_cli.domain.errors import LockedError, UsageError
from cortex_cli.domain.interactions import Feedback, Interaction
from cortex_cli.pipeline.moving import ReceiveReport
from cortex_cli.pipeline.place import Place, open_place
from cortex_cli.pipeline.receiving import Listening, receive
from cortex_cli.registry.start import start_workspace
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.workspace import Workspace, open_key
from tests.collect.spans import CHAT, CONTENT, fixture, interactions, logs, make_log, make_span, traces

ASKED = {"role": "user", "parts": [{"type": "text", "content": "mail anna.berg@example.org"}]}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("HOME", str(tmp_path))
    start_workspace(tmp_path / "lab", name="lab")
    return open_place(Workspace(tmp_path / "lab"))


class Running:
    """A receiver in a thread of its own; `stop` ends it and gives its report."""

    def __init__(self, place: Place, listening: Listening, wait: float = 30.0) -> None:
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._reports: list[ReceiveReport] = []
        self.url = ""
        self._thread = threading.Thread(target=self._run, args=(place, listening, wait))
        self._thread.start()
        assert self._ready.wait(60)

    def send(self, value: dict[str, Any], path: str = "/v1/traces") -> int:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        connection.request("POST", path, gzip.compress(json.dumps(value).encode()), headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def stop(self) -> ReceiveReport:
        self._stop.set()
        self._thread.join()
        return self._reports[0]

    def _run(self, place: Place, listening: Listening, wait: float) -> None:
        self._reports.append(receive(place, listening, self._stop, wait=wait, told=self._hear))

    def _hear(self, url: str) -> None:
        self.url = url
        self._ready.set()


@pytest.fixture
def running(place: Place) -> Iterator[Running]:
    receiver = Running(place, Listening(port=0))
    yield receiver
    receiver.stop()


@pytest.fixture
def plain(place: Place) -> Iterator[Running]:
    """A receiver that masks nothing, so that what was sent can be told from what was kept."""
    receiver = Running(place, Listening(port=0, policy="off"))
    yield receiver
    receiver.stop()


def kept(place: Place) -> list[Interaction]:
    with Journal(place.workspace.journal_path) as journal:
        assert journal.faults() == []
        return [record for _, record in journal.interactions()]


def judged(place: Place) -> list[Feedback]:
    with Journal(place.workspace.journal_path) as journal:
        return [record for _, record in journal.feedback()]


def spooled(place: Place) -> list[Path]:
    return sorted((place.workspace.private / "spool" / "otlp").iterdir())


@pytest.mark.parametrize("compression", [Compression.Gzip, Compression.NoCompression])
def test_the_exporter_of_the_sdk_is_received(place: Place, plain: Running, compression: Compression) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "Shop"}))
    exporter = OTLPSpanExporter(endpoint=f"{plain.url}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    named = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Clerk"}
    with (
        tracer.start_as_current_span("run", attributes=named),
        tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat", **CONTENT}),
    ):
        pass
    provider.shutdown()
    report = plain.stop()
    (record,) = kept(place)
    assert (record.agent, record.output, record.origin.source) == ("clerk", "Oslo.", "otlp")
    assert (report.requests, report.spans, report.new, report.failures) == (2, 2, 1, ())
    assert spooled(place) == []


def test_the_log_exporter_of_the_sdk_is_received(place: Place, plain: Running) -> None:
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

    provider = LoggerProvider(resource=Resource.create({"service.name": "Shop"}))
    exporter = OTLPLogExporter(endpoint=f"{plain.url}/v1/logs")
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    asked = {key: json.loads(text) for key, text in CONTENT.items()}
    name = "gen_ai.client.inference.operation.details"
    provider.get_logger("test").emit(LogRecord(event_name=name, attributes={**asked, "gen_ai.response.id": "r-1"}))
    provider.shutdown()
    assert plain.stop().events == 1
    assert [(record.agent, record.output, record.aliases) for record in kept(place)] == [("shop", "Oslo.", ("r-1",))]


def test_recorded_requests_give_what_their_files_give(place: Place, plain: Running) -> None:
    spans, events = (fixture(f"otel/openai-v2-events.{signal}.jsonl") for signal in ("traces", "logs"))
    for value in events:
        assert plain.send(value, "/v1/logs") == 200
    for value in spans:
        assert plain.send(value) == 200
    plain.stop()
    told = interactions(*spans, *events)
    assert {(record.id, record.agent, record.episode) for record in kept(place)} == {
        (record.id, record.agent, record.episode) for record in told
    }
    assert len(judged(place)) == 4


def test_sending_again_adds_nothing(place: Place, running: Running) -> None:
    for _ in range(2):
        assert running.send(traces(make_span(CHAT | CONTENT))) == 200
    assert len(kept_after(running, place)) == 1


def kept_after(running: Running, place: Place) -> list[Interaction]:
    running.stop()
    return kept(place)


def test_personal_data_is_masked_before_anything_is_written(place: Place, tmp_path: Path) -> None:
    told = CHAT | CONTENT | {"gen_ai.input.messages": json.dumps([ASKED]), "user.id": "anna.berg@example.org"}
    waits = make_span(told, parent="00000000000000a1", status={"code": 2, "message": "for anna.berg@example.org"})
    event = make_log("gen_ai.user.message", {"content": "anna.berg@example.org"}, span="00000000000000a1")
    running = Running(place, Listening(port=0))
    assert (running.send(traces(waits)), running.send(logs(event), "/v1/logs")) == (200, 200)
    files = [path for path in place.workspace.private.rglob("*") if path.is_file()]
    assert spooled(place)
    assert not any(b"anna.berg" in path.read_bytes() for path in files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in spooled(place))
    report = running.stop()
    (record,) = [record for record in kept(place) if record.output]
    assert "<EMAIL_" in record.messages[0].content
    assert "<EMAIL_" in record.error
    assert record.user.startswith("<ACCOUNT_")
    assert report.redacted["EMAIL"] == 3
    assert spooled(place) == []


def test_ids_and_names_are_not_masked(place: Place, running: Running) -> None:
    ids = {"gen_ai.response.id": "4111111111111111", "gen_ai.conversation.id": "+44 20 7946 0958"}
    running.send(traces(make_span(CHAT | CONTENT | ids)))
    (record,) = kept_after(running, place)
    assert (record.aliases[1], record.episode) == ("4111111111111111", "+44 20 7946 0958")


def test_many_senders_at_once_lose_nothing(place: Place, running: Running) -> None:
    statuses: list[int] = []

    def work(sender: int) -> None:
        for turn in range(10):
            span = make_span(CHAT | CONTENT, traceId=f"{sender * 100 + turn + 1:032x}")
            statuses.append(running.send(traces(span)))

    threads = [threading.Thread(target=work, args=(sender,)) for sender in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 80
    assert len(kept_after(running, place)) == 80
    assert spooled(place) == []


def test_what_cannot_be_read_is_rejected_and_counted(place: Place, running: Running) -> None:
    assert running.send(traces(make_span(CHAT | CONTENT), make_span({}, traceId="x"))) == 200
    assert running.send({"colour": "green"}) == 400
    report = running.stop()
    assert (report.quarantined, report.new) == ({"bad_id": 1}, 1)


def test_while_the_journal_is_locked_requests_are_still_taken(place: Place) -> None:
    running = Running(place, Listening(port=0), wait=0.0)
    with hold(place.workspace.locks_root / "journal.lock", purpose="test"):
        assert running.send(traces(make_span(CHAT | CONTENT))) == 200
        report = running.stop()
    assert (report.waiting, report.new, len(spooled(place))) == (1, 0, 1)
    assert kept(place) == []
    later = Running(place, Listening(port=0)).stop()
    assert (later.replayed, later.new, spooled(place)) == (1, 1, [])
    assert len(kept(place)) == 1


def test_a_second_receiver_is_refused(place: Place, running: Running) -> None:
    with pytest.raises(LockedError, match="receive OTLP"):
        receive(place, Listening(port=0), threading.Event())


@pytest.mark.parametrize(
    ("listening", "told"),
    [
        (Listening(host="0.0.0.0", port=0), "--allow-remote is not given"),  # noqa: S104 - what is refused
        (Listening(host="::", port=0, remote=True), "CORTEX_OTLP_TOKEN is not set"),
        (Listening(host="example.org", port=0), "can be reached from outside"),
        (Listening(port=99999), "cannot be listened on"),
    ],
)
def test_what_cannot_be_listened_on_is_refused_before_anything(place: Place, listening: Listening, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        receive(place, listening, threading.Event())
    assert not place.workspace.journal_path.exists()


def test_a_port_that_is_taken_is_refused(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of '127.0.0.1' cannot be listened on"):
            receive(place, Listening(port=port), threading.Event())


def test_the_agent_given_is_that_of_calls_without_one(place: Place) -> None:
    running = Running(place, Listening(port=0, agent="given"))
    running.send(traces(make_span({"gen_ai.operation.name": "chat", **CONTENT}), service="Shop"))
    running.stop()
    assert [record.agent for record in kept(place)] == ["given"]


def _receive_in_child(place: Place) -> tuple[int, str]:
    """Start a receiver in a process of its own; return its pid and URL."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writer, "w") as parent:
                listening = Listening(port=0, hold=0.05)
                receive(place, listening, threading.Event(), told=lambda url: print(url, file=parent, flush=True))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as heard:
        return child, heard.readline().strip()


@pytest.mark.kill
def test_a_killed_receiver_loses_nothing_that_it_answered_with_200(place: Place) -> None:
    open_key(place.workspace)
    chance = random.Random(7)
    acknowledged: list[str] = []
    for turn in range(10):
        child, url = _receive_in_child(place)
        killer = threading.Thread(target=_kill_later, args=(child, chance.uniform(0.02, 0.4)))
        killer.start()
        acknowledged += _send_until_gone(url, turn)
        killer.join()
        os.waitpid(child, 0)
    assert len(acknowledged) > 20
    Running(place, Listening(port=0)).stop()
    records = kept(place)
    found = [record.aliases[0].partition(":")[0] for record in records]
    assert set(acknowledged) <= set(found)
    assert len(found) == len(set(found))
    assert {record.agent for record in records} == {"desk"}
    assert spooled(place) == []


def _kill_later(child: int, seconds: float) -> None:
    select.select([], [], [], seconds)
    os.kill(child, signal.SIGKILL)


def _send_until_gone(url: str, turn: int) -> list[str]:
    acknowledged = []
    try:
        for number in range(10_000):
            trace = f"{turn * 10_000 + number + 1:032x}"
            # Every other trace waits for a parent that never comes.
            parent = "00000000000000a1" if number % 2 else ""
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
            body = json.dumps(traces(make_span(CHAT | CONTENT, traceId=trace, parent=parent)))
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
            if connection.getresponse().status == 200:
                acknowledged.append(trace)
            connection.close()
    except (OSError, http.client.HTTPException):
        return acknowledged
    raise AssertionError("the receiver was not killed")

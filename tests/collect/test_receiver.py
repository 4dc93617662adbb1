"""The HTTP side: real requests over a loopback socket, good and bad ones."""

import gzip
import http.client
import json
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from cortex_cli.collect.formats.otel import decode_items
from cortex_cli.collect.otlp import Fault
from cortex_cli.collect.otlp_bodies import JSON, PROTOBUF, Refusal, decode_request, render_failure, unpack
from cortex_cli.collect.receiver import Receiver, Taken
from cortex_cli.domain.errors import CortexError
from tests.collect.spans import TRACE, make_span, traces

BODY = json.dumps(traces(make_span({}))).encode()


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


class Sender:
    """A server and a client for it; what was taken is in `taken`."""

    def __init__(self, token: str) -> None:
        self.taken: list[dict[str, Any]] = []
        self.outcome: Taken | Exception = Taken()
        self.server = Receiver(("127.0.0.1", 0), self._take, token=token)
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def __call__(self, body: bytes = BODY, *, path: str = "/v1/traces", method: str = "POST", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        connection.request(method, path, body, {"Content-Type": JSON, **names})
        answer = connection.getresponse()
        reply = Reply(answer.status, answer.read(), dict(answer.getheaders()))
        connection.close()
        return reply

    def stop(self) -> None:
        self.server.stop()
        self._thread.join()

    def _take(self, value: dict[str, Any]) -> Taken:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        self.taken.append(value)
        return self.outcome


@pytest.fixture
def send() -> Iterator[Sender]:
    sender = Sender("")
    yield sender
    sender.stop()
    assert sender.server.failures == []


@pytest.fixture
def guarded() -> Iterator[Sender]:
    sender = Sender("open sesame")
    yield sender
    sender.stop()


def protobuf() -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = bytes.fromhex(TRACE), b"12345678"
    data: bytes = request.SerializeToString()
    return data


def parsed(message: Any, data: bytes) -> Any:
    message.ParseFromString(data)
    return message


def test_json_is_taken_and_answered_in_json(send: Sender) -> None:
    reply = send()
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"{}", JSON)
    assert send.taken == [json.loads(BODY)]


@pytest.mark.parametrize("kind", [PROTOBUF, "application/protobuf", "application/x-protobuf; charset=utf-8"])
def test_protobuf_is_taken_and_answered_in_protobuf(send: Sender, kind: str) -> None:
    reply = send(protobuf(), Content_Type=kind)
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"", PROTOBUF)
    (span,) = decode_items(send.taken[0])
    assert not isinstance(span, Fault)
    assert (span.trace, span.span) == (TRACE, b"12345678".hex())


def test_gzip_is_unpacked(send: Sender) -> None:
    half = len(BODY) // 2
    for packed in (gzip.compress(BODY), gzip.compress(BODY[:half]) + gzip.compress(BODY[half:])):
        assert send(packed, Content_Encoding="gzip").status == 200
    assert send.taken == [json.loads(BODY)] * 2


def test_what_was_rejected_is_told_in_the_answer(send: Sender) -> None:
    send.outcome = Taken(300, "bad_id")
    told = {"partialSuccess": {"rejectedSpans": "300", "errorMessage": "bad_id"}}
    assert json.loads(send().body) == told
    assert "rejectedLogRecords" in json.loads(send(path="/v1/logs").body)["partialSuccess"]
    partial = parsed(ExportTraceServiceResponse(), send(protobuf(), Content_Type=PROTOBUF).body).partial_success
    assert (partial.rejected_spans, partial.error_message) == (300, "bad_id")
    reply = send(b"", path="/v1/logs", Content_Type=PROTOBUF)
    assert parsed(ExportLogsServiceResponse(), reply.body).partial_success.rejected_log_records == 300


def test_metrics_are_accepted_and_ignored(send: Sender) -> None:
    assert send(b'{"resourceMetrics": []}', path="/v1/metrics").body == b"{}"
    assert send(b"\x00\xff", path="/v1/metrics", Content_Type=PROTOBUF).status == 200
    assert send.taken == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"a":' * 5000, {}, 400),
        (b"\xff\xff\xff", {"Content_Type": PROTOBUF}, 400),
        (BODY, {"Content_Type": "text/plain"}, 415),
        (BODY, {"Content_Encoding": "br"}, 415),
        (BODY, {"Content_Encoding": "gzip"}, 400),
        (gzip.compress(BODY, mtime=0)[:-9], {"Content_Encoding": "gzip"}, 400),
        (gzip.compress(BODY, mtime=0)[:30], {"Content_Encoding": "gzip"}, 400),
    ],
)
def test_a_bad_request_is_refused_and_the_next_one_is_taken(
    send: Sender, body: bytes, headers: dict[str, str], status: int
) -> None:
    reply = send(body, **headers)
    assert reply.status == status
    assert reply.body
    assert send.taken == []
    assert send().status == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "POST", 404),
        ("/v1/spans", "POST", 404),
        ("/v1/traces", "GET", 405),
        ("/", "GET", 404),
        ("/v1/logs", "PUT", 405),
    ],
)
def test_other_paths_and_methods_are_refused(send: Sender, path: str, method: str, status: int) -> None:
    assert send(path=path, method=method).status == status


def test_a_slash_and_a_query_are_no_other_path(send: Sender) -> None:
    assert send(path="/v1/traces/?x=1").status == 200


def test_a_bomb_is_never_unpacked_beyond_the_limit(send: Sender) -> None:
    bomb = gzip.compress(bytes(80 << 20))
    assert len(bomb) < 1 << 20
    assert send(bomb, Content_Encoding="gzip").status == 413
    with pytest.raises(Refusal) as refused:
        unpack(gzip.compress(bytes(600)) * 2, "gzip", 1000)
    assert refused.value.status == 413


def test_a_body_that_is_announced_too_large_or_not_at_all_is_not_read(send: Sender) -> None:
    for length, status in (("999999999", 413), ("-1", 411), ("x", 411), ("9" * 40, 411)):
        with socket.create_connection(("127.0.0.1", send.server.server_port), timeout=30) as connection:
            head = f"POST /v1/traces HTTP/1.1\r\nContent-Type: {JSON}\r\nContent-Length: {length}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(f"HTTP/1.1 {status}".encode())


def test_the_token_is_asked_for_before_the_body_is_read(guarded: Sender) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "open sesame"}):
        reply = guarded(BODY, **headers)
        assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert guarded(Authorization="Bearer open sesame").status == 200
    assert len(guarded.taken) == 1


def test_who_may_try_again_is_told_when(send: Sender) -> None:
    send.outcome = Refusal(503, "busy", retry=7)
    reply = send()
    assert (reply.status, reply.headers["Retry-After"], json.loads(reply.body)) == (503, "7", {"message": "busy"})
    send.outcome = CortexError("the disk is full")
    assert send().status == 503


def test_too_much_at_once_is_refused_for_a_moment(send: Sender) -> None:
    with send.server.holding(127 << 20):
        assert send(b" " * (2 << 20) + BODY).status == 503
    assert send(b" " * (2 << 20) + BODY).status == 200


def test_one_connection_carries_many_requests(send: Sender) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", send.server.server_port, timeout=30)
    for _ in range(3):
        connection.request("POST", "/v1/traces", BODY, {"Content-Type": JSON})
        assert connection.getresponse().read() == b"{}"
    connection.close()
    assert send.server.requests == 3


def test_a_sender_that_goes_away_or_stays_silent_does_not_hold_up_the_end(send: Sender) -> None:
    head = f"POST /v1/traces HTTP/1.1\r\nContent-Type: {JSON}\r\nContent-Length: 99\r\n\r\n{{".encode()
    with socket.create_connection(("127.0.0.1", send.server.server_port)) as gone:
        gone.sendall(head)
    silent = socket.create_connection(("127.0.0.1", send.server.server_port))
    silent.sendall(head)
    assert send().status == 200
    send.server.stop()
    silent.close()
    assert len(send.taken) == 1


def test_an_error_of_ours_is_kept_and_the_server_goes_on() -> None:
    sender = Sender("")
    sender.outcome = ZeroDivisionError()
    with pytest.raises(http.client.RemoteDisconnected):
        sender()
    sender.outcome = Taken()
    assert sender().status == 200
    sender.stop()
    assert [type(error) for error in sender.server.failures] == [ZeroDivisionError]


def test_without_the_extra_the_answer_names_the_way_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.trace.v1.trace_service_pb2", None)
    with pytest.raises(Refusal, match="OTEL_EXPORTER_OTLP_PROTOCOL=http/json") as refused:
        decode_request(protobuf(), PROTOBUF, "/v1/traces")
    assert refused.value.status == 415
    assert "cortex-cli[otlp]" in refused.value.message


def test_a_failure_in_protobuf_is_a_status() -> None:
    assert render_failure(PROTOBUF, "no" * 100) == b"\x12\xc8\x01" + b"no" * 100

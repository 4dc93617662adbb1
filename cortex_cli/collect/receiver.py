"""The HTTP side of the OTLP receiver: requests are checked, unpacked, decoded and handed on; answers go back.

What a request carries is handed to *take*, and the answer 200 is given only after that has returned: it must have
made everything durable. Connections, bodies and what they unpack to are bounded; nothing is parsed before the
sender has shown the token, where one is asked for.
"""

import hmac
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple

from cortex_cli.collect.otlp_bodies import (
    JSON,
    PROTOBUF,
    SIGNALS,
    Refusal,
    decode_request,
    render_failure,
    render_success,
    unpack,
)
from cortex_cli.domain.errors import CortexError

__all__ = ["Receiver", "Take", "Taken"]

# What a batch of spans unpacks to at most; SDKs send 512 spans at a time.
_MOST_BODY = 64 << 20
# Bodies that are being worked on at one time, all senders together.
_MOST_HELD = 128 << 20
_MOST_CONNECTIONS = 64
# Seconds after which a silent connection is closed, so that its place is free again.
_PATIENCE = 10.0
# Seconds for which a sender that was refused may stay silent before its connection is closed.
_LINGER = 1.0
_SHORT = 120


class Taken(NamedTuple):
    """What became of a request: how many of its spans or log records were *rejected*, and the *reason* of the first."""

    rejected: int = 0
    reason: str = ""


Take = Callable[[dict[str, Any]], Taken]


class Receiver(ThreadingHTTPServer):
    """An OTLP/HTTP server at *address*, not serving yet; what it is sent it gives to *take*, from many threads.

    With a *token* every request must bear it. Raises `OSError` when the address is in use.
    """

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], take: Take, *, token: str = "") -> None:
        self.take = take
        self.token = token
        self.requests = 0
        self.failures: list[BaseException] = []
        self._held = 0
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._connections: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind the address; what the base class does besides asks a name server, which may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def stop(self) -> None:
        """Accept nothing more, answer what has been read, and close; senders that are idle are not waited for."""
        self.shutdown()
        with self._lock:
            open_now = list(self._connections)
        for connection in open_now:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        self.server_close()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Work on a body of *size* bytes inside the block; raise `Refusal` when too much is worked on already."""
        with self._lock:
            if self._held and self._held + size > _MOST_HELD:
                raise Refusal(503, "too many requests at once", retry=1)
            self._held += size
            self.requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= size

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection in a thread of its own; with all places taken, later ones wait to be accepted."""
        self._places.acquire()
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the server passes them
        """Keep what went wrong in `failures`; that a sender has gone away is nothing of ours."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            self.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"
    server_version = "cortex"
    sys_version = ""
    timeout = _PATIENCE

    def do_POST(self) -> None:
        path = self.path.split("?", 1)[0].rstrip("/")
        kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        kind = PROTOBUF if kind == "application/protobuf" else kind
        try:
            size = self._check(path, kind)
            with self.server.holding(size):
                status, body = 200, self._take(path, kind, size)
        except Refusal as refusal:
            status, body = refusal.status, render_failure(kind, refusal.message)
            self._answer(status, body, kind, retry=refusal.retry)
        except CortexError as error:
            # The disk refused: what was sent is not kept, and may be sent again.
            self._answer(503, render_failure(kind, error.message), kind, retry=30)
        else:
            self._answer(status, body, kind)

    def do_GET(self) -> None:
        known = self.path.rstrip("/") in SIGNALS
        self._answer(405 if known else 404, render_failure(JSON, "send OTLP with POST to /v1/traces or /v1/logs"), JSON)

    do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - the names that the base class calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing: lines of access would be talk, and hold addresses."""

    def _check(self, path: str, kind: str) -> int:
        """Return the size of the body, once everything before it is as it has to be."""
        if path not in SIGNALS:
            raise Refusal(404, f"nothing is taken at {path[:_SHORT]!r}; send to /v1/traces or /v1/logs")
        if self.server.token and not self._bears(self.server.token):
            raise Refusal(401, "the request does not bear the token")
        if kind not in {JSON, PROTOBUF}:
            raise Refusal(415, f"content type {kind[:_SHORT]!r} is not supported; use {JSON} or {PROTOBUF}")
        told = self.headers.get("Content-Length", "")
        if not (told.isascii() and told.isdigit() and len(told) < 20):
            raise Refusal(411, "the request must tell its Content-Length")
        if int(told) > _MOST_BODY:
            raise Refusal(413, f"the body has more than {_MOST_BODY} bytes")
        return int(told)

    def _bears(self, token: str) -> bool:
        given = self.headers.get("Authorization", "").encode("utf-8", "replace")
        return hmac.compare_digest(given, f"Bearer {token}".encode())

    def _take(self, path: str, kind: str, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionError
        if not SIGNALS[path][1]:
            # Metrics hold nothing to learn from, and a sender that is refused would only complain.
            return render_success(kind, path, 0, "")
        encoding = self.headers.get("Content-Encoding", "").strip().lower()
        taken = self.server.take(decode_request(unpack(data, encoding, _MOST_BODY), kind, path))
        return render_success(kind, path, taken.rejected, taken.reason)

    def _answer(self, status: int, body: bytes, kind: str, *, retry: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind if kind in {JSON, PROTOBUF} else JSON)
        self.send_header("Content-Length", str(len(body)))
        if retry:
            self.send_header("Retry-After", str(retry))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if status != 200:
            # A body that was not read stands in the way of the next request.
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if status != 200:
            self._linger()

    def _linger(self) -> None:
        """Read on for a moment: closing while a sender still writes would cost it the answer."""
        self.connection.settimeout(_LINGER)
        left = _MOST_BODY
        with suppress(OSError):
            while left > 0 and (data := self.rfile.read1(1 << 16)):
                left -= len(data)

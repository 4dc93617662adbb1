"""Calls to a model's server over HTTP: kept connections, one deadline per try, bounded answers, and retries.

In: a path and a JSON body. Out: status and bytes, or the reason why there are none; never an exception. Only
what another try may mend is tried again. Redirects are not followed: what is asked would go to a host that
nobody named.
"""

import http.client
import io
import random
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cortex_cli.store.clock import Clock, utc_now

__all__ = ["Caller", "Limits", "Means", "Reply"]

# What a client may send again: the server did not take the request, or says that it could not finish it.
_AGAIN = frozenset({408, 409, 429}) | frozenset(range(500, 600))
# A quota that is used up is told with 429 like too many requests, but no waiting within a run mends it.
_FINAL = (b"insufficient_quota", b"billing_hard_limit_reached")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a call: *seconds* per try from sending to the last byte, *connect* to reach the server.

    The pause before another try begins at *first* seconds and doubles up to *longest*; a server that asks for more
    than *patience* is not waited for. *size* is bytes of an answer, *together* the calls at one time.
    """

    seconds: float = 120.0
    connect: float = 10.0
    tries: int = 5
    first: float = 0.5
    longest: float = 20.0
    patience: float = 60.0
    size: int = 8 << 20
    together: int = 8


class Means(NamedTuple):
    """What a caller takes from outside: a clock of seconds, the time of day, chance in [0, 1), and how to *wait*.

    Without *wait* a caller waits until it is closed, so that nobody sits out a pause for nothing.
    """

    seconds: Callable[[], float] = time.monotonic
    now: Clock = utc_now
    chance: Callable[[], float] = random.random
    wait: Callable[[float], object] | None = None


class Reply(NamedTuple):
    """What a call brought: *status* and *body*, or with status 0 none; *error* is '' for a success.

    *again* says that another try may bring more, *pause* after how many seconds the server asks for it (-1: it does
    not say).
    """

    status: int
    body: bytes = b""
    error: str = ""
    again: bool = False
    pause: float = -1.0


_LIMITS, _MEANS = Limits(), Means()


class Caller:
    """A server at *base*, such as `http://127.0.0.1:8080/v1`, that every call goes to with *headers*.

    Safe for many threads. What is in *secret* never stands in an error, whatever the server says.
    """

    def __init__(
        self,
        base: str,
        headers: Mapping[str, str],
        limits: Limits = _LIMITS,
        means: Means = _MEANS,
        *,
        secret: str = "",
    ) -> None:
        parts = urlsplit(base)
        self.limits = limits
        self.host = parts.netloc
        self._address = (parts.hostname or "", parts.port)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._path = parts.path.rstrip("/")
        # A compressed answer would have to be bounded twice.
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
        self._means = means
        self._secret = secret
        self._closed = threading.Event()
        self._wait = means.wait or self._closed.wait
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._open: set[http.client.HTTPConnection] = set()
        # Who forgets to close leaves nothing open either, once nobody holds the caller any more.
        weakref.finalize(self, _close_all, self._idle)

    def post(self, path: str, body: bytes) -> Reply:
        """Post *body* to *path* below the base, as often as may help; the last reply is returned."""
        reply, tried = Reply(0, error="no try was allowed"), 0
        for tried in range(1, self.limits.tries + 1):
            reply = self._try(path, body)
            if not reply.again or tried == self.limits.tries or self._closed.is_set():
                break
            if reply.pause > self.limits.patience:
                reply = reply._replace(error=f"{reply.error}; it asks to wait {reply.pause:,.0f} s")
                break
            self._wait(self._pause(tried, reply.pause))
        told = f"{reply.error} ({tried} tries)" if reply.error and tried > 1 else reply.error
        return reply._replace(error=self.hide(told))

    def hide(self, text: str) -> str:
        """Return *text* without the key, should a server have repeated it."""
        return text.replace(self._secret, "<key>") if self._secret else text

    def close(self) -> None:
        """Close all connections and end all pauses; calls that are under way fail soon."""
        self._closed.set()
        with self._lock:
            connections = list(self._open)
            _close_all(self._idle)
        for connection in connections:
            with suppress(OSError, AttributeError):  # not connected yet, or no longer
                connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it

    def _try(self, path: str, body: bytes) -> Reply:
        connection = self._take()
        try:
            reply = self._send(connection, path, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            reply = self._explain(error)
        self._give_back(connection)
        return reply

    def _explain(self, error: Exception) -> Reply:
        if isinstance(error, TimeoutError):
            return Reply(0, error=f"'{self.host}' did not answer within {self.limits.seconds:g} s", again=True)
        if isinstance(error, ssl.SSLCertVerificationError):
            return Reply(0, error=f"the certificate of '{self.host}' is not trusted: {error.verify_message}")
        told = str(error) or type(error).__name__
        return Reply(0, error=f"the connection to '{self.host}' failed: {told}", again=True)

    def _send(self, connection: http.client.HTTPConnection, path: str, body: bytes) -> Reply:
        deadline = self._means.seconds() + self.limits.seconds
        is_used = connection.sock is not None
        try:
            response = self._request(connection, path, body, deadline)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if not is_used:
                raise
            # The server had closed it meanwhile, which one learns only by using it: no try is lost by that.
            connection.close()
            response = self._request(connection, path, body, deadline)
        reply = self._read(response)
        if response.will_close or not response.isclosed():
            connection.close()
        return reply

    def _request(
        self, connection: http.client.HTTPConnection, path: str, body: bytes, deadline: float
    ) -> http.client.HTTPResponse:
        if connection.sock is None:
            connection.connect()
        seconds = self._means.seconds

        def respond(sock: Any, **arguments: Any) -> http.client.HTTPResponse:
            timed: Any = _TimedSocket(sock, lambda: deadline - seconds())
            return http.client.HTTPResponse(timed, **arguments)

        connection.response_class = respond  # type: ignore[assignment]  # called only, never compared
        connection.sock.settimeout(max(0.001, deadline - seconds()))
        connection.request("POST", f"{self._path}{path}", body, self._headers)
        return connection.getresponse()

    def _read(self, response: http.client.HTTPResponse) -> Reply:
        data = bytearray()
        while len(data) <= self.limits.size and (chunk := response.read(_CHUNK)):
            data += chunk
        if len(data) > self.limits.size:
            return Reply(response.status, error=f"'{self.host}' answers with more than {self.limits.size:,} bytes")
        if response.length:  # http.client tells a torn body only when it is read at once
            raise http.client.IncompleteRead(bytes(data), response.length)
        return self._judge(response, bytes(data))

    def _judge(self, response: http.client.HTTPResponse, body: bytes) -> Reply:
        status = response.status
        if 200 <= status < 300:
            return Reply(status, body)
        if status in _REDIRECTS:
            where = urlsplit(response.headers.get("Location", "")).netloc or self.host
            return Reply(status, body, f"HTTP {status}: '{self.host}' sends on to '{where}', which is not followed")
        again = status in _AGAIN and not any(word in body for word in _FINAL)
        told = f"HTTP {status} {http.client.responses.get(status, '')}".rstrip()
        return Reply(status, body, told, again, self._asked(response))

    def _asked(self, response: http.client.HTTPResponse) -> float:
        """Return after how many seconds the server asks to be called again, -1 when it does not say."""
        millis, told = response.headers.get("retry-after-ms", ""), response.headers.get("Retry-After", "")
        with suppress(ValueError):
            return max(0.0, float(millis) / 1000) if millis else max(0.0, float(told))
        with suppress(ValueError, TypeError):  # a date; one without a zone cannot be compared
            return max(0.0, (parsedate_to_datetime(told) - self._means.now()).total_seconds())
        return -1.0

    def _pause(self, tried: int, asked: float) -> float:
        # Jitter keeps callers apart that failed together: upwards of what was asked for, downwards of the rest.
        if asked >= 0:
            return asked * (1 + 0.25 * self._means.chance())
        pause: float = min(self.limits.longest, self.limits.first * 2 ** (tried - 1))
        return pause * (1 - 0.5 * self._means.chance())

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            connection = self._idle.pop() if self._idle else self._connection()
            self._open.add(connection)
            return connection

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=self.limits.connect, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self.limits.connect)

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep *connection* for another call, unless what came last could not be read to its end."""
        with self._lock:
            self._open.discard(connection)
            if connection.sock is not None and not self._closed.is_set():
                self._idle.append(connection)
                return
        connection.close()


def _close_all(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


class _TimedSocket:
    """A socket whose reader has *left* seconds for all of its reads, where a timeout would be for each alone."""

    def __init__(self, sock: Any, left: Callable[[], float]) -> None:
        self._sock = sock
        self._left = left

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self._left))


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: Any, left: Callable[[], float]) -> None:
        super().__init__()
        self._sock = sock
        self._left = left
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._left()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        count: int = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()

"""A provider of chat completions on the loopback, with the moods of real ones."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Turn(NamedTuple):
    """One answer of the server: *torn* ends it half-way, *silent* closes without a word, *slow* never ends it."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    torn: bool = False
    silent: bool = False
    slow: bool = False
    chunked: bool = False
    close: bool = False


def said(text: str, *, tokens: tuple[int, int] = (10, 5), finish: str = "stop", **message: Any) -> Turn:
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    value = {"id": "c-1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    return Turn(json.dumps(value).encode())


def failed(status: int, message: str, *headers: tuple[str, str], **error: Any) -> Turn:
    return Turn(json.dumps({"error": {"message": message, **error}}).encode(), status, headers)


@dataclass
class Provider:
    """What was asked, and *reply*, which answers the request with its number (from 0)."""

    reply: Callable[[dict[str, Any], int], Turn]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0
    together: int = 0
    most_together: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serving(reply: Callable[[dict[str, Any], int], Turn], tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """Serve *reply* on a free port of the loopback until the block ends, over *tls* if that is given."""
    provider = Provider(reply)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.block_on_close = False  # connections that a client keeps are closed by it
    provider.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        provider.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            with provider.lock:
                provider.connections += 1

        def do_POST(self) -> None:  # the name that http.server asks for
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with provider.lock:
                number = len(provider.asked)
                provider.asked.append(request)
                provider.headers.append(dict(self.headers))
                provider.paths.append(self.path)
                provider.together += 1
                provider.most_together = max(provider.most_together, provider.together)
            turn = provider.reply(request, number)
            with provider.lock:
                provider.together -= 1
            self._answer(turn)

        def _answer(self, turn: Turn) -> None:
            self.close_connection = turn.torn or turn.silent or turn.slow or turn.close
            if turn.silent:
                return
            self.send_response(turn.status)
            for name, value in turn.headers:
                self.send_header(name, value)
            if turn.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(turn.body)))
            self.end_headers()
            body = turn.body[: len(turn.body) // 2] if turn.torn or turn.slow else turn.body
            if turn.chunked:
                body = b"%x\r\n%s\r\n" % (len(body), body) + (b"" if turn.torn else b"0\r\n\r\n")
            self.wfile.write(body)
            if turn.slow:
                provider.stopped.wait(30)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
            pass

    return Handler

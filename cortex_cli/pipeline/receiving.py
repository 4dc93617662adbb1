"""Receiving OTLP: what a sender was told is kept survives a kill, and gets into the journal trace by trace.

A request is masked, spooled durably and only then acknowledged. Spans of one trace come in several requests, so a
trace is held until it is complete, or has been silent for a while; then its records are appended to the journal
and its spooled requests removed. What a killed receiver has left in the spool is taken up by the next one.
"""

import ipaddress
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from cortex_cli.collect.formats.otel import decode_items
from cortex_cli.collect.otlp import Fault
from cortex_cli.collect.otlp_bodies import Refusal
from cortex_cli.collect.receiver import Receiver, Taken
from cortex_cli.collect.records import BadRecordError
from cortex_cli.collect.redact import Policy, Redactor
from cortex_cli.collect.span_redaction import redact_items
from cortex_cli.domain.errors import UsageError
from cortex_cli.pipeline.moving import Batch, Mover, ReceiveReport, decode_line, encode_line
from cortex_cli.pipeline.place import Place
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.spool import Spool
from cortex_cli.store.workspace import open_key

__all__ = ["Listening", "ReceiveReport", "receive"]

# Beyond this the journal has been locked for long, or the disk is slow; senders keep what they have and try again.
_MOST_SPOOLED = 512 << 20
# How often the traces are looked at when nothing comes, in seconds.
_TICK = 0.1
# Requests that are taken in before the traces are looked at again.
_MOST_AT_ONCE = 500
_RETRY = 30


class Listening(NamedTuple):
    """Where to listen and how to take what comes.

    *agent* is that of calls that name none, before the service they come from. *hold* is how many seconds an
    incomplete trace may be silent before it is moved as it is. *remote* allows other hosts than this one, which
    then need *token*; where there is one, every request must bear it.
    """

    host: str = "127.0.0.1"
    port: int = 4318
    agent: str = ""
    policy: Policy = "standard"
    hold: float = 10.0
    remote: bool = False
    token: str = ""


def receive(
    place: Place,
    listening: Listening,
    stop: threading.Event,
    *,
    wait: float = 30.0,
    told: Callable[[str], None] = lambda _: None,
) -> ReceiveReport:
    """Receive until *stop* is set, then move what is held into the journal and report.

    *told* hears the base URL once requests are taken. What was answered with 200 is in the journal or, when
    that stayed locked for *wait* seconds, in the spool, from where the next call moves it. Raises `UsageError`
    before anything is taken when the address cannot be listened on, `LockedError` when another one receives.
    """
    _check(listening)
    workspace = place.workspace
    redactor = _open_redactor(open_key(workspace), listening.policy)
    lock = hold(workspace.locks_root / "otlp.lock", purpose="receive OTLP", wait=0.0)
    with lock, Journal(workspace.journal_path, wait=wait) as journal:
        spool = Spool(workspace.private / "spool" / "otlp")
        inbox = _Inbox(redactor, spool)
        mover = Mover(journal, inbox.redact, spool.release, agent=listening.agent, patience=listening.hold)
        for name, line in spool.replay():
            mover.replay(decode_line(name, line), time.monotonic())
        with _serving(listening, inbox) as server:
            told(f"http://{listening.host}:{server.server_port}")
            while not stop.is_set():
                _move_on(inbox, mover, _TICK)
        _move_rest(inbox, mover)
        return mover.report(redactor, requests=server.requests, failures=server.failures)


def _open_redactor(key: bytes, policy: Policy) -> Redactor:
    redactor = Redactor(key, policy)
    # What it loads is loaded now, so that what is missing is told here and not to every sender.
    redactor.redact_text("ready")
    return redactor


class _Inbox:
    """Where the threads of the server put what they receive: masked and durable before `take` returns."""

    def __init__(self, redactor: Redactor, spool: Spool) -> None:
        self.batches: SimpleQueue[Batch] = SimpleQueue()
        self._redactor = redactor
        self._spool = spool
        # A redactor counts, and is not for several threads at once.
        self._lock = threading.Lock()

    def take(self, value: dict[str, Any]) -> Taken:
        """Keep the request *value*; what cannot be read of it is rejected, and told."""
        if self._spool.size > _MOST_SPOOLED:
            raise Refusal(503, "what was received is not moved to the journal fast enough", retry=_RETRY)
        try:
            found = decode_items(value)
            faults = tuple(item for item in found if isinstance(item, Fault))
            items = self.redact(redact_items, [item for item in found if not isinstance(item, Fault)])
            line = encode_line(items)
        except (BadRecordError, RecursionError) as error:
            raise Refusal(400, f"the request cannot be read: {error}") from error
        name = self._spool.append(line) if items else ""
        self.batches.put(Batch(name, items, faults))
        return Taken(len(faults), faults[0].reason if faults else "")

    def redact(self, mask: Callable[[Redactor, Any], Any], items: Any) -> Any:
        """Return *items* as *mask* makes them with the redactor."""
        with self._lock:
            return mask(self._redactor, items)


@contextmanager
def _serving(listening: Listening, inbox: _Inbox) -> Iterator[Receiver]:
    try:
        server = Receiver((listening.host, listening.port), inbox.take, token=listening.token)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"port {listening.port} of '{listening.host}' cannot be listened on: {error}",
            hint="cortex collect otlp --port PORT",
            state="nothing was changed",
        ) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _TICK}, name="otlp")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def _move_rest(inbox: _Inbox, mover: Mover) -> None:
    while not inbox.batches.empty():
        _move_on(inbox, mover, 0.0)
    mover.move_all()


def _move_on(inbox: _Inbox, mover: Mover, seconds: float) -> None:
    """Take in what has come, waiting at most *seconds* for the first of it, and move what is due."""
    for _ in range(_MOST_AT_ONCE):
        try:
            batch = inbox.batches.get(timeout=seconds) if seconds else inbox.batches.get_nowait()
        except Empty:
            break
        mover.add(batch, time.monotonic())
        seconds = 0.0
    mover.move_due(time.monotonic())


def _check(listening: Listening) -> None:
    if _is_loopback(listening.host):
        return
    if not (listening.remote and listening.token):
        missing = "CORTEX_OTLP_TOKEN is not set" if listening.remote else "--allow-remote is not given"
        raise UsageError(
            f"host {listening.host!r} can be reached from outside, and {missing}",
            hint="CORTEX_OTLP_TOKEN=SECRET cortex collect otlp --host HOST --allow-remote",
            state="nothing was changed",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Bodies of OTLP/HTTP: what a request carries, and what it is answered, in JSON or in protobuf.

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp. Answers have the encoding of the request; they are so
small that protobuf needs no library here, only requests do (the `otlp` extra).
"""

import importlib
import zlib
from typing import Any

import msgspec

from cortex_cli.domain.errors import CortexError, MissingExtraError

__all__ = ["JSON", "PROTOBUF", "SIGNALS", "Refusal", "decode_request", "render_failure", "render_success", "unpack"]

JSON, PROTOBUF = "application/json", "application/x-protobuf"
# Path -> word in the names of protobuf, and of what is counted in it.
SIGNALS = {"/v1/traces": ("trace", "Spans"), "/v1/logs": ("logs", "LogRecords"), "/v1/metrics": ("metrics", "")}


class Refusal(CortexError):  # noqa: N818 - an answer of HTTP, which the sender sees as one
    """Report a request that is not taken: HTTP *status*, and after how many seconds it may *retry* (0: never)."""

    def __init__(self, status: int, message: str, *, retry: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.retry = retry


def unpack(data: bytes, encoding: str, limit: int) -> bytes:
    """Return *data* without its content *encoding*; raise `Refusal` when it is damaged or more than *limit* bytes.

    At most *limit* bytes are ever unpacked, however much a small body pretends to be.
    """
    if encoding in {"", "identity"}:
        return data
    if encoding != "gzip":
        raise Refusal(415, f"content encoding {encoding[:40]!r} is not supported; use gzip or none")
    parts: list[bytes] = []
    room = limit
    while data:
        # 31: the window of gzip and its header.
        stream = zlib.decompressobj(31)
        try:
            part = stream.decompress(data, room + 1)
        except zlib.error as error:
            raise Refusal(400, f"the gzip body is damaged: {error}") from error
        room -= len(part)
        if room < 0:
            raise Refusal(413, f"the body unpacks to more than {limit} bytes")
        if not stream.eof:
            raise Refusal(400, "the gzip body ends too early")
        parts.append(part)
        data = stream.unused_data
    return b"".join(parts)


def decode_request(data: bytes, kind: str, path: str) -> dict[str, Any]:
    """Return the request *data* of content type *kind* for *path* as a container of OTLP/JSON; raise `Refusal`."""
    if kind == PROTOBUF:
        return _decode_protobuf(data, SIGNALS[path][0])
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Refusal(400, f"the body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Refusal(400, f"the body is a {type(value).__name__}, expected an object")
    return value


def render_success(kind: str, path: str, rejected: int, reason: str) -> bytes:
    """Return the body that says that a request was taken, but for *rejected* of what was in it."""
    if not rejected:
        return b"" if kind == PROTOBUF else b"{}"
    if kind == PROTOBUF:
        partial = b"\x08" + _varint(rejected) + _field(2, reason.encode())
        return _field(1, partial)
    # A 64-bit number is text in the JSON of protobuf.
    told = {f"rejected{SIGNALS[path][1]}": str(rejected), "errorMessage": reason}
    return msgspec.json.encode({"partialSuccess": told})


def render_failure(kind: str, message: str) -> bytes:
    """Return the body that says why a request was refused: a `google.rpc.Status`."""
    if kind == PROTOBUF:
        return _field(2, message.encode())
    return msgspec.json.encode({"message": message})


def _decode_protobuf(data: bytes, word: str) -> dict[str, Any]:
    try:
        service = importlib.import_module(f"opentelemetry.proto.collector.{word}.v1.{word}_service_pb2")
        to_json = importlib.import_module("google.protobuf.json_format")
        failure: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
    except ImportError as error:
        missing = MissingExtraError("decoding OTLP in protobuf", "otlp")
        way = "send JSON instead: OTEL_EXPORTER_OTLP_PROTOCOL=http/json"
        raise Refusal(415, f"{missing.message} ({missing.hint}), or {way}") from error
    message = getattr(service, f"Export{word.capitalize()}ServiceRequest")()
    try:
        message.ParseFromString(data)
        found: dict[str, Any] = to_json.MessageToDict(message, use_integers_for_enums=True)
    except (failure, RecursionError, ValueError) as error:
        raise Refusal(400, f"the body is no protobuf of OTLP: {error}") from error
    return found


def _field(number: int, data: bytes) -> bytes:
    # Wire type 2: length, then bytes.
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])

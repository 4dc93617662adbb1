"""Digests and canonical forms: equal values have equal bytes, so equal bytes can mean equal values."""

import hashlib
import re

import msgspec

from cortex_cli.domain.errors import IntegrityError

__all__ = ["canonical_json", "check_digest", "content_id", "digest_bytes", "digest_value", "hex_of"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ENCODER = msgspec.json.Encoder(order="deterministic")


def canonical_json(value: object) -> bytes:
    """Encode *value* as JSON with sorted keys and no spaces; the same value gives the same bytes."""
    return _ENCODER.encode(value)


def digest_bytes(data: bytes) -> str:
    """Return the tagged SHA-256 of *data*, `sha256:<64 hex digits>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_value(value: object) -> str:
    """Return the tagged SHA-256 of the canonical JSON of *value*."""
    return digest_bytes(canonical_json(value))


def check_digest(text: str) -> str:
    """Return *text* if it is a tagged digest; raise `IntegrityError` otherwise."""
    if not _DIGEST.fullmatch(text):
        raise IntegrityError(f"{text!r} is not a digest of the form sha256:<64 hex digits>")
    return text


def hex_of(digest: str) -> str:
    """Return the 64 hex digits of a tagged digest."""
    return check_digest(digest)[len("sha256:") :]


def content_id(prefix: str, value: object, *, length: int = 12) -> str:
    """Return `<prefix>-<first hex digits of the digest of value>`: an id that its content decides."""
    return f"{prefix}-{hex_of(digest_value(value))[:length]}"

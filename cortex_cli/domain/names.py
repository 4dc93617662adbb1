"""Names and ids: what may become a path, a ref or a trailer value, and nothing else."""

import re

from cortex_cli.domain.errors import UsageError

__all__ = ["check_name", "check_relative_path", "check_variant_id", "check_version"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?")
_VARIANT = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?-[0-9a-f]{12}")
_VERSION = re.compile(r"v[0-9]{4,8}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def check_name(kind: str, text: str) -> str:
    """Return *text* if it can name an agent, recipe, dataset or model; raise `UsageError` otherwise.

    Lower-case letters, digits, '-' and '_', 1 to 64 characters, so that a name is the same word
    in a path, a git ref, a trailer and a URL on every file system.
    """
    if not _NAME.fullmatch(text):
        raise UsageError(
            f"{kind} name {text!r} is not allowed: use 1 to 64 of a-z, 0-9, '-', '_', "
            "beginning and ending with a letter or digit",
            state="nothing was changed",
        )
    return text


def check_variant_id(text: str) -> str:
    """Return *text* if it has the form of a content-addressed id, `<name>-<12 hex digits>`."""
    if not _VARIANT.fullmatch(text):
        raise UsageError(
            f"id {text!r} is not allowed: an id is a name, '-' and 12 hex digits",
            hint="cortex status",
            state="nothing was changed",
        )
    return text


def check_version(text: str) -> str:
    """Return *text* if it is a dataset version such as `v0001`."""
    if not _VERSION.fullmatch(text):
        raise UsageError(
            f"version {text!r} is not allowed: use the form v0001",
            hint="cortex dataset ls",
            state="nothing was changed",
        )
    return text


def check_relative_path(text: str) -> str:
    """Return *text* if it is a plain relative POSIX path without '..', hidden or absolute parts."""
    parts = text.split("/")
    if not text or not all(_PART.fullmatch(part) for part in parts):
        raise UsageError(
            f"path {text!r} is not allowed: use relative parts of letters, digits, '.', '_', '-'",
            state="nothing was changed",
        )
    return text

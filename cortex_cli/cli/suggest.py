"""What to answer to a name that is not there: the nearest ones that are."""

import difflib
from collections.abc import Iterable

from cortex_cli.domain.errors import UsageError

__all__ = ["guess_clause", "unknown_name"]


def guess_clause(typed: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the names nearest to *typed*; empty if none is near."""
    near = difflib.get_close_matches(typed, list(known), n=2)
    return f", did you mean {' or '.join(repr(name) for name in near)}?" if near else ""


def unknown_name(kind: str, typed: str, known: Iterable[str], *, hint: str) -> UsageError:
    """Return the error for a *kind* of thing called *typed* that does not exist; *hint* lists those that do."""
    message = f"there is no {kind} {typed!r}{guess_clause(typed, known)}"
    return UsageError(message, hint=hint, state="nothing was changed")

"""The one error tree: what failed, what state things are in, what to type next, and the exit code."""

from typing import ClassVar

__all__ = [
    "AuthenticationError",
    "ConflictError",
    "CortexError",
    "Fault",
    "FaultsError",
    "GateRefusedError",
    "IntegrityError",
    "LockedError",
    "MissingExtraError",
    "NoWorkspaceError",
    "NotBuiltError",
    "RemoteError",
    "UsageError",
]


class CortexError(Exception):
    """Report a failure that the user can act on.

    *message* quotes the thing, says what is wrong and what was found.
    *state* says what is left behind, *hint* is the one command to type next.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "E_FAILED"

    def __init__(self, message: str, *, hint: str = "", state: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.state = state


class UsageError(CortexError):
    """Report a wrong argument, setting or file content."""

    exit_code = 2
    code = "E_USAGE"


class GateRefusedError(CortexError):
    """Report that a gate said no; an outcome, raised only where the caller asked for an exit code."""

    exit_code = 3
    code = "E_GATE"


class AuthenticationError(CortexError):
    """Report a missing or refused credential."""

    exit_code = 4
    code = "E_AUTH"


class NoWorkspaceError(CortexError):
    """Report that no workspace was found here or above."""

    exit_code = 10
    code = "E_NO_WORKSPACE"


class LockedError(CortexError):
    """Report a lock that was not free within the allowed wait; the message names the holder."""

    exit_code = 11
    code = "E_LOCKED"


class ConflictError(CortexError):
    """Report a precondition that no longer holds: somebody else was first."""

    exit_code = 12
    code = "E_CONFLICT"


class IntegrityError(CortexError):
    """Report content that does not match its digest, or state that contradicts itself."""

    exit_code = 13
    code = "E_INTEGRITY"


class RemoteError(CortexError):
    """Report a remote that cannot be reached; local work is saved."""

    exit_code = 14
    code = "E_REMOTE"


class MissingExtraError(CortexError):
    """Report that a capability needs an extra which is not installed."""

    code = "E_MISSING_EXTRA"

    def __init__(self, capability: str, extra: str) -> None:
        super().__init__(
            f"{capability} needs the '{extra}' extra, which is not installed",
            hint=f"pip install 'cortex-cli[{extra}]'",
            state="nothing was changed",
        )


class NotBuiltError(CortexError):
    """Report a verb whose capability is still to come."""

    code = "E_NOT_BUILT"

    def __init__(self, verb: str) -> None:
        super().__init__(
            f"'{verb}' is not built yet",
            hint="docs/features.md lists what is built",
            state="nothing was changed",
        )


class Fault:
    """One thing wrong in a file: where it is and what is wrong with it."""

    __slots__ = ("what", "where")

    def __init__(self, where: str, what: str) -> None:
        self.where = where
        self.what = what

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fault) and (self.where, self.what) == (other.where, other.what)

    def __hash__(self) -> int:
        return hash((self.where, self.what))

    def __repr__(self) -> str:
        return f"Fault({self.where!r}, {self.what!r})"


class FaultsError(UsageError):
    """Report all faults of one file together."""

    def __init__(self, source: str, faults: list[Fault], *, hint: str = "") -> None:
        lines = "\n".join(f"  {fault}" for fault in faults)
        count = f"{len(faults)} fault" + ("s" if len(faults) != 1 else "")
        super().__init__(f"'{source}' has {count}:\n{lines}", hint=hint, state="nothing was changed")
        self.source = source
        self.faults = faults

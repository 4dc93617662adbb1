"""The one funnel: whatever ends a run early becomes a message with a next step, and an exit code."""

import contextlib
import errno
import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cortex_cli.cli.session import begin_session, session
from cortex_cli.domain.errors import CortexError

__all__ = ["Terminated", "run_guarded"]

_DISK = {
    errno.ENOSPC: ("the disk is full", "df -h ."),
    errno.EDQUOT: ("the disk quota is used up", "quota"),
    errno.EROFS: ("the file system is read-only", "findmnt -T ."),
    errno.EACCES: ("permission denied", "ls -ld ."),
    errno.EPERM: ("operation not permitted", "ls -ld ."),
}
_INTERRUPTED = 130
_TERMINATED = 143
_PIPE_CLOSED = 141


class Terminated(BaseException):
    """Report SIGTERM: clean-up runs, then the program ends with 143."""


class _SystemFailureError(CortexError):
    """Report what the operating system refused."""

    code = "E_SYSTEM"


class _UnexpectedError(CortexError):
    """Report a failure that nobody foresaw."""

    code = "E_UNEXPECTED"


def run_guarded(body: Callable[[], int], arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run *body* and return its exit code, or the code of whatever it raised after telling the user.

    A fresh session begins before *body*; stdout is flushed inside, so that a closed pipe is seen here.
    """
    begin_session(environ)
    as_json = "--json" in _own_words(arguments)
    if "--debug" in _own_words(arguments):
        session().debug = True
    try:
        code = body()
        sys.stdout.flush()
    except (KeyboardInterrupt, Terminated) as stop:
        return _end(stop)
    except Exception as error:  # noqa: BLE001  the edge of the program: nothing may reach the user as a bare traceback
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return _close_pipe()
        return _report(_known_error(error) or _unexpected(error, arguments), as_json=as_json)
    return code


def _own_words(arguments: Sequence[str]) -> Sequence[str]:
    # Words after '--' are data of the user, not options.
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _report(error: CortexError, *, as_json: bool) -> int:
    _settle_stdout()
    sys.stderr.write((_error_json(error) if as_json else _error_text(error)) + "\n")
    return error.exit_code


def _error_text(error: CortexError) -> str:
    first, _, rest = error.message.partition("\n")
    colon = ":" if first.endswith(":") else ""
    lines = [f"error: {first.removesuffix(':')} ({error.code}){colon}", *rest.splitlines()]
    lines += [f"  {line}" for line in error.state.splitlines()]
    if error.hint:
        lines.append(f"  next: {error.hint}")
    return "\n".join(lines)


def _error_json(error: CortexError) -> str:
    import json

    fields = {"code": error.code, "message": error.message, "state": error.state, "hint": error.hint}
    report = {"schema": "cortex.error/1", "ok": False, **fields, "exit": error.exit_code}
    return json.dumps(report, ensure_ascii=False, separators=(",", ":"))


def _known_error(error: Exception) -> CortexError | None:
    if isinstance(error, CortexError):
        return error
    if not isinstance(error, OSError) or error.errno not in _DISK:
        return None
    what, hint = _DISK[error.errno]
    place = f"'{error.filename}': " if error.filename else ""
    return _SystemFailureError(f"{place}{what}", hint=hint, state="what was acknowledged before is kept")


def _unexpected(error: BaseException, arguments: Sequence[str]) -> CortexError:
    import traceback

    text = "".join(traceback.format_exception(error))
    if session().debug:
        sys.stderr.write(text)
        return _UnexpectedError(f"{type(error).__name__}: {error}")
    place = _keep_traceback(text, arguments)
    hint = f"report it with {place}" if place else "run it again with --debug"
    return _UnexpectedError(f"unexpected {type(error).__name__}: {error}", hint=hint)


def _keep_traceback(text: str, arguments: Sequence[str]) -> Path | None:
    """Write the traceback into the state folder of the user; None if that cannot be written either."""
    environ = session().environ
    base = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME", "~"), ".local", "state")  # noqa: PTH118  a Path of an unset HOME would be relative
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = Path(base).expanduser() / "cortex" / f"traceback-{moment}-{os.getpid()}.txt"
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Options of the user may hold private text, so only the verb is named.
        verb = next((word for word in arguments if not word.startswith("-")), "")
        path.write_text(f"cortex {verb}\n{text}", encoding="utf-8")
        return path
    return None


def _end(stop: BaseException) -> int:
    word, code = ("terminated", _TERMINATED) if isinstance(stop, Terminated) else ("interrupted", _INTERRUPTED)
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{word}\n")
    return code


def _reader_is_gone() -> bool:
    # A pipe to a child breaks with the same error; only a dead reader of stdout is not worth a word.
    with contextlib.suppress(OSError, ValueError):
        watch = select.poll()
        watch.register(sys.stdout.fileno(), 0)
        return any(state & select.POLLERR for _, state in watch.poll(0))
    return False


def _close_pipe() -> int:
    _discard_stdout()
    return _PIPE_CLOSED


def _settle_stdout() -> None:
    # What cannot be written now cannot be written at exit either, where it would be a second error.
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _discard_stdout()


def _discard_stdout() -> None:
    # Point stdout at nothing, or the interpreter complains when it flushes at exit.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

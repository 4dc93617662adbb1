"""A person at a terminal: one key, one line, or a text in their own editor."""

import os
import select
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from cortex_cli.domain.errors import CortexError

__all__ = ["Keyboard", "edit_text", "has_terminal", "pick_editor", "read_lines"]

_END = "\x04"


def has_terminal() -> bool:
    """Tell whether a person can be asked: keys come from a terminal and what is shown goes to one."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


class Keyboard:
    """The keys of the terminal, one at a time, without echo; in a `with` block, after which all is as it was before.

    Ctrl-C interrupts as ever. Keys that were typed ahead are kept.
    """

    def __init__(self) -> None:
        self._terminal = sys.stdin.fileno()
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        """Begin to listen to single keys."""
        import termios
        import tty

        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal, termios.TCSADRAIN)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back as it was."""
        import termios

        termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def read_key(self) -> str:
        """Wait for a key and return it in lower case; the end of the input is Ctrl-D, an arrow or the like is ''."""
        data = os.read(self._terminal, 1)
        if data == b"\x1b" or data >= b"\x80":
            self._drop_rest()
            return ""
        return data.decode("ascii").lower() or _END

    @contextmanager
    def lines(self) -> Iterator[None]:
        """Give the terminal back for the block: to type lines, or to an editor."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def _drop_rest(self) -> None:
        # The other bytes of such a key came with it, and no more than seven of them.
        while select.select([self._terminal], [], [], 0)[0]:
            os.read(self._terminal, 8)


def read_lines(most: int = 0) -> str:
    """Return what is typed, up to a line with a single full stop, the end of the input or *most* lines."""
    lines: list[str] = []
    terminal = sys.stdin.fileno()
    while not most or len(lines) < most:
        line = _read_line(terminal)
        if line in ("", ".\n"):
            break
        lines.append(line.rstrip("\n"))
    return "\n".join(lines)


def pick_editor(environ: Mapping[str, str]) -> list[str]:
    """Return the command of the user's editor, from VISUAL or EDITOR; empty when neither is set."""
    return shlex.split(environ.get("VISUAL") or environ.get("EDITOR") or "")


def edit_text(editor: list[str], path: Path, text: str) -> str:
    """Let the user change *text* in *editor* and return what was saved; *path* is used for it and removed.

    Only the user can read the file. Raises `CortexError` when the editor fails.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        try:
            done = subprocess.run([*editor, str(path)], check=False)  # noqa: S603 - the user's own editor
        except OSError as error:
            raise _no_editor(editor, str(error.strerror or error)) from error
        if done.returncode:
            raise _no_editor(editor, f"it ended with {done.returncode}")
        # An editor may take the file away: then nothing was saved.
        return path.read_text(encoding="utf-8", errors="replace").rstrip("\n") if path.exists() else ""
    finally:
        path.unlink(missing_ok=True)


def _no_editor(editor: list[str], what: str) -> CortexError:
    return CortexError(
        f"the editor '{shlex.join(editor)}' did not run: {what}",
        hint="EDITOR=vi cortex review",
        state="what was judged before is kept",
    )


def _read_line(terminal: int) -> str:
    # Past Python's buffer, so that a key after the line is not swallowed; a terminal gives a line at a time.
    found = b""
    while not found.endswith(b"\n"):
        data = os.read(terminal, 4096)
        if not data:
            break
        found += data
    return found.decode("utf-8", "replace")

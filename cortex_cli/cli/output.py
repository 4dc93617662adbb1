"""What a verb prints: one JSON object or a page for people on stdout, talk on stderr."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, TextIO

from cortex_cli.cli.context import settings
from cortex_cli.cli.session import session
from cortex_cli.domain.errors import CortexError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.store.settings import Settings

__all__ = [
    "Human",
    "console",
    "emit",
    "print_lines",
    "print_table",
    "render_json",
    "say",
    "show_text",
    "wants_colour",
    "wants_plain",
]

Human = Callable[["Console"], None]

# Wide enough that nothing is wrapped when the output is read by a program or kept in a file.
_UNLIMITED = 10_000


def emit(verb: str, data: object, human: Human, *, as_json: bool, ok: bool = True) -> None:
    """Print the result of *verb*: its JSON envelope, or what *human* writes on a console.

    *data* is plain data, a msgspec struct or a dataclass. *ok* is false where the verb worked and
    what it found is bad, such as faults; the verb then ends with `leave`.
    """
    if as_json:
        sys.stdout.write(render_json(f"cortex.{verb}/1", data, ok=ok) + "\n")
        return
    human(console())


def render_json(schema: str, data: object, *, ok: bool = True) -> str:
    """Render the envelope `{"schema", "ok", "data"}` on one line; the keys inside *data* are sorted."""
    import msgspec

    encoder = msgspec.json.Encoder(order="sorted", enc_hook=_plain_value)
    body = encoder.encode(data).decode()
    return f'{{"schema":"{schema}","ok":{"true" if ok else "false"},"data":{body}}}'


def say(text: str) -> None:
    """Write a line of talk on stderr, unless the user asked for quiet."""
    if not session().quiet:
        sys.stderr.write(text + "\n")


def console() -> "Console":
    """Return the console for stdout: no markup, no colours where nobody sees them, no wrapping in a pipe."""
    from rich.console import Console

    on_terminal = sys.stdout.isatty() and not wants_plain()
    colour = wants_colour(sys.stdout)
    return Console(
        file=sys.stdout,
        width=None if on_terminal else _UNLIMITED,
        no_color=not colour,
        force_terminal=colour,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
    )


def print_table(target: "Console", headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print *rows* under *headers* in aligned columns; with `--plain` tab-separated, for cut and awk."""
    from rich.cells import cell_len

    lines = [list(headers), *([show_text(cell) for cell in row] for row in rows)]
    if wants_plain():
        for line in lines:
            target.file.write("\t".join(line) + "\n")  # print would expand the tabs
        return
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        target.print("  ".join(padded).rstrip(), style="bold" if number == 0 else None)


def print_lines(target: "Console", lines: Iterable[str]) -> None:
    """Print *lines* as they are, without the cost of styling; each must be safe to show."""
    for line in lines:
        target.file.write(line + "\n")


def show_text(value: object, width: int = 0) -> str:
    """Return *value* on one line with control characters made visible, cut to *width* columns if given.

    Text of users and models goes through here: an escape sequence in it must not reach the terminal.
    """
    text = str(value)
    if not text.isprintable():
        text = "".join(char if char.isprintable() else _visible(char) for char in text)
    return text if not width or len(text) <= width else text[: width - 1] + "…"


def wants_plain() -> bool:
    """Return whether the user asked for plain output, by flag, variable or file."""
    return session().plain or _terminal_settings().plain


def wants_colour(stream: TextIO) -> bool:
    """Return whether to colour *stream*: NO_COLOR and plain win, then the setting, then what the stream is."""
    environ = session().environ
    if wants_plain() or environ.get("NO_COLOR"):
        return False
    choice = _terminal_settings().color
    return choice == "always" or (choice == "auto" and stream.isatty() and environ.get("TERM") != "dumb")


def _terminal_settings() -> "Settings":
    # A broken settings file is reported by the verbs that read it; here it must not hide what else there is to say.
    from cortex_cli.store.settings import Settings

    with contextlib.suppress(CortexError):
        return settings()
    return Settings()


def _visible(char: str) -> str:
    return " " if char in "\n\t" else f"\\x{ord(char):02x}" if ord(char) < 256 else "\N{REPLACEMENT CHARACTER}"


def _plain_value(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")

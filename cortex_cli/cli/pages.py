"""What there is to say about a command, as plain values: help, man pages and completions read only this."""

from typing import NamedTuple

__all__ = ["Page", "Parameter", "Row"]


class Parameter(NamedTuple):
    """One argument (no *names*) or option of a command.

    *metavar* is empty for a flag. *common* marks the options that every verb takes.
    """

    names: tuple[str, ...]
    metavar: str
    text: str
    choices: tuple[str, ...] = ()
    default: str = ""
    required: bool = False
    repeats: bool = False
    common: bool = False

    @property
    def usage(self) -> str:
        """Return the form in a usage line: `NAME`, `[NAME]`, `NAME...`."""
        word = self.metavar + ("..." if self.repeats else "")
        return word if self.required else f"[{word}]"

    @property
    def label(self) -> str:
        """Return the form in a list: `-n, --limit N` or `NAME`."""
        return " ".join(filter(None, [", ".join(self.names), self.metavar]))


class Row(NamedTuple):
    """One verb in a list of verbs."""

    name: str
    summary: str
    section: str = "Verbs"


class Page(NamedTuple):
    """One command: its full name, what it does, its parameters, and the verbs below it."""

    name: str
    summary: str
    text: str
    arguments: tuple[Parameter, ...] = ()
    options: tuple[Parameter, ...] = ()
    verbs: tuple[Row, ...] = ()

    @property
    def usage(self) -> str:
        """Return the usage line without the word 'Usage'."""
        parts = [self.name]
        if self.options:
            parts.append("[OPTIONS]")
        parts += ["VERB ..."] if self.verbs else [argument.usage for argument in self.arguments]
        return " ".join(parts)

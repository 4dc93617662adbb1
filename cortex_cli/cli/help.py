"""Help pages as plain text of at most 80 columns; section titles are bold on a terminal."""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from cortex_cli.cli.output import wants_colour
from cortex_cli.cli.pages import Page, Parameter

__all__ = ["Style", "render_help", "stdout_style"]

# Where the right column begins at most; a longer label gets a line of its own.
_LABEL_LIMIT = 30


class Style(NamedTuple):
    """How to write a page: its width in columns, and the codes around a title."""

    width: int = 80
    bold: str = ""
    reset: str = ""


def stdout_style() -> Style:
    """Return the style that suits stdout: bold titles only on a terminal that wants colours."""
    width = min(80, shutil.get_terminal_size((80, 24)).columns)
    if wants_colour(sys.stdout):
        return Style(width, "\033[1m", "\033[0m")
    return Style(width)


def render_help(page: Page, style: Style) -> str:
    """Render *page*: usage, text, verbs by section, arguments, own and common options."""
    own = [option for option in page.options if not option.common]
    common = [option for option in page.options if option.common]
    blocks = [_usage(page, style), _text(page.text or page.summary, style)]
    for section in dict.fromkeys(row.section for row in page.verbs):
        rows = [(row.name, row.summary) for row in page.verbs if row.section == section]
        blocks.append(_block(section, rows, style, column=_verb_column(page)))
    blocks.append(_block("Arguments", [_row(parameter) for parameter in page.arguments], style))
    blocks.append(_block("Options", [_row(parameter) for parameter in own], style))
    blocks.append(_block("Common options", [*map(_row, common), ("--help", "show this page")], style))
    return "\n\n".join(block for block in blocks if block)


def _usage(page: Page, style: Style) -> str:
    indent = " " * (len("Usage: ") + len(page.name) + 1)
    return textwrap.fill(f"Usage: {page.usage}", style.width, subsequent_indent=indent, break_on_hyphens=False)


def _text(text: str, style: Style) -> str:
    blocks = text.split("\n\n")
    return "\n\n".join(_paragraph(block, style) for block in blocks)


def _paragraph(block: str, style: Style) -> str:
    # An indented block is an example: its lines stay as they are.
    if block.startswith("  "):
        return block
    return textwrap.fill(" ".join(block.split()), style.width, break_on_hyphens=False)


def _verb_column(page: Page) -> int:
    return max(len(row.name) for row in page.verbs) + 4


def _row(parameter: Parameter) -> tuple[str, str]:
    notes = [f"default: {parameter.default}"] if parameter.default else []
    if parameter.required and parameter.names:
        notes.append("required")
    if parameter.repeats and parameter.names:
        notes.append("may be repeated")
    if parameter.choices and "|" not in parameter.metavar:
        notes.append("one of " + ", ".join(parameter.choices))
    return parameter.label, f"{parameter.text} [{'; '.join(notes)}]" if notes else parameter.text


def _block(title: str, rows: Sequence[tuple[str, str]], style: Style, *, column: int = 0) -> str:
    if not rows:
        return ""
    column = column or min(_LABEL_LIMIT, max(len(label) for label, _ in rows) + 4)
    lines = [f"{style.bold}{title}:{style.reset}"]
    for label, text in rows:
        lines += _entry(label, text, column, style.width)
    return "\n".join(lines)


def _entry(label: str, text: str, column: int, width: int) -> list[str]:
    start = f"  {label}".ljust(column)
    wrapped = textwrap.wrap(text, max(20, width - column), break_on_hyphens=False) or [""]
    rest = [" " * column + line for line in wrapped[1:]]
    if len(start) > column:
        return [start, " " * column + wrapped[0], *rest]
    return [(start + wrapped[0]).rstrip(), *rest]

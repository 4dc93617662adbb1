"""`cortex why`: what a thing was made of, and what came of it."""

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import journal, workspace
from cortex_cli.cli.framework import Argument
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_lines, show_text, wants_plain

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.pipeline.lineage import Lineage, Node

__all__ = ["why"]

_WIDTH = 80


def why(
    name: Annotated[str, Argument(metavar="ID", help="an interaction, variant, adapter, or dataset NAME/VERSION")],
    as_json: JsonOption = False,
) -> None:
    """Trace ID back to what it was made of, and on to what came of it, with the commits.

    An interaction leads to its variant, the prompt, model and adapter of that, the dataset version that
    the adapter learned from, and the interactions and feedback behind it. With --plain: one line per
    thing, tab-separated, after its depth.
    """
    from cortex_cli.pipeline.lineage import open_trail, trace
    from cortex_cli.pipeline.place import open_place

    with journal() as reader:
        found = trace(open_trail(open_place(workspace()), reader), name)
    emit("why", found, lambda console: _show(console, found), as_json=as_json)


def _show(console: "Console", found: "Lineage") -> None:
    if wants_plain():
        rows = [row for node in (found.made_of, *found.went_into) for row in _walk(node, 0)]
        print_lines(console, (_plain(depth, node) for depth, node in rows))
        return
    console.print("made of", style="bold")
    _show_tree(console, found.made_of)
    console.print("went into", style="bold")
    for node in found.went_into:
        _show_tree(console, node)
    if not found.went_into:
        console.print("  nothing yet")


def _plain(depth: int, node: "Node") -> str:
    return "\t".join([str(depth), node.kind, show_text(node.id), node.commit, show_text(_about(node))])


def _show_tree(console: "Console", node: "Node") -> None:
    for depth, each in _walk(node, 1):
        indent = "  " * depth
        words = show_text(" ".join(filter(None, [each.kind, each.id])))
        console.print(f"{indent}{words}")
        # What is known of a thing stands below it, deeper than its name and as deep as what it was made of.
        about = textwrap.wrap(show_text(_about(each)), max(30, _WIDTH - len(indent) - 4), break_on_hyphens=False)
        for line in about:
            console.print(f"{indent}    {line}", style="dim")


def _walk(node: "Node", depth: int) -> "Iterator[tuple[int, Node]]":
    yield depth, node
    for child in node.children:
        yield from _walk(child, depth + 1)


def _about(node: "Node") -> str:
    facts = [_fact(name, value) for name, value in node.facts.items()]
    when = [f"commit {node.commit[:10]}"] if node.commit else []
    when += [node.time] if node.time else []
    when += [f"by {node.actor}"] if node.actor else []
    missing = [f"MISSING: {node.missing}"] if node.missing else []
    return ", ".join([*missing, *facts, " ".join(when)]).removesuffix(", ")


def _fact(name: str, value: object) -> str:
    word = name.replace("_", " ")
    if value is True:
        return word
    return f"{word} {value:,}" if isinstance(value, int) else f"{word} {_shorten(str(value))}"


def _shorten(text: str) -> str:
    digits = text.removeprefix("sha256:")
    return digits[:12] if len(digits) in {40, 64} and digits.isalnum() else text

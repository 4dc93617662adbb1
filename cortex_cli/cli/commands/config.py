"""Show settings and where each of them comes from."""

from typing import TYPE_CHECKING

from cortex_cli.cli.context import environ, find_root
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_table

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["VERBS", "show"]


def show(as_json: JsonOption = False) -> None:
    """Show every setting with its value and source.

    A flag wins over a CORTEX_* variable, that over cortex.toml, that over the file of the user, that
    over the default. Works outside of a workspace too.
    """
    from cortex_cli.store.settings import explain_settings

    rows = explain_settings(find_root(), env=environ())
    data = {row.name: {"value": row.value, "source": row.source} for row in rows}

    def human(console: "Console") -> None:
        print_table(console, ("SETTING", "VALUE", "SOURCE"), [(row.name, _text(row.value), row.source) for row in rows])

    emit("config.show", {"settings": data}, human, as_json=as_json)


def _text(value: object) -> str:
    # As it would stand in cortex.toml, so that a row can be copied there.
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_text(item)}" for name, item in value.items()) + " }" if value else "{}"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


VERBS = {"show": show}

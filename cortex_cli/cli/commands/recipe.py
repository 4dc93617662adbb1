"""List, show, check and copy recipes."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cortex_cli.cli.context import find_recipe, workspace
from cortex_cli.cli.framework import Argument, leave
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_table, say
from cortex_cli.domain.errors import FaultsError, UsageError
from cortex_cli.domain.names import check_name

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["VERBS", "copy", "ls", "show", "validate"]

Name = Annotated[str, Argument(metavar="RECIPE", help="name of a recipe")]
_USAGE = 2


def ls(as_json: JsonOption = False) -> None:
    """List the recipes of this workspace."""
    rows = [_row(path) for path in _paths()]

    def human(console: "Console") -> None:
        cells = [(row["name"], " ".join(row["stages"]), row["summary"]) for row in rows]
        print_table(console, ("RECIPE", "STAGES", "SUMMARY"), cells)

    emit("recipe.ls", {"recipes": rows}, human, as_json=as_json)


def show(recipe: Name, as_json: JsonOption = False) -> None:
    """Show a recipe as it stands in its file."""
    path = find_recipe(recipe)
    text = path.read_text(encoding="utf-8")

    def human(console: "Console") -> None:
        console.print(text.rstrip("\n"))

    emit("recipe.show", {"name": recipe, "path": _relative(path), "text": text}, human, as_json=as_json)


def validate(
    recipes: Annotated[list[str] | None, Argument(metavar="RECIPE", help="names of recipes; all by default")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check recipes and report every fault of each; ends with 2 if there is one."""
    checked = [{"name": path.stem, "faults": _faults(path)} for path in map(find_recipe, recipes or map(str, _paths()))]
    bad = [row for row in checked if row["faults"]]

    def human(console: "Console") -> None:
        for row in checked:
            console.print(f"{row['name']}: {'sound' if not row['faults'] else ''}".rstrip())
            for fault in row["faults"]:
                console.print(f"  {fault}")

    emit("recipe.validate", {"recipes": checked}, human, as_json=as_json, ok=not bad)
    if bad:
        leave(_USAGE)


def copy(
    recipe: Name,
    name: Annotated[str, Argument(metavar="NAME", help="name of the copy")],
    as_json: JsonOption = False,
) -> None:
    """Copy a recipe of this workspace, or one that ships with Cortex, under a new name."""
    source = _original(recipe)
    target = workspace().root / "recipes" / f"{check_name('recipe', name)}.toml"
    _write_new(target, source.read_bytes())

    def human(_console: "Console") -> None:
        say(f"{_relative(target)} is a copy of recipe '{recipe}'; edit it, then: cortex recipe validate {name}")

    emit("recipe.cp", {"name": name, "path": _relative(target), "source": recipe}, human, as_json=as_json)


def _write_new(target: Path, data: bytes) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        with target.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise UsageError(
            f"'{_relative(target)}' exists already",
            hint=f"cortex recipe show {target.stem}",
            state="nothing was changed",
        ) from None


def _faults(path: Path) -> list[str]:
    from cortex_cli.pipeline.recipes import load_recipe

    try:
        load_recipe(path)
    except FaultsError as error:
        return [str(fault) for fault in error.faults]
    except UsageError as error:
        return [error.message]
    return []


def _row(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return {"name": path.stem, "stages": [], "summary": f"not TOML: {error}"}
    stages = [name for name, value in data.items() if isinstance(value, dict)]
    return {"name": path.stem, "stages": stages, "summary": str(data.get("summary", ""))}


def _paths() -> list[Path]:
    return sorted((workspace().root / "recipes").glob("*.toml"))


def _original(recipe: str) -> Path:
    """Return the recipe of this workspace, or else the one of that name that ships with Cortex."""
    from cortex_cli.store.starter import starter_root

    shipped = starter_root() / "recipes" / f"{recipe}.toml"
    own = workspace().root / "recipes" / shipped.name
    return shipped if shipped.is_file() and not own.is_file() else find_recipe(recipe)


def _relative(path: Path) -> str:
    root = workspace().root
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


VERBS = {"ls": ls, "show": show, "validate": validate, "cp": copy}

"""What a verb works on: the workspace of this run and the parts in it, opened when they are asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cortex_cli.cli.session import session
from cortex_cli.cli.suggest import unknown_name
from cortex_cli.domain.errors import NoWorkspaceError
from cortex_cli.domain.names import check_name

if TYPE_CHECKING:
    from cortex_cli.registry.repository import Registry
    from cortex_cli.store.journal import Journal
    from cortex_cli.store.objects import ObjectStore
    from cortex_cli.store.settings import Settings
    from cortex_cli.store.workspace import Workspace

__all__ = [
    "environ",
    "find_recipe",
    "find_root",
    "journal",
    "objects",
    "registry",
    "settings",
    "start_folder",
    "workspace",
]


def environ() -> Mapping[str, str]:
    """Return the environment of this run."""
    return session().environ


def start_folder() -> Path:
    """Return where the search for a workspace begins: `--workspace`, CORTEX_WORKSPACE or the current folder."""
    return Path(session().workspace or environ().get("CORTEX_WORKSPACE", "") or ".").expanduser().resolve()


def workspace() -> "Workspace":
    """Find the workspace of this run; raise `NoWorkspaceError` if there is none."""
    from cortex_cli.store.workspace import find_workspace

    return find_workspace(start_folder())


def find_root() -> Path | None:
    """Return the folder of the workspace of this run; None outside of any."""
    try:
        return workspace().root
    except NoWorkspaceError:
        return None


def find_recipe(recipe: str) -> Path:
    """Return the file of *recipe*: the name of one in this workspace, or a path that ends with `.toml`."""
    folder = workspace().root / "recipes"
    path = Path(recipe) if recipe.endswith(".toml") else folder / f"{check_name('recipe', recipe)}.toml"
    if not path.is_file():
        known = [path.stem for path in folder.glob("*.toml")]
        raise unknown_name("recipe", recipe, known, hint="cortex recipe ls")
    return path


def settings() -> "Settings":
    """Return the settings of this run; outside of a workspace those of the user."""
    from cortex_cli.store.settings import load_settings

    return load_settings(find_root(), env=environ())


def registry(*, wait: float | None = None) -> "Registry":
    """Open the registry of this workspace; writes wait up to *wait* seconds for its lock, or as the settings say."""
    from cortex_cli.registry.repository import Registry

    current = settings()
    return Registry(workspace(), actor=current.actor, wait=current.lock_wait if wait is None else wait)


def journal() -> "Journal":
    """Open the journal of this workspace; use it in a `with` block."""
    from cortex_cli.store.journal import Journal

    return Journal(workspace().journal_path)


def objects() -> "ObjectStore":
    """Open the object store of this workspace."""
    from cortex_cli.store.objects import ObjectStore

    return ObjectStore(workspace().objects_root)

"""The starter content that ships with the package: recipes, prompts, datasets and registry manifests."""

from pathlib import Path

from cortex_cli.domain.errors import CortexError

__all__ = ["starter_root"]

_FOLDERS = ("recipes", "prompts", "datasets", "registry")


def starter_root() -> Path:
    """Return the folder that holds the starter folders: package data in a wheel, the repository in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for root in (package / "starter", package.parent):
        if all((root / folder).is_dir() for folder in _FOLDERS):
            return root
    raise CortexError(
        f"the starter content is missing: no {', '.join(_FOLDERS)} beside '{package}'",
        hint="pip install --force-reinstall cortex-cli",
        state="nothing was changed",
    )

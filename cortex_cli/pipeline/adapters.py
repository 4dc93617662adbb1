"""Adapters as files of one's own: in peft's format, or merged into their base."""

import shutil
from pathlib import Path

from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.variants import find_base, link_adapter

__all__ = ["export_adapter", "export_whole"]


def export_adapter(place: Place, name: str, target: Path) -> Path:
    """Copy the files of the adapter *name*, as peft reads them, to the new folder *target*, and return it.

    Nothing is left of *target* if it fails. Raises `UsageError` if the folder is there already.
    """
    folder = _open(place, name, target)
    try:
        shutil.copytree(folder, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    return target


def export_whole(place: Place, name: str, target: Path) -> Path:
    """Write the base of the adapter *name* with it merged in to the new folder *target*, and return it.

    Nothing is left of *target* if it fails. Raises `UsageError` if the folder is there already.
    """
    from cortex_cli.models.merging import export_merged

    folder = _open(place, name, target)
    snapshot = place.registry.snapshot()
    return export_merged(find_base(place, snapshot, snapshot.adapter(name).base), folder, target)


def _open(place: Place, name: str, target: Path) -> Path:
    adapter = place.registry.snapshot().adapter(name)
    if adapter.state == "revoked":
        raise ConflictError(
            f"adapter '{name}' is revoked: what it learned from was forgotten",
            hint=f"cortex why {name}",
            state="nothing was written",
        )
    if target.exists():
        raise UsageError(f"'{target}' is there already", hint=f"ls '{target}'", state="nothing was written")
    return link_adapter(place, adapter)

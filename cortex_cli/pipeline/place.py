"""Where a stage works: the workspace and its parts, opened once and handed down."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cortex_cli.registry.repository import Registry
from cortex_cli.store.clock import rfc3339, utc_now
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.starter import starter_root
from cortex_cli.store.workspace import Workspace

__all__ = ["Place", "open_place"]


@dataclass(frozen=True, slots=True)
class Place:
    """A workspace with its registry, objects and starter content, and the clock of this run."""

    workspace: Workspace
    registry: Registry
    objects: ObjectStore
    starter: Path
    now: Callable[[], datetime]

    def time(self) -> str:
        """Return the present time as a label, RFC 3339 UTC."""
        return rfc3339(self.now())


def open_place(
    workspace: Workspace, *, actor: str = "human", wait: float = 30.0, now: Callable[[], datetime] = utc_now
) -> Place:
    """Open the parts of *workspace*; nothing is read or written yet."""
    registry = Registry(workspace, actor=actor, wait=wait)
    return Place(workspace, registry, ObjectStore(workspace.objects_root), starter_root(), now)

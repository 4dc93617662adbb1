"""Where a workspace is, what lies where in it, and the key under which ids leave it."""

import hashlib
import hmac
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cortex_cli.domain.errors import IntegrityError, NoWorkspaceError
from cortex_cli.store.atomic import fsync_folder, report_disk, temporary_name, write_atomic

__all__ = ["Workspace", "find_workspace", "keyed_id", "open_key"]

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with a `cortex.toml`: the git work tree, and `.cortex` for what git never sees."""

    root: Path

    @property
    def config_path(self) -> Path:
        """Return the settings file, whose presence makes the folder a workspace."""
        return self.root / "cortex.toml"

    @property
    def private(self) -> Path:
        """Return the folder that git ignores."""
        return self.root / ".cortex"

    @property
    def journal_path(self) -> Path:
        """Return the SQLite file of interactions and feedback."""
        return self.private / "journal.db"

    @property
    def objects_root(self) -> Path:
        """Return the folder of content-addressed objects."""
        return self.private / "objects"

    @property
    def runs_root(self) -> Path:
        """Return the folder in which runs work and leave their checkpoints."""
        return self.private / "runs"

    @property
    def locks_root(self) -> Path:
        """Return the folder of lock files."""
        return self.private / "locks"

    @property
    def key_path(self) -> Path:
        """Return the file with the workspace key; destroying it makes keyed ids meaningless."""
        return self.private / "key"


def find_workspace(start: Path) -> Workspace:
    """Return the workspace at *start* or the nearest above it; raise `NoWorkspaceError` when there is none."""
    origin = start.absolute()
    for folder in (origin, *origin.parents):
        if (folder / "cortex.toml").is_file():
            return Workspace(folder)
    raise NoWorkspaceError(
        f"no workspace at '{origin}' or above: no 'cortex.toml' was found",
        hint="cortex init",
        state="nothing was changed",
    )


def open_key(workspace: Workspace) -> bytes:
    """Return the 32 bytes of the workspace key, made on first use with mode 0600.

    Two first users at once get the same key. Raises `IntegrityError` when the file is not a key.
    """
    path = workspace.key_path
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise IntegrityError(
            f"'{path}' is not a workspace key: {len(key)} bytes, expected {_KEY_BYTES}",
            hint="cortex fsck",
            state="nothing was changed; restore the file from a backup, as another key cannot match old ids",
        )
    return key


def keyed_id(key: bytes, text: str) -> str:
    """Return `k-` and 24 hex digits: the name under which *text* may appear in git."""
    return "k-" + hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:24]


def _make_key(path: Path) -> None:
    with report_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(temporary_name(path.name))
        write_atomic(made, os.urandom(_KEY_BYTES), mode=0o600)
        try:
            with suppress(FileExistsError):  # somebody else was first: theirs is the key
                os.link(made, path)
        finally:
            made.unlink()
        fsync_folder(path.parent)

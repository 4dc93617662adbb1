"""Facts about this machine and workspace that decide whether Cortex works well here, each with advice."""

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from cortex_cli.domain.errors import CortexError
from cortex_cli.registry.copies import pending_path
from cortex_cli.registry.fsck import find_locks
from cortex_cli.registry.git import MINIMUM, Git, find_git, parse_version, read_version
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.starter import starter_root
from cortex_cli.store.workspace import Workspace

__all__ = ["Row", "check_machine", "check_workspace"]

State = Literal["ok", "warn", "fail"]

# The extra, and the package whose presence shows that it is installed.
_EXTRAS = {"train": ("torch", "transformers", "tokenizers", "safetensors", "peft")}
# SQLite before 3.51.3 can lose rows when writers reset the WAL at once; Cortex's writers take a lock.
_SQLITE_SOUND = (3, 51, 3)


class Row(NamedTuple):
    """One fact: what was checked, how it is, what was found, what to do about it."""

    check: str
    state: State
    found: str
    advice: str = ""


def check_machine(environ: Mapping[str, str]) -> list[Row]:
    """Return the facts that hold in every workspace: git, Python, SQLite, the starter model, extras."""
    return [_check_git(environ), _check_python(), _check_sqlite(), _check_starter(), *_check_extras()]


def check_workspace(workspace: Workspace) -> list[Row]:
    """Return the facts about *workspace*: its repository, its locks, its key."""
    try:
        git = Git(workspace.root)
        rows = [*_check_repository(git), _check_locking(git.common)]
    except CortexError as error:
        rows = [Row("repository", "fail", error.message, error.hint)]
    return [*rows, _check_key(workspace.key_path)]


def _check_git(environ: Mapping[str, str]) -> Row:
    wanted = ".".join(str(part) for part in MINIMUM[:2])
    try:
        binary = find_git(environ)
    except CortexError as error:
        return Row("git", "fail", error.message, error.hint)
    text = read_version(binary)
    if parse_version(text) < MINIMUM:
        return Row("git", "fail", f"'{text}' at {binary}", f"install git {wanted} or newer")
    return Row("git", "ok", f"{text.removeprefix('git version ')} at {binary}")


def _check_python() -> Row:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return Row("python", "ok" if sys.version_info >= (3, 11) else "fail", found)


def _check_sqlite() -> Row:
    import sqlite3

    found = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= _SQLITE_SOUND:
        return Row("sqlite", "ok", found)
    return Row(
        "sqlite", "ok", f"{found}, with the WAL-reset bug", "write to the journal through cortex only: it takes a lock"
    )


def _check_starter() -> Row:
    try:
        root = starter_root()
    except CortexError as error:
        return Row("starter", "fail", error.message, error.hint)
    manifests = sorted((root / "registry" / "models").glob("*.toml"))
    missing = [file.stem for file in manifests if not list(file.with_suffix("").glob("*.safetensors"))]
    if not manifests or missing:
        found = f"no weights for {', '.join(missing)}" if missing else f"no model in {root}"
        return Row("starter model", "warn", found, "cortex train recipes/base.toml")
    return Row("starter model", "ok", ", ".join(file.stem for file in manifests))


def _check_extras() -> Iterator[Row]:
    for extra, packages in _EXTRAS.items():
        missing = [package for package in packages if find_spec(package) is None]
        if missing:
            yield Row(f"extra {extra}", "warn", f"without {', '.join(missing)}", f"pip install 'cortex-cli[{extra}]'")
        else:
            yield Row(f"extra {extra}", "ok", "installed")


def _check_repository(git: Git) -> Iterator[Row]:
    branch = git.branch()
    if branch:
        yield Row("branch", "ok", branch.removeprefix("refs/heads/"))
    else:
        yield Row("branch", "fail", "HEAD is detached", "git switch main")
    for path in find_locks(git):
        yield Row("lock file", "warn", str(path), "cortex fsck --repair")
    if pending_path(git).exists():
        yield Row("worktree", "warn", "copies lag behind the last commit", "cortex fsck --repair")
    yield _check_manifests(git)


def _check_manifests(git: Git) -> Row:
    try:
        agents = Snapshot(git, git.head()).agents()
    except CortexError as error:
        return Row("registry", "fail", error.message.splitlines()[0], "cortex fsck")
    return Row("registry", "ok", f"{len(agents)} agents")


def _check_locking(folder: Path) -> Row:
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    except OSError as error:
        advice = "move the workspace to a local disk: here a killed process can leave its lock behind"
        return Row("locking", "warn", f"no flock in {folder}: {error.strerror}", advice)
    finally:
        os.close(descriptor)
    return Row("locking", "ok", "flock, freed by the kernel when its holder dies")


def _check_key(path: Path) -> Row:
    if not path.exists():
        return Row("key", "ok", "not made yet")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Row("key", "warn", f"mode {mode:04o}: others can read it", f"chmod 600 '{path}'")
    return Row("key", "ok", f"mode {mode:04o}")

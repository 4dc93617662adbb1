"""A new workspace: a git repository with the starter content, made by one commit or not at all."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import tomli_w

from cortex_cli.domain.errors import ConflictError, CortexError, UsageError
from cortex_cli.domain.manifests import Agent, Variant, variant_id
from cortex_cli.domain.names import check_name
from cortex_cli.registry.actions import render_manifest
from cortex_cli.registry.copies import finish_pending, read_pending
from cortex_cli.registry.git import Git, find_git, require_version
from cortex_cli.registry.repository import Change, Registry
from cortex_cli.registry.snapshot import AGENTS, VARIANTS, Snapshot
from cortex_cli.registry.trailers import Trailers, check_value
from cortex_cli.store.atomic import report_disk, write_atomic
from cortex_cli.store.starter import starter_root
from cortex_cli.store.workspace import Workspace

__all__ = ["Begun", "Started", "start_agent", "start_workspace"]

Judge = Literal["exact", "json", "command"]
_IGNORED = ".cortex/"
_FIRST_PROMPT = b"""+++
summary = "A request in, an answer out"

[variables]
request = "str"
+++
{{ request }}
"""
# Kept in the repository so that the user's own git commands are as careful as Cortex's.
_CONFIG = {
    "core.fsync": "committed,reference",
    "core.logAllRefUpdates": "always",
    "gc.auto": "0",
    "transfer.fsckObjects": "true",
}


class Begun(NamedTuple):
    """What a new agent begins with: its state, its first champion, and the commit of both."""

    agent: Agent
    variant: Variant
    commit: str


class Started(NamedTuple):
    """What `start_workspace` found or made: the root, the commit that holds it, and the files it wrote."""

    root: Path
    commit: str
    state: Literal["created", "present"]
    files: tuple[str, ...] = ()


def start_workspace(path: Path, *, name: str = "", actor: str = "human", starter: Path | None = None) -> Started:
    """Make the folder *path* a workspace called *name*, from the content of *starter*; a workspace stays as it is.

    A repository that is there keeps its history and its uncommitted files. Raises `ConflictError` before
    anything is written when a file is in the way; a killed call is completed by the next one.
    """
    require_version(find_git(os.environ))
    root = path.absolute()
    name = check_value("name", name or root.name or "workspace")
    files = _starter_files(starter or starter_root(), name)
    if root.exists() and not root.is_dir():
        _refuse_conflicts(root, files)
    with report_disk(root):
        root.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        return _start(root, files, name, actor)


def start_agent(registry: Registry, name: str, *, model: str, judge: Judge = "exact") -> Begun:
    """Commit a new agent whose first champion is the bare *model* under `prompts/<name>/main.md`.

    A prompt that is committed there is used as it is, otherwise a plain one is written; all in one
    commit. Raises `UsageError` when the agent exists or the model does not.
    """
    path = f"prompts/{check_name('agent', name)}/main.md"
    begun: list[tuple[Agent, Variant]] = []

    def plan(snapshot: Snapshot) -> Change:
        if snapshot.blob(AGENTS.path(name)):
            raise UsageError(f"agent '{name}' exists already", hint="cortex status", state="nothing was changed")
        snapshot.model(model)
        text = snapshot.read(path) or _FIRST_PROMPT
        blob = registry.git.run("hash-object", "-w", "--stdin", stdin=text).decode().strip()
        draft = Variant(id="", agent=name, model=model, prompt=path, prompt_blob=blob)
        variant = msgspec.structs.replace(draft, id=variant_id(draft))
        agent = Agent(agent=name, judge=judge, generation=1, champion=variant.id)
        begun.append((agent, variant))
        files = {VARIANTS.path(variant.id): render_manifest(variant), AGENTS.path(name): render_manifest(agent)}
        return Change(Trailers("agent", name, to=variant.id), {path: text, **files})

    done = registry.update(plan)
    return Begun(*begun[-1], done.commit)


def _start(root: Path, files: dict[str, bytes], name: str, actor: str) -> Started:
    is_new = not (root / ".git").exists()
    if not is_new and (present := _find_present(root, actor)):
        return present
    _refuse_conflicts(root, files)
    registry = Registry(Workspace(root), actor=actor, git=Git.create(root) if is_new else Git(root))
    files |= _ignore(registry.git, is_new=is_new)
    commit = registry.commit(Trailers("init", name), files)
    with registry.held("configure"):
        for key, value in _CONFIG.items():
            registry.git.run("config", "--local", key, value)
    return Started(root, commit, "created", tuple(sorted(files)))


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    # Two `git init` at once fail on each other's lock files. The folder itself is what is locked, as nothing may be
    # written into it before it is known that nothing is in the way; the kernel frees the lock of a killed process.
    import fcntl

    folder = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _find_present(root: Path, actor: str) -> Started | None:
    registry = Registry(Workspace(root), actor=actor)
    if read_pending(registry.git) is not None:
        with registry.held("finish init"):
            finish_pending(registry.git)
    snapshot = registry.snapshot()
    if snapshot.blob("cortex.toml"):
        return Started(root, snapshot.commit, "present")
    return None


def _starter_files(source: Path, name: str) -> dict[str, bytes]:
    # The weights of a model stay in the package: its manifest's source says `starter:<name>`.
    manifests = source.glob("registry/*/*.toml")
    found = [*source.glob("recipes/**/*"), *source.glob("prompts/**/*"), *manifests]
    files = {file.relative_to(source).as_posix(): file for file in found if file.is_file()}
    content = {path: file.read_bytes() for path, file in sorted(files.items()) if not _is_hidden(path)}
    settings = tomli_w.dumps({"schema": 1, "name": name})
    head = "# Settings of this workspace; `cortex config show` lists all, with their values and sources.\n"
    return content | {"cortex.toml": (head + settings).encode()}


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "__")) for part in path.split("/"))


def _refuse_conflicts(root: Path, files: Mapping[str, bytes]) -> None:
    if root.exists() and not root.is_dir():
        raise UsageError(f"'{root}' is a file, not a folder", state="nothing was changed")
    try:
        differing = sorted(path for path, data in files.items() if _is_in_the_way(root / path, data))
    except OSError as error:
        raise CortexError(f"'{root}' cannot be read: {error.strerror}", state="nothing was changed") from error
    if differing:
        raise ConflictError(
            f"'{root}' has other content at {', '.join(repr(path) for path in differing)}",
            hint="cortex init NEW-FOLDER",
            state="nothing was changed",
        )


def _is_in_the_way(path: Path, data: bytes) -> bool:
    if path.is_symlink() or path.is_dir():
        return True
    try:
        return path.read_bytes() != data
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True


def _ignore(git: Git, *, is_new: bool) -> dict[str, bytes]:
    """Return the `.gitignore` to commit; where the user's own is not committed, ignore it in the git folder instead."""
    path = git.root / ".gitignore"
    found = path.read_bytes() if path.is_file() else b""
    if _IGNORED.encode() in found.splitlines():
        return {".gitignore": found} if is_new else {}
    wanted = found + (b"\n" if found and not found.endswith(b"\n") else b"") + f"{_IGNORED}\n".encode()
    if not found or found == Snapshot(git, git.head()).read(".gitignore"):
        return {".gitignore": wanted}
    if is_new:
        write_atomic(path, wanted)
        return {".gitignore": wanted}
    exclude = git.common / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    old = exclude.read_bytes() if exclude.is_file() else b""
    write_atomic(exclude, old.rstrip(b"\n") + b"\n" * bool(old) + f"{_IGNORED}\n".encode())
    return {}

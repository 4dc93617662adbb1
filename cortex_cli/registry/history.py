"""Who changed what, when and on which evidence: read from git, streamed, newest first."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.registry.git import Git
from cortex_cli.registry.snapshot import AGENTS
from cortex_cli.registry.trailers import MOVES, scan_message

if TYPE_CHECKING:
    from cortex_cli.registry.repository import Registry

__all__ = ["OWN_PATHS", "Blame", "Event", "FileChange", "blame", "diff", "find_mover", "read_log"]

# What Cortex keeps in git; everything else in the repository is the user's.
OWN_PATHS = ("registry", "datasets", "recipes", "prompts", "cortex.toml")

# The date rendered by git, which runs in UTC here, takes a quarter of what Python's strftime does; %B is
# cheaper than %(trailers), and every field before it is a single line.
_DATE = "--date=format-local:%Y-%m-%dT%H:%M:%SZ"
_LOG = ("log", "-z", "--no-color", "--no-notes", "--no-decorate", _DATE, "--format=%H%n%cd%n%an%n%B")
Scope = Literal["cortex", "everything"]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename={"from_": "from"}):
    """One commit: who, when, and what its trailers say. *action* is empty for a commit of the user.

    *fault* says what is wrong with the trailers; then only commit, time, author and subject are known.
    """

    commit: str
    time: str
    author: str
    subject: str
    action: str = ""
    target: str = ""
    from_: str = ""
    to: str = ""
    generation: int | None = None
    evidence: str = ""
    run_id: str = ""
    actor: str = ""
    version: str = ""
    reason: str = ""
    fault: str = ""


class FileChange(NamedTuple):
    """What happened to one file between two commits; *patch* is a unified diff without its header."""

    path: str
    kind: Literal["added", "removed", "changed"]
    patch: str


class Blame(NamedTuple):
    """The commit that wrote a line as it is now."""

    commit: str
    time: str
    author: str
    subject: str
    line: str


def read_log(
    registry: "Registry", agent: str = "", limit: int | None = None, *, scope: Scope = "cortex"
) -> Iterator[Event]:
    """Yield the events of HEAD's history, newest first: those of *agent*, or of all; at most *limit*.

    Commits of the user are left out unless *scope* is "everything". Memory does not grow with history.
    """
    found = 0
    for record in _read_records(registry.git, registry.git.head()):
        if limit is not None and found >= limit:
            return
        event = _parse_event(record)
        if _is_wanted(event, agent, scope):
            found += 1
            yield event


def find_mover(registry: "Registry", agent: str, champion: str) -> Event | None:
    """Return the newest commit that made *champion* the champion of *agent*, or else touched its state."""
    newest = None
    for record in _read_records(registry.git, registry.git.head(), AGENTS.path(agent)):
        event = _parse_event(record)
        if event.action in MOVES and event.to == champion:
            return event
        newest = newest or event
    return newest


def diff(registry: "Registry", old: str, new: str = "HEAD") -> list[FileChange]:
    """Return what changed in Cortex's own paths from *old* to *new*; raise `UsageError` for an unknown commit."""
    # Resolved by the wrapper first: what reaches GitPython is an object id and never an option.
    first, second = registry.git.resolve(old), registry.git.resolve(new)
    with _open_repo(registry.git) as repo:
        found = repo.commit(first).diff(
            second, paths=list(OWN_PATHS), create_patch=True, no_renames=True, no_textconv=True
        )
        return sorted(_file_change(item) for item in found)


def blame(registry: "Registry", agent: str) -> Blame:
    """Return the commit that wrote the champion line of *agent*; raise `UsageError` when it has no champion."""
    path = AGENTS.path(agent)
    head = registry.git.head()
    if not registry.snapshot().agent(agent).champion:
        raise UsageError(f"agent '{agent}' has no champion yet", hint="cortex promote", state="nothing was changed")
    with _open_repo(registry.git) as repo:
        for commit, lines in repo.blame(head, path):
            for line in lines:
                text = line if isinstance(line, str) else line.decode("utf-8", "replace")
                if text.startswith("champion"):
                    time = _rfc3339(commit.committed_date)
                    return Blame(commit.hexsha, time, str(commit.author.name), str(commit.summary), text)
    raise IntegrityError(f"'{path}' has a champion and no line that says so", hint="cortex fsck")


def _read_records(git: Git, head: str, path: str = "") -> Iterator[str]:
    if not head:
        return iter(())
    return git.records(*_LOG, head, "--", *([path] if path else []))


def _parse_event(record: str) -> Event:
    commit, time, author, message = record.split("\n", 3)
    subject, _, _ = message.partition("\n")
    try:
        found: dict[str, Any] = scan_message(message)
        if "generation" in found:
            found["generation"] = int(found["generation"])
        return Event(commit=commit, time=time, author=author, subject=subject, **found)
    except (IntegrityError, ValueError) as error:
        fault = str(error)
    return Event(commit=commit, time=time, author=author, subject=subject, fault=fault)


def _is_wanted(event: Event, agent: str, scope: Scope) -> bool:
    if not event.action and not event.fault and scope == "cortex":
        return False
    return agent in ("", event.target)


def _rfc3339(stamp: int) -> str:
    return datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _open_repo(git: Git) -> Any:
    # GitPython's import costs more than a whole `cortex log`, so only diff and blame pay for it.
    from git import Repo

    repo = Repo(git.root, expand_vars=False)
    # Inside a hook git's own variables may point elsewhere; GitPython would hand them on.
    repo.git.update_environment(GIT_DIR=str(git.directory), GIT_WORK_TREE=str(git.root), GIT_PAGER="")
    return repo


def _file_change(item: Any) -> FileChange:
    kind: Literal["added", "removed", "changed"] = "changed"
    if item.new_file:
        kind = "added"
    elif item.deleted_file:
        kind = "removed"
    patch = item.diff if isinstance(item.diff, str) else (item.diff or b"").decode("utf-8", "replace")
    return FileChange(str(item.b_path or item.a_path), kind, patch)

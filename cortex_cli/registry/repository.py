"""One change of the registry: planned on a snapshot, committed by git plumbing, under one lock.

The order is the promise: objects first, then the commit, then the branch by compare-and-swap, then
the worktree. A kill between any two leaves either nothing or a commit whose copies the next write renews.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from cortex_cli.domain.errors import ConflictError, CortexError
from cortex_cli.domain.names import check_relative_path
from cortex_cli.registry.catfile import CatFile
from cortex_cli.registry.copies import (
    Copy,
    Pending,
    check_untouched,
    drop_pending,
    finish,
    finish_pending,
    write_pending,
)
from cortex_cli.registry.git import CORTEX, Git, Identity, LostRaceError, locked_by, require_version
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.registry.trailers import Trailers, render_message
from cortex_cli.registry.trees import write_trees
from cortex_cli.store.clock import Clock, utc_now
from cortex_cli.store.locks import hold
from cortex_cli.store.workspace import Workspace

__all__ = ["Change", "Done", "Registry"]

# Each lost race means that a foreign git committed in a few milliseconds; eight in a row is no accident.
_ATTEMPTS = 8
# Another git holds the index for moments, or for as long as a user's editor is open: this tells which.
_PATIENCE = 3.0
_UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}


class Change(NamedTuple):
    """The intent of one commit: its account, and the files it writes (None removes one)."""

    record: Trailers
    files: Mapping[str, bytes | None]


class Done(NamedTuple):
    """What became of a change: the commit that holds it, and its account."""

    commit: str
    record: Trailers


class Registry:
    """The registry of *workspace*, written in the name of *actor*; writes wait up to *wait* seconds.

    Raises `NoWorkspaceError` when the workspace is not the root of a git repository.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        actor: str = "human",
        wait: float = 30.0,
        now: Clock = utc_now,
        git: Git | None = None,
    ) -> None:
        self.workspace = workspace
        self.actor = actor
        self.wait = wait
        self.now = now
        self.git = git or Git(workspace.root)

    @cached_property
    def _user(self) -> Identity:
        # Two more git processes would be a third of a commit, so the user is asked for once.
        return self.git.identity()

    @property
    def lock_path(self) -> Path:
        """Return the lock file that every write takes; in the git folder, so that no clone and no commit sees it."""
        return self.git.common / "cortex.lock"

    def snapshot(self, rev: str = "HEAD") -> Snapshot:
        """Return everything at *rev*, resolved once; raise `UsageError` when it names no commit."""
        return Snapshot(self.git, self.git.head() if rev == "HEAD" else self.git.resolve(rev))

    def commit(self, record: Trailers, changes: Mapping[str, bytes | None]) -> str:
        """Commit *changes* (path -> content, None removes) with the account *record*; return the commit.

        Where nothing differs there is no commit, and HEAD is returned. Raises `ConflictError` when a
        path has uncommitted changes or was committed by somebody else meanwhile; nothing is changed then.
        """
        first: dict[str, bytes | None] = {}

        def plan(snapshot: Snapshot) -> Change:
            found = {path: snapshot.read(path) for path in changes}
            if first and found != first:
                raise ConflictError("the files were changed by another commit meanwhile", state="nothing was changed")
            first.update(found)
            return Change(record, changes)

        return self.update(plan).commit

    def update(self, plan: Callable[[Snapshot], Change]) -> Done:
        """Commit what *plan* makes of the present state, all of it under the lock.

        *plan* checks its preconditions on the snapshot it is given and raises when they do not hold; it
        runs again when a foreign commit came first. On any error before the branch moves, nothing is changed.
        """
        require_version(self.git.binary)
        with self.held("commit"):
            self._ready_branch()
            finish_pending(self.git)
            for _ in range(_ATTEMPTS):
                with suppress(LostRaceError):
                    return self._attempt(plan)
        raise ConflictError(
            f"the branch was moved by another git {_ATTEMPTS} times in a row",
            hint="run the command again",
            state="nothing was changed",
        )

    @contextmanager
    def held(self, purpose: str) -> Iterator[None]:
        """Hold the lock of this registry, which every write takes; raise `LockedError` when the wait ends."""
        with hold(self.lock_path, purpose=purpose, wait=self.wait):
            self._wait_for_git()
            yield

    def _attempt(self, plan: Callable[[Snapshot], Change]) -> Done:
        branch = self._ready_branch()
        with CatFile(self.git) as objects:
            parent = objects.load(branch).oid if self.git.head() else ""
            snapshot = Snapshot(self.git, parent, objects=objects)
            change = plan(snapshot)
            record = _with_actor(change.record, self.actor)
            copies = _differing(snapshot, change.files)
            if not copies:
                return Done(parent, record)
            check_untouched(self.git, objects, copies)
            copies = [copy._replace(oid=self._write_blob(copy.after)) for copy in copies]
            tree = write_trees(self.git, snapshot.entries, {copy.path: copy.oid for copy in copies})
        commit = self._write_commit(tree, parent, record)
        self._publish(branch, record, Pending(parent, commit, {copy.path: copy.oid for copy in copies}))
        self._renew(branch, copies)
        return Done(commit, record)

    def _ready_branch(self) -> str:
        for name, what in _UNDER_WAY.items():
            if (self.git.directory / name).exists():
                raise ConflictError(
                    f"a {what} is under way in '{self.git.root}': finish or abort it first",
                    hint="git status",
                    state="nothing was changed",
                )
        branch = self.git.branch()
        if not branch:
            raise ConflictError(
                "HEAD is detached: a commit here would be on no branch",
                hint="git switch main",
                state="nothing was changed",
            )
        return branch

    def _write_blob(self, data: bytes | None) -> str:
        if data is None:
            return ""
        return self.git.run("hash-object", "-w", "--stdin", stdin=data).decode().strip()

    def _write_commit(self, tree: str, parent: str, record: Trailers) -> str:
        above = ["-p", parent] if parent else []
        env = self._people(record.actor)
        message = render_message(record).encode()
        return self.git.run("commit-tree", tree, *above, "-F", "-", stdin=message, env=env).decode().strip()

    def _people(self, actor: str) -> dict[str, str]:
        author = self._user if actor == "human" else CORTEX
        date = f"@{int(self.now().timestamp())} +0000"
        return {
            "GIT_AUTHOR_NAME": author.name,
            "GIT_AUTHOR_EMAIL": author.email,
            "GIT_COMMITTER_NAME": CORTEX.name,
            "GIT_COMMITTER_EMAIL": CORTEX.email,
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
        }

    def _publish(self, branch: str, record: Trailers, pending: Pending) -> None:
        write_pending(self.git, pending)
        old = pending.parent or "0" * len(pending.commit)
        order = f"start\nupdate {branch} {pending.commit} {old}\nprepare\ncommit\n".encode()
        try:
            self.git.run("update-ref", "-m", record.subject(), "--stdin", stdin=order)
        except CortexError:
            drop_pending(self.git)
            raise

    def _renew(self, branch: str, copies: list[Copy]) -> None:
        # The commit is durable and acknowledged: copies that cannot be renewed now are left to the next
        # write, which finds the record, and never make this one look as if it had failed.
        with suppress(CortexError):
            if self.git.branch() == branch:
                finish(self.git, copies)
            else:  # the user has switched branches in these milliseconds, and with it the worktree
                drop_pending(self.git)

    def _wait_for_git(self) -> None:
        deadline = time.monotonic() + min(self.wait, _PATIENCE)
        while lock := _find_lock(self.git):
            if time.monotonic() > deadline:
                raise locked_by(lock)
            time.sleep(0.02)


def _differing(snapshot: Snapshot, files: Mapping[str, bytes | None]) -> list[Copy]:
    for path in files:
        if path != ".gitignore":  # the one hidden file that Cortex keeps
            check_relative_path(path)
    copies = [Copy(path, snapshot.read(path), data) for path, data in sorted(files.items())]
    return [copy for copy in copies if copy.before != copy.after]


def _with_actor(record: Trailers, actor: str) -> Trailers:
    return record if record.actor else msgspec.structs.replace(record, actor=actor)


def _find_lock(git: Git) -> Path | None:
    branch = git.branch()
    names = [git.directory / "index.lock", git.directory / "HEAD.lock"]
    if branch:
        names.append(git.common / f"{branch}.lock")
    return next((path for path in names if path.exists()), None)

"""The git binary: called by absolute path and without a shell, hooks or the caller's git environment."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

from cortex_cli.domain.errors import ConflictError, CortexError, LockedError, NoWorkspaceError, UsageError

__all__ = ["MINIMUM", "Git", "Identity", "LostRaceError", "find_git", "parse_version", "require_version"]

# 2.36 is the first git with core.fsync; an older one would ignore it and be less durable than promised.
MINIMUM = (2, 36, 0)

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed,reference",
    "core.fsyncMethod=fsync",
    "core.quotePath=false",
    "core.filesRefLockTimeout=1000",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "log.showSignature=false",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "protocol.ext.allow=never",
)
_SCRUBBED = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
    "TZ": "UTC",
}
# These would make the user's own git look at another repository than the workspace.
_REDIRECTS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
_LOCK = re.compile(r"Unable to create '(?P<path>[^']+\.lock)': File exists")
_CONFIG_LOCK = re.compile(r"could not lock config file (?P<path>.+): File exists")
_LOST = re.compile(r"is at [0-9a-f]+ but expected|reference already exists|reference is missing but expected")
_VERSION = re.compile(r"git version (\d+)\.(\d+)(?:\.(\d+))?")


class Identity(NamedTuple):
    """Who is named in a commit."""

    name: str
    email: str


CORTEX = Identity("cortex", "cortex@localhost")


class LostRaceError(ConflictError):
    """Report that the branch moved between reading and writing it; the change can be planned again."""


class Git:
    """The git of the repository whose worktree is *root*; no upper repository is ever taken for it.

    *directory* is this worktree's own git folder, *common* the one it shares with other worktrees.
    Raises `NoWorkspaceError` when *root* holds no repository, `UsageError` when there is no git.
    """

    def __init__(self, root: Path, *, environ: Mapping[str, str] | None = None) -> None:
        self.root = root
        self.environ = dict(os.environ if environ is None else environ)
        self.binary = find_git(self.environ)
        self.directory = _git_folder(root)
        self.common = _common_folder(self.directory)
        self._prefix = [self.binary, *(part for setting in _SETTINGS for part in ("-c", setting))]
        self._env = {key: value for key, value in self.environ.items() if not key.startswith("GIT_")} | _SCRUBBED
        self._env["GIT_CEILING_DIRECTORIES"] = str(root.parent)
        if any(path.stat().st_uid != os.geteuid() for path in (root, self.directory)):
            self._trust_as_user_does()

    @classmethod
    def create(cls, root: Path, *, environ: Mapping[str, str] | None = None) -> "Git":
        """Make a repository with a branch called main in the folder *root* and return its git.

        Without the template's sample hooks. One that exists is left as it is.
        """
        environ = os.environ if environ is None else environ
        binary = find_git(environ)
        require_version(binary)
        done = subprocess.run(  # noqa: S603  # list argv, absolute binary, constant arguments
            [binary, "init", "--quiet", "--initial-branch=main", "--template="],
            capture_output=True,
            check=False,
            cwd=root,
            env={key: value for key, value in environ.items() if not key.startswith("GIT_")} | _SCRUBBED,
        )
        if done.returncode:
            raise explain("init", done)
        return cls(root, environ=environ)

    def run(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Run git with *args* and return its output; raise the error that its failure means."""
        done = self.ask(*args, stdin=stdin, env=env)
        if done.returncode:
            raise explain(args[0], done)
        return done.stdout

    def ask(
        self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git with *args* and return the finished process, whatever its exit status."""
        return subprocess.run(  # noqa: S603  # list argv, absolute binary, arguments checked by the callers
            [*self._prefix, *args],
            input=stdin,
            capture_output=True,
            check=False,
            cwd=self.root,
            env={**self._env, **env} if env else self._env,
        )

    @contextmanager
    def open(self, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start git with *args* for reading and writing; at the end of the block it is gone and its pipes closed."""
        process = subprocess.Popen(  # noqa: S603  # list argv, absolute binary, arguments checked by the callers
            [*self._prefix, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.root,
            env=self._env,
        )
        try:
            yield process
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    _close(stream)
            process.wait()

    def records(self, *args: str) -> Iterator[str]:
        """Run git with *args*, one of them -z, and yield its output record by record as it comes."""
        with self.open(*args) as process:
            rest = b""
            while process.stdout is not None and (chunk := process.stdout.read(1 << 16)):
                *records, rest = (rest + chunk).split(b"\0")
                for record in records:
                    yield record.decode("utf-8", "replace")
            if process.wait():
                raise self.failure(args[0], process)
            if rest:
                yield rest.decode("utf-8", "replace")

    def failure(self, verb: str, process: subprocess.Popen[bytes]) -> CortexError:
        """Return the error that the early end of an opened *process* means."""
        if process.stdin is not None:
            _close(process.stdin)
        words = process.stderr.read() if process.stderr is not None else b""
        return explain(verb, subprocess.CompletedProcess([verb], process.wait(), b"", words))

    def resolve(self, rev: str) -> str:
        """Return the commit that *rev* names; raise `UsageError` when it names none."""
        done = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
        if done.returncode == 0:
            return done.stdout.decode().strip()
        if done.stderr:
            raise explain("rev-parse", done)
        raise UsageError(f"'{rev}' names no commit in this repository", hint="cortex log", state="nothing was changed")

    def branch(self) -> str:
        """Return the full name of the branch that HEAD is on; empty when HEAD is detached."""
        text = (self.directory / "HEAD").read_text(encoding="utf-8").strip()
        if not text.startswith("ref: "):
            return ""
        ref = text.removeprefix("ref: ")
        if ref == "refs/heads/.invalid":  # how a repository with another ref storage keeps old readers out
            return self.run("symbolic-ref", "--quiet", "HEAD").decode().strip()
        return ref

    def head(self) -> str:
        """Return the commit that HEAD names; empty on a branch without commits."""
        branch = self.branch()
        try:
            oid = (self.common / branch if branch else self.directory / "HEAD").read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError):
            return self._packed_head()
        return oid if re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", oid) else self._packed_head()

    def identity(self) -> Identity:
        """Return who the user is to git itself: environment, then configuration; `CORTEX` where neither says."""
        found = {"name": self.environ.get("GIT_AUTHOR_NAME", ""), "email": self.environ.get("GIT_AUTHOR_EMAIL", "")}
        if not all(found.values()):
            listing = self._ask_as_user("config", "--get-regexp", r"^user\.(name|email)$").stdout
            for line in listing.decode("utf-8", "replace").splitlines():
                key, _, value = line.partition(" ")
                found[key.removeprefix("user.")] = found[key.removeprefix("user.")] or value
        # git strips these from both ends of a name and refuses one that has nothing else.
        name = found["name"].strip(" .,:;<>\"\\'\t")
        return Identity(name or CORTEX.name, found["email"].strip("<> \t") or CORTEX.email)

    def _packed_head(self) -> str:
        done = self.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        if done.returncode and done.stderr:
            raise explain("rev-parse", done)
        return done.stdout.decode().strip()

    def _ask_as_user(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        env = {key: value for key, value in self.environ.items() if key not in _REDIRECTS}
        return subprocess.run(  # noqa: S603  # list argv, absolute binary, constant arguments
            [self.binary, *args], stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=self.root, env=env
        )

    def _trust_as_user_does(self) -> None:
        # The scrubbed environment hides the user's safe.directory, by which alone a foreign owner is accepted.
        if self._ask_as_user("rev-parse", "--git-dir").returncode == 0:
            self._prefix += ["-c", f"safe.directory={self.root}"]


def find_git(environ: Mapping[str, str]) -> str:
    """Return the absolute path of the git on PATH; raise `UsageError` when there is none."""
    import shutil

    found = shutil.which("git", path=environ.get("PATH", os.defpath))
    if found is None:
        raise UsageError("git is not installed, or not on PATH", hint="apt install git", state="nothing was changed")
    return str(Path(found).absolute())


def parse_version(text: str) -> tuple[int, int, int]:
    """Return the version in the output of `git --version`; (0, 0, 0) when there is none."""
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else (0, 0, 0)


def require_version(binary: str) -> None:
    """Raise `UsageError` when the git *binary* is older than `MINIMUM`."""
    text = read_version(binary)
    if parse_version(text) < MINIMUM:
        raise UsageError(
            f"git {MINIMUM[0]}.{MINIMUM[1]} or newer is needed, found '{text}' at '{binary}'",
            hint="cortex doctor",
            state="nothing was changed",
        )


@cache
def read_version(binary: str) -> str:
    """Return what *binary* says to `--version`; asked once per process."""
    done = subprocess.run([binary, "--version"], capture_output=True, check=False)  # noqa: S603  # absolute binary
    return done.stdout.decode("utf-8", "replace").strip()


def explain(verb: str, done: subprocess.CompletedProcess[bytes]) -> CortexError:
    """Return the error that the failed git process *done* means: a lock, a lost race, an owner, or its own words."""
    words = done.stderr.decode("utf-8", "replace").strip()
    if lock := _LOCK.search(words):
        return locked_by(Path(lock["path"]))
    if config := _CONFIG_LOCK.search(words):
        return locked_by(Path(f"{config['path']}.lock"))
    if _LOST.search(words):
        return LostRaceError("the branch moved while it was being written", state="nothing was changed")
    if "dubious ownership" in words:
        return UsageError(
            "the repository belongs to another user, and git refuses to work in it",
            hint='git config --global --add safe.directory "$PWD"',
            state="nothing was changed",
        )
    if done.returncode < 0:
        words = f"ended by {signal.Signals(-done.returncode).name} {words}".strip()
    return CortexError(f"git {verb} failed: {words or f'exit status {done.returncode}'}", hint="cortex doctor")


def locked_by(path: Path) -> LockedError:
    """Return the error for a git lock file that does not go away."""
    return LockedError(
        f"'{path}' blocks git: another git command holds it, or one was killed and left it behind",
        hint="cortex fsck --repair",
        state="nothing was changed",
    )


def _git_folder(root: Path) -> Path:
    path = root / ".git"
    if path.is_dir():
        return path
    if path.is_file():  # a linked worktree or a submodule
        return (root / path.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()
    raise NoWorkspaceError(
        f"'{root}' is not a git repository", hint=f"cortex init '{root}'", state="nothing was changed"
    )


def _common_folder(directory: Path) -> Path:
    pointer = directory / "commondir"
    return (directory / pointer.read_text(encoding="utf-8").strip()).resolve() if pointer.is_file() else directory


def _close(stream: IO[bytes]) -> None:
    # Flushing what a git that ended early will not read is no loss; the reader has noticed its end.
    with suppress(BrokenPipeError):
        stream.close()

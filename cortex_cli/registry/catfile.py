"""Objects of the repository by name, from one git process that stays open for a batch of questions."""

from contextlib import ExitStack, suppress
from subprocess import Popen
from types import TracebackType
from typing import NamedTuple, Self

from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.registry.git import Git

__all__ = ["CatFile", "GitObject"]


class GitObject(NamedTuple):
    """An object of git: its id, its kind (blob, tree, commit, tag) and its content."""

    oid: str
    kind: str
    data: bytes


class CatFile:
    """One `git cat-file --batch`, started with the block and gone at its end."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self._stack = ExitStack()
        self._process: Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = self._stack.enter_context(self.git.open("cat-file", "--batch"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process = None
        self._stack.close()

    def find(self, name: str) -> GitObject | None:
        """Return the object that *name* means (an id, a ref, `<commit>:<path>`, `:<path>` of the index), or None."""
        if "\n" in name:
            raise UsageError(f"{name!r} cannot name an object of git", state="nothing was changed")
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise IntegrityError("git objects are read in a block that is closed")
        with suppress(BrokenPipeError):  # the missing answer tells it below
            process.stdin.write(name.encode("utf-8", "surrogateescape") + b"\n")
            process.stdin.flush()
        header = process.stdout.readline()
        if header.endswith((b" missing\n", b" ambiguous\n")):
            return None
        if not header.endswith(b"\n"):
            raise self.git.failure("cat-file", process)
        oid, kind, size = header.decode().split()
        data = process.stdout.read(int(size) + 1)
        if len(data) != int(size) + 1:
            raise self.git.failure("cat-file", process)
        return GitObject(oid, kind, data[:-1])

    def load(self, name: str) -> GitObject:
        """Return the object that *name* means, which must be there; raise `IntegrityError` when git cannot give it."""
        found = self.find(name)
        if found is None:
            raise IntegrityError(
                f"git object '{name}' is missing or corrupt", hint="cortex fsck", state="nothing was changed"
            )
        return found

"""Trees of git: reading one, and writing the few that a change of some paths makes new."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from subprocess import Popen
from typing import NamedTuple

from cortex_cli.domain.errors import ConflictError, IntegrityError
from cortex_cli.registry.git import Git

__all__ = ["Entry", "Tree", "parse_tree", "write_trees"]

_FOLDER = "40000"
_FILE = "100644"


class Entry(NamedTuple):
    """An entry of a tree: octal mode and object id."""

    mode: str
    oid: str

    @property
    def is_folder(self) -> bool:
        """Tell whether the entry is a tree."""
        return self.mode == _FOLDER


Tree = dict[str, Entry]


def parse_tree(data: bytes, *, digits: int) -> Tree:
    """Parse the content of a tree object whose ids have *digits* hex digits; names may hold any bytes."""
    tree: Tree = {}
    at, width = 0, digits // 2
    while at < len(data):
        space = data.index(b" ", at)
        end = data.index(b"\0", space)
        name = data[space + 1 : end].decode("utf-8", "surrogateescape")
        tree[name] = Entry(data[at:space].decode(), data[end + 1 : end + 1 + width].hex())
        at = end + 1 + width
    return tree


def write_trees(git: Git, read: Callable[[str], Tree], files: Mapping[str, str]) -> str:
    """Write the tree that *files* (path -> blob id, empty to remove) make of the one that *read* gives by folder.

    Returns the id of the root; folders that become empty go. Leaves unreferenced objects on failure.
    """
    trees = {folder: dict(read(folder)) for path in files for folder in _folders_above(path)}
    for path, oid in files.items():
        folder, _, name = path.rpartition("/")
        _set(trees[folder], name, Entry(_FILE, oid) if oid else None)
    with git.open("mktree", "-z", "--missing", "--batch") as process:
        # Deepest first: a folder's id is needed by the one above it.
        for folder in sorted((folder for folder in trees if folder), key=lambda folder: -folder.count("/")):
            above, _, name = folder.rpartition("/")
            _check_folder(trees[above], name, folder)
            tree = trees[folder]
            _set(trees[above], name, Entry(_FOLDER, _make(git, process, tree)) if tree else None)
        return _make(git, process, trees[""])


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts) + 1)]


def _set(tree: Tree, name: str, entry: Entry | None) -> None:
    if entry is None:
        tree.pop(name, None)
    else:
        tree[name] = entry


def _check_folder(above: Tree, name: str, folder: str) -> None:
    if name in above and not above[name].is_folder:
        raise ConflictError(f"'{folder}' is a file in the repository, a folder is needed", state="nothing was changed")


def _make(git: Git, process: Popen[bytes], tree: Tree) -> str:
    lines = [f"{entry.mode.zfill(6)} {_kind(entry.mode)} {entry.oid}\t{name}\0" for name, entry in tree.items()]
    if process.stdin is None or process.stdout is None:
        raise IntegrityError("git mktree has no pipes")
    with suppress(BrokenPipeError):  # the missing answer tells it below
        process.stdin.write("".join(lines).encode("utf-8", "surrogateescape") + b"\0")
        process.stdin.flush()
    oid = process.stdout.readline().decode().strip()
    if not oid:
        raise git.failure("mktree", process)
    return oid


def _kind(mode: str) -> str:
    return {_FOLDER: "tree", "160000": "commit"}.get(mode, "blob")

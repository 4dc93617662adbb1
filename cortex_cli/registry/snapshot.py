"""The registry as it is at one commit: typed manifests, read from git and never from the worktree."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import msgspec

from cortex_cli.domain.errors import CortexError, Fault, FaultsError, IntegrityError, UsageError
from cortex_cli.domain.manifests import Adapter, Agent, DatasetVersion, Experiment, Model, Variant
from cortex_cli.domain.names import check_name, check_variant_id, check_version
from cortex_cli.domain.tables import parse_toml
from cortex_cli.registry.catfile import CatFile
from cortex_cli.registry.git import Git
from cortex_cli.registry.trees import Tree, parse_tree

__all__ = ["ADAPTERS", "AGENTS", "EXPERIMENTS", "MODELS", "VARIANTS", "Shelf", "Snapshot", "check_id", "dataset_path"]

T = TypeVar("T", bound=msgspec.Struct)


class Shelf(NamedTuple, Generic[T]):
    """Where the manifests of one kind lie: folder, type, the field that repeats the file name, its check."""

    word: str
    folder: str
    kind: type[T]
    key: str
    check: Callable[[str], str]
    hint: str = "cortex status"

    def path(self, name: str) -> str:
        """Return the path of the manifest *name*; raise `UsageError` for a name that may not become a path."""
        return f"{self.folder}/{self.check(name)}.toml"


def check_id(text: str) -> str:
    """Return *text* if it is a name or a content-addressed id; raise `UsageError` otherwise."""
    try:
        return check_variant_id(text)
    except UsageError:
        return check_name("id", text)


def _check_agent(text: str) -> str:
    return check_name("agent", text)


def _check_model(text: str) -> str:
    return check_name("model", text)


AGENTS = Shelf("agent", "registry/agents", Agent, "agent", _check_agent)
MODELS = Shelf("model", "registry/models", Model, "name", _check_model)
VARIANTS = Shelf("variant", "registry/variants", Variant, "id", check_variant_id)
ADAPTERS = Shelf("adapter", "registry/adapters", Adapter, "id", check_variant_id, "cortex log")
EXPERIMENTS = Shelf("experiment", "registry/experiments", Experiment, "id", check_id, "cortex ab status")
DATASETS = "datasets"
_VERSION_FILE = re.compile(r"(v[0-9]{4,8})\.toml")


def dataset_path(name: str, version: str) -> str:
    """Return the path of a dataset version; raise `UsageError` for names that may not become a path."""
    return f"{DATASETS}/{check_name('dataset', name)}/{check_version(version)}.toml"


class Snapshot:
    """Everything at one *commit*; empty when *commit* is.

    Each question starts and ends one git process; in a `with` block all questions share one.
    """

    def __init__(self, git: Git, commit: str, *, objects: CatFile | None = None) -> None:
        self.git = git
        self.commit = commit
        self._objects = objects
        self._stack = ExitStack()
        # Blocks entered; what was handed in is never ours to close.
        self._depth = 0 if objects is None else 1
        # A commit never changes, so what was read once stays true.
        self._trees: dict[str, Tree] = {}
        self._files: dict[str, bytes | None] = {}

    def __enter__(self) -> Self:
        if self._objects is None:  # a block within a block shares the process of the outer one
            self._objects = self._stack.enter_context(CatFile(self.git))
            self._stack.callback(self._forget)
            self._depth = 0
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._stack.close()

    def read(self, path: str) -> bytes | None:
        """Return the content of the file *path*; None when there is none."""
        if path not in self._files:
            oid = self.blob(path)
            with self._open() as objects:
                self._files[path] = objects.load(oid).data if oid else None
        return self._files[path]

    def read_blob(self, oid: str) -> bytes | None:
        """Return the content of the git blob *oid*, from whatever commit it is; None when git has none."""
        with self._open() as objects:
            found = objects.find(oid)
        return found.data if found is not None and found.kind == "blob" else None

    def blob(self, path: str) -> str:
        """Return the id of the git blob at *path*; empty when there is no file."""
        folder, _, name = path.rpartition("/")
        entry = self.entries(folder).get(name)
        return "" if entry is None or entry.is_folder else entry.oid

    def entries(self, folder: str) -> Tree:
        """Return what lies directly in *folder* ("" is the root); empty when it is no folder."""
        if folder not in self._trees:
            with self._open() as objects:
                self._trees[folder] = self._read_tree(objects, folder)
        return self._trees[folder]

    def agents(self) -> list[Agent]:
        """Return the live state of every agent, by name."""
        return self._all(AGENTS)

    def agent(self, name: str) -> Agent:
        """Return the live state of agent *name*; raise `UsageError` when there is none."""
        return self.manifest(AGENTS, name)

    def variants(self, agent: str = "") -> list[Variant]:
        """Return the variants of *agent*, or of all agents, by id."""
        # The id begins with the agent's name; the field decides, as one name may begin with another.
        return [variant for variant in self._all(VARIANTS, prefix=agent) if agent in ("", variant.agent)]

    def variant(self, name: str) -> Variant:
        """Return the variant *name*; raise `UsageError` when there is none."""
        return self.manifest(VARIANTS, name)

    def models(self) -> list[Model]:
        """Return every base model, by name."""
        return self._all(MODELS)

    def model(self, name: str) -> Model:
        """Return the base model *name*; raise `UsageError` when there is none."""
        return self.manifest(MODELS, name)

    def adapters(self) -> list[Adapter]:
        """Return every adapter, by id."""
        return self._all(ADAPTERS)

    def adapter(self, name: str) -> Adapter:
        """Return the adapter *name*; raise `UsageError` when there is none."""
        return self.manifest(ADAPTERS, name)

    def experiments(self) -> list[Experiment]:
        """Return every experiment, by id."""
        return self._all(EXPERIMENTS)

    def experiment(self, name: str) -> Experiment:
        """Return the experiment *name*; raise `UsageError` when there is none."""
        return self.manifest(EXPERIMENTS, name)

    def datasets(self, name: str = "") -> list[DatasetVersion]:
        """Return the versions of dataset *name*, or of all, by name and then oldest first."""
        with self._open():
            return [self.dataset(*version) for version in self.versions(name)]

    def dataset(self, name: str, version: str = "") -> DatasetVersion:
        """Return a version of dataset *name*, the newest by default; raise `UsageError` when there is none."""
        with self._open():
            known = self._versions(name)
            if not known:
                raise _unknown("dataset", name, self.entries(DATASETS), "cortex dataset ls")
            version = version or known[-1]
            path = dataset_path(name, version)
            if version not in known:
                raise _unknown(f"version of dataset '{name}' called", version, known, "cortex dataset ls")
            found = _parse(self.read(path), DatasetVersion, path)
        if (found.name, found.version) != (name, version):
            raise FaultsError(path, [Fault("name", f"is {found.name}/{found.version}, the file says {name}/{version}")])
        return found

    def versions(self, name: str = "") -> Sequence[tuple[str, str]]:
        """Return name and version of every version of dataset *name*, or of all; not read, oldest first."""
        with self._open():
            folders = [name] if name else sorted(key for key, item in self.entries(DATASETS).items() if item.is_folder)
            return [(folder, version) for folder in folders for version in self._versions(folder)]

    def names(self, shelf: Shelf[Any]) -> Sequence[str]:
        """Return the names of the manifests on *shelf*, sorted; not read."""
        return sorted(name.removesuffix(".toml") for name in self.entries(shelf.folder) if name.endswith(".toml"))

    def manifest(self, shelf: Shelf[T], name: str) -> T:
        """Return the manifest *name* of *shelf*; raise `UsageError` when there is none, `FaultsError` for its faults."""
        path = shelf.path(name)
        with self._open():
            data = self.read(path)
            if data is None:
                raise _unknown(shelf.word, name, self.names(shelf), shelf.hint)
        found = _parse(data, shelf.kind, path)
        if getattr(found, shelf.key) != name:
            raise FaultsError(path, [Fault(shelf.key, f"is {getattr(found, shelf.key)!r}, the file says {name!r}")])
        return found

    def _versions(self, name: str) -> Sequence[str]:
        # A dataset's folder may also hold its data and a README; versions are what is named like one.
        folder = f"{DATASETS}/{check_name('dataset', name)}"
        found = (_VERSION_FILE.fullmatch(file) for file in self.entries(folder))
        return sorted((match[1] for match in found if match), key=lambda version: int(version[1:]))

    def _all(self, shelf: Shelf[T], prefix: str = "") -> list[T]:
        with self._open():
            return [self.manifest(shelf, name) for name in self.names(shelf) if name.startswith(prefix)]

    @contextmanager
    def _open(self) -> Iterator[CatFile]:
        with self:
            if self._objects is None:
                raise IntegrityError("a snapshot was read outside of its block")
            yield self._objects

    def _forget(self) -> None:
        self._objects = None

    def _read_tree(self, objects: CatFile, folder: str) -> Tree:
        oid = f"{self.commit}^{{tree}}" if self.commit and not folder else self._folder_oid(folder)
        if not oid:
            return {}
        # What a commit names must be there: a corrupt folder read as an empty one would be committed as such.
        found = objects.load(oid)
        return parse_tree(found.data, digits=len(found.oid))

    def _folder_oid(self, folder: str) -> str:
        if not folder:
            return ""
        above, _, name = folder.rpartition("/")
        entry = self.entries(above).get(name)
        return entry.oid if entry is not None and entry.is_folder else ""

    def _walk(self, folder: str) -> Iterator[str]:
        for name, entry in self.entries(folder).items():
            path = f"{folder}/{name}" if folder else name
            if entry.is_folder:
                yield from self._walk(path)
            else:
                yield path

    # Last, as the name hides the built-in type from the annotations below it.
    def list(self, folder: str) -> list[str]:
        """Return the paths of all files below *folder*, at any depth, sorted."""
        with self._open():
            return sorted(self._walk(folder))


def _parse(data: bytes | None, kind: type[T], path: str) -> T:
    try:
        text = (data or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        raise FaultsError(path, [Fault("", f"not UTF-8: {error}")]) from error
    return parse_toml(text, kind, source=path)


def _unknown(word: str, name: str, known: Iterable[str], hint: str) -> CortexError:
    near = difflib.get_close_matches(name, list(known), n=1)
    found = f", did you mean '{near[0]}'?" if near else f"; known: {', '.join(sorted(known)[:8]) or 'none'}"
    return UsageError(f"there is no {word} '{name}'{found}", hint=hint, state="nothing was changed")

"""What is read to trace lineage: the commits that brought things in, keyed ids, and the journal behind a dataset."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from cortex_cli.domain.interactions import Origin
from cortex_cli.domain.manifests import DatasetVersion
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.history import read_log
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import keyed_id, open_key

__all__ = [
    "Fact",
    "Introduced",
    "Kind",
    "Node",
    "Trail",
    "describe_journal",
    "describe_source",
    "keep_known",
    "name_dataset",
    "open_keyed",
    "open_trail",
    "read_keyed_ids",
    "with_commit",
]


Kind = Literal[
    "interaction", "feedback", "source", "variant", "prompt", "model", "adapter", "dataset", "journal", "agent"
]
Fact = str | int | float | bool


# Files behind a dataset version that are shown one by one, those that gave most first.
_MOST_SOURCES = 10


_PAGE = 2000


class _Brief(msgspec.Struct):
    """Of an interaction only its names and where it was read: decoding no more is several times faster."""

    id: str
    aliases: tuple[str, ...] = ()
    origin: Origin = Origin("unknown")


_BRIEF = msgspec.json.Decoder(_Brief)


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing in a lineage: what it is, what is known of it, and the commit that brought it in.

    *missing* says that it is not there any more, and where that was noticed. *children* lead further
    in the direction of the tree.
    """

    kind: Kind
    id: str
    facts: dict[str, Fact] = {}
    commit: str = ""
    time: str = ""
    actor: str = ""
    missing: str = ""
    children: tuple["Node", ...] = ()


class Introduced(msgspec.Struct, frozen=True):
    """The commit that brought something in: its id, when and by whom."""

    commit: str = ""
    time: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Trail:
    """What is read to trace: a workspace at one commit, its journal, and the commits that introduced things."""

    place: Place
    journal: Journal
    snapshot: Snapshot
    introduced: dict[tuple[str, str], Introduced] = field(default_factory=dict)


def open_trail(place: Place, journal: Journal) -> Trail:
    """Read the history of *place* once and return what tracing needs."""
    trail = Trail(place, journal, place.registry.snapshot())
    for event in read_log(place.registry):
        # Newest first: what remains is the oldest commit that names it, the one that brought it in.
        name = event.target if event.action == "model" else event.to
        if event.action in {"train", "variant", "curate", "model"}:
            trail.introduced[event.action, name] = Introduced(event.commit, event.time, event.actor or event.author)
    return trail


def describe_source(origin: Origin, facts: dict[str, Fact]) -> Node:
    """Return where records were read: the file, with its digest and *facts*."""
    shown = {name: value for name, value in facts.items() if value}
    return Node(kind="source", id=origin.source, facts=keep_known({**shown, "digest": origin.digest}))


def describe_journal(trail: Trail, dataset: DatasetVersion) -> Node:
    """Count what of the journal lies behind *dataset*: read, judged, and how much of what was kept is still there."""
    first, last = dataset.journal
    after, keyed, lines = max(0, first - 1), open_keyed(trail), read_keyed_ids(trail, dataset)
    read = 0
    held: dict[str, str] = {}
    origins: Counter[Origin] = Counter()
    for _, body in trail.journal.bodies(agent=dataset.agent, after=after, until=last):
        record = _BRIEF.decode(body)
        read += 1
        if (name := keyed(record.id)) in lines:
            held.update(dict.fromkeys((record.id, *record.aliases), name))
            origins[msgspec.structs.replace(record.origin, line=0)] += 1
    kept = len(set(held.values()))
    judged = sum(record.target in held for _, record in trail.journal.feedback(after=after, until=last))
    facts: dict[str, Fact] = {"interactions": read, "kept": kept, "feedback_on_kept": judged}
    sources = tuple(describe_source(origin, {"kept": count}) for origin, count in origins.most_common(_MOST_SOURCES))
    missing = _missing(trail, dataset, lines - set(held.values()), len(lines))
    return Node(kind="journal", id=f"{first}..{last}", facts=facts, missing=missing, children=sources)


def _missing(trail: Trail, dataset: DatasetVersion, gone: frozenset[str], total: int) -> str:
    """Say what of the interactions behind *dataset* is not in the journal, and how much of that was forgotten."""
    if dataset.state == "revoked" and not total:
        return "which interactions it was made of was forgotten with its content"
    if not gone:
        return ""
    names = sorted(gone)
    pages = (names[start : start + _PAGE] for start in range(0, len(names), _PAGE))
    forgotten = sum(len(trail.journal.known(page)) for page in pages)  # a tombstone's id is the keyed id
    told = f", {forgotten:,} of them forgotten" if forgotten else ""
    return f"{len(gone):,} of {total:,} kept interactions are not in this journal{told}"


def with_commit(trail: Trail, key: tuple[str, str], node: Node) -> Node:
    """Return *node* with the commit that brought in the thing *key*, an action and a name."""
    found = trail.introduced.get(key, Introduced())
    return msgspec.structs.replace(node, commit=found.commit, time=found.time, actor=found.actor)


def read_keyed_ids(trail: Trail, dataset: DatasetVersion) -> frozenset[str]:
    """Return the keyed ids of *dataset*, merged ones too; empty when the object that lists them is gone."""
    if not trail.place.objects.has(dataset.lineage.digest, dataset.lineage.size):
        return frozenset()
    lines = trail.place.objects.open_lines(dataset.lineage.digest)
    return frozenset(name for line in lines for name in line.decode().split())


def open_keyed(trail: Trail) -> Callable[[str], str]:
    """Return the function that gives the keyed id of a name."""
    # A workspace without a key has keyed nothing yet, and a question must not make one.
    if not trail.place.workspace.key_path.exists():
        return lambda _name: ""
    key = open_key(trail.place.workspace)
    return lambda name: keyed_id(key, name)


def name_dataset(dataset: DatasetVersion) -> str:
    """Return the name of a version, `name/v0001`."""
    return f"{dataset.name}/{dataset.version}"


def keep_known(facts: dict[str, Fact]) -> dict[str, Fact]:
    """Return what says something of *facts*."""
    # What is live or unknown goes without saying, as every thing is until it is said otherwise.
    return {name: value for name, value in facts.items() if value not in ("", False, "live", "unknown")}

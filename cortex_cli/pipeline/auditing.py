"""What one asks of dataset versions: an audit in the light of the journal, drift against the parent, a data card."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal

import msgspec

from cortex_cli.curate.audit import Audit, Reference, audit_examples
from cortex_cli.curate.card import render_card
from cortex_cli.curate.drift import Drift, measure_drift
from cortex_cli.curate.normal import hash64
from cortex_cli.curate.poisoning import BurstLimits, Whose, hash_source
from cortex_cli.curate.profiles import Profile, profile_examples
from cortex_cli.curate.verdicts import Verdicts, is_accepted
from cortex_cli.curate.versions import SEALED, read_examples
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.manifests import DatasetVersion
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.actions import change_dataset_state
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import keyed_id, open_key

__all__ = ["audit_dataset", "describe_dataset", "find_drift", "move_dataset", "open_parts", "read_open"]


class _Sources:
    """Where examples came from: hashes of origin and user by keyed interaction id; 24 bytes each in memory."""

    def __init__(self) -> None:
        self._rows: tuple[array[int], ...] = (array("Q"), array("Q"), array("Q"))

    def add(self, keyed: str, origin: str, user: str) -> None:
        """Remember whose the interaction called *keyed* is."""
        values = (hash64(keyed), hash_source(origin) if origin else 0, hash_source(user) if user else 0)
        for column, value in zip(self._rows, values, strict=True):
            column.append(value)

    def sort(self) -> None:
        """Make ready for `find`."""
        order = sorted(range(len(self._rows[0])), key=self._rows[0].__getitem__)
        self._rows = tuple(array("Q", (column[at] for at in order)) for column in self._rows)

    def find(self, keyed: str) -> Whose:
        """Return whose the interaction called *keyed* is; nobody's when it is not in the journal any more."""
        name = hash64(keyed)
        row = bisect_left(self._rows[0], name)
        if row == len(self._rows[0]) or self._rows[0][row] != name:
            return Whose()
        return Whose(self._rows[1][row], self._rows[2][row])


def open_parts(version: DatasetVersion) -> list[str]:
    """Return the parts of *version* that anybody may read: all but the sealed one."""
    return [name for name in sorted(version.parts) if name != SEALED]


def read_open(place: Place, version: DatasetVersion) -> Iterator[Example]:
    """Yield the examples of the open parts of *version*, each once: what repeats one for a preference is left out."""
    return (example for example in read_examples(place.objects, version, "") if example.source != "pair")


def audit_dataset(place: Place, version: DatasetVersion, limits: BurstLimits | None = None) -> Audit:
    """Audit the open parts of *version* against the interactions of its agent, up to where its journal range ends.

    Names of suspected sources are looked up in the journal; in memory about 150 bytes per interaction.
    """
    reference, sources = _read_journal(place, version)
    audit = audit_examples(
        lambda: read_open(place, version),
        reference=reference,
        whose=sources.find,
        limits=limits or BurstLimits(),
    )
    wanted = {each.source for each in audit.suspects} | {each.source for each in audit.ordered}
    names = _name_sources(place, version, wanted) if wanted else {}
    replace = msgspec.structs.replace
    return replace(
        audit,
        suspects=tuple(replace(each, name=names.get(each.source, "")) for each in audit.suspects),
        ordered=tuple(replace(each, name=names.get(each.source, "")) for each in audit.ordered),
    )


def find_drift(place: Place, before: DatasetVersion, after: DatasetVersion) -> Drift:
    """Measure how far the open parts of *after* lie from those of *before*."""
    shared = _count_shared(place, before, after)
    return measure_drift(_profile(place, before), _profile(place, after), shared=shared)


def describe_dataset(place: Place, snapshot: Snapshot, version: DatasetVersion, *, licence: str) -> str:
    """Render the data card of *version*: manifest, audit, and drift against its parent where that can be read."""
    parent = _find_parent(place, snapshot, version)
    drift = find_drift(place, parent, version) if parent is not None else None
    return render_card(version, audit_dataset(place, version), drift, licence=licence)


def move_dataset(
    place: Place, version: DatasetVersion, state: Literal["live", "quarantined"], reason: str
) -> tuple[DatasetVersion, str]:
    """Quarantine *version*, or release it, for *reason*; return it as it is now, and the commit, '' for no change."""
    if state == "quarantined" and not reason.strip():
        raise UsageError(
            "a quarantine needs a reason",
            hint=f"cortex dataset quarantine {version.name}/{version.version} --reason TEXT",
            state="nothing was changed",
        )
    before = place.registry.git.head()
    commit = change_dataset_state(place.registry, f"{version.name}/{version.version}", state, reason)
    now = place.registry.snapshot().dataset(version.name, version.version)
    return now, commit if commit != before else ""


def _read_journal(place: Place, version: DatasetVersion) -> tuple[Reference, _Sources]:
    reference, sources = Reference(), _Sources()
    key, until = open_key(place.workspace), version.journal[1]
    with Journal(place.workspace.journal_path) as journal:
        # Feedback that came later judges the same interactions, so all of it counts.
        verdicts = Verdicts(record for _, record in journal.feedback())
        for _, interaction in journal.interactions(agent=version.agent, until=until):
            reference.add(interaction, accepted=is_accepted(interaction, verdicts.on(interaction)))
            sources.add(keyed_id(key, interaction.id), interaction.origin.source, interaction.user)
    sources.sort()
    return reference, sources


def _name_sources(place: Place, version: DatasetVersion, wanted: set[int]) -> dict[int, str]:
    names: dict[int, str] = {}
    with Journal(place.workspace.journal_path) as journal:
        for _, interaction in journal.interactions(agent=version.agent, until=version.journal[1]):
            for name in (interaction.origin.source, interaction.user):
                if name and hash_source(name) in wanted:
                    names[hash_source(name)] = name
    return names


def _profile(place: Place, version: DatasetVersion) -> Profile:
    rows = sum(version.parts[part].rows for part in open_parts(version))
    stored = Profile(rows, version.profile)
    # What the manifest counts may include the sealed part; only a profile of the same examples can be compared.
    if version.profile and all(sum(counts.values()) == rows for counts in version.profile.values()):
        return stored
    return profile_examples(read_open(place, version))


def _count_shared(place: Place, before: DatasetVersion, after: DatasetVersion) -> int:
    import numpy as np

    ids = (array("Q", (hash64(example.id) for example in read_open(place, each))) for each in (before, after))
    first, second = (np.frombuffer(each, dtype=np.uint64) if each else np.empty(0, np.uint64) for each in ids)
    return int(np.intersect1d(first, second).size)


def _find_parent(place: Place, snapshot: Snapshot, version: DatasetVersion) -> DatasetVersion | None:
    name, _, number = version.parent.partition("/")
    if (name, number) not in snapshot.versions(name):
        return None
    parent = snapshot.dataset(name, number)
    held = all(place.objects.has(parent.parts[part].digest) for part in open_parts(parent))
    return parent if held else None

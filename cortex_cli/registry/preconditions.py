"""What must hold before a state changes; each check raises with what was found and changes nothing."""

import msgspec

from cortex_cli.domain.errors import ConflictError, IntegrityError, UsageError
from cortex_cli.domain.manifests import Adapter, Agent, Experiment, Variant
from cortex_cli.registry.history import Event, find_mover
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.store.objects import ObjectStore

__all__ = [
    "check_blobs",
    "check_contestants",
    "check_derived",
    "check_expected",
    "check_same_definition",
    "cited_evidence",
    "own_variant",
    "usable_variant",
]

_UNCHANGED = "nothing was changed"


def own_variant(snapshot: Snapshot, agent: str, name: str) -> Variant:
    """Return variant *name*; raise `UsageError` when there is none or it belongs to another agent."""
    variant = snapshot.variant(name)
    if variant.agent != agent:
        raise UsageError(
            f"variant '{name}' belongs to agent '{variant.agent}', not '{agent}'",
            hint="cortex status",
            state=_UNCHANGED,
        )
    return variant


def usable_variant(snapshot: Snapshot, state: Agent, name: str) -> Variant:
    """Return variant *name* if it may become the champion: not the present one, its adapter not revoked."""
    variant = own_variant(snapshot, state.agent, name)
    if name == state.champion:
        raise UsageError(f"'{name}' is already the champion of '{state.agent}'", hint="cortex status", state=_UNCHANGED)
    if variant.adapter and snapshot.adapter(variant.adapter).state == "revoked":
        raise ConflictError(
            f"variant '{name}' uses adapter '{variant.adapter}', which is revoked",
            hint=f"cortex log {state.agent}",
            state=_UNCHANGED,
        )
    return variant


def check_expected(registry: Registry, state: Agent, expect: str) -> None:
    """Raise `ConflictError` when the champion is not *expect*: it says who moved it, when and by which commit."""
    if not expect or state.champion == expect:
        return
    mover = find_mover(registry, state.agent, state.champion)
    moved = f", moved {mover.time} by {_who(mover)} in commit {mover.commit[:12]}" if mover else ""
    raise ConflictError(
        f"champion of '{state.agent}' changed: expected '{expect}', found '{state.champion or 'none'}'{moved}",
        hint=f"cortex log {state.agent}",
        state=_UNCHANGED,
    )


def _who(event: Event) -> str:
    return event.author if event.actor in ("", "human") else event.actor


def check_blobs(adapter: Adapter, objects: ObjectStore) -> None:
    """Raise `IntegrityError` naming the first file of *adapter* that is missing or corrupt in *objects*."""
    for blob in adapter.files:
        whole = objects.has(blob.digest, blob.size) and objects.verify(blob.digest)
        if not whole:
            found = "corrupt" if objects.has(blob.digest) else "missing"
            raise IntegrityError(
                f"file '{blob.name}' ({blob.digest}) of adapter '{adapter.id}' is {found}",
                hint="cortex fsck",
                state=_UNCHANGED,
            )


def cited_evidence(snapshot: Snapshot, state: Agent, variant: str, name: str) -> str:
    """Return the evidence digest of experiment *name*; raise `UsageError` when it does not speak for *variant*."""
    experiment = snapshot.experiment(name)
    if experiment.agent != state.agent or variant not in experiment.challengers:
        raise UsageError(f"experiment '{name}' did not try '{variant}' for '{state.agent}'", state=_UNCHANGED)
    if experiment.verdict is None:
        raise UsageError(f"experiment '{name}' has no verdict yet", hint="cortex ab status", state=_UNCHANGED)
    return experiment.evidence.digest if experiment.evidence else ""


def check_contestants(registry: Registry, snapshot: Snapshot, agent: Agent, experiment: Experiment) -> None:
    """Raise when *experiment* cannot begin: another champion, an unusable challenger, another one running."""
    check_expected(registry, agent, experiment.champion)
    for challenger in experiment.challengers:
        usable_variant(snapshot, agent, challenger)
    if agent.experiment not in ("", experiment.id):
        raise ConflictError(
            f"experiment '{agent.experiment}' of agent '{agent.agent}' is running",
            hint="cortex ab status",
            state=_UNCHANGED,
        )


def check_same_definition(begun: Experiment, ended: Experiment) -> None:
    """Raise `ConflictError` unless *ended* is the running experiment *begun*, now with its end."""
    open_fields = {"state": begun.state, "evidence": begun.evidence, "verdict": begun.verdict, "ended": begun.ended}
    if begun.state != "running" or ended.state == "running":
        raise ConflictError(
            f"experiment '{begun.id}' is {begun.state}, it cannot become {ended.state}",
            hint="cortex ab status",
            state=_UNCHANGED,
        )
    if msgspec.structs.replace(ended, **open_fields) != begun:
        raise ConflictError(f"experiment '{begun.id}' began with another definition", state=_UNCHANGED)


def check_derived(word: str, given: str, derived: str) -> None:
    """Raise `IntegrityError` when the id *given* is not the one that the content says."""
    if given != derived:
        raise IntegrityError(f"{word} '{given}' is not what its content says: '{derived}'", state=_UNCHANGED)

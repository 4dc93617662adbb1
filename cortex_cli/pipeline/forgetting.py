"""Forgetting: content goes for good, tombstones stay, and what was learned from it is marked.

The order is the promise: an intent first, then one commit that marks what descends, then objects and runs, then
the journal, then the intent goes. Each step can be done twice, so after a kill `resume_forgetting` completes it.
"""

import secrets
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import msgspec

from cortex_cli.domain.errors import CortexError, UsageError
from cortex_cli.domain.manifests import Agent
from cortex_cli.pipeline.descent import Descent, find_descent, scrub_runs, sweep_objects
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.selecting import Named, Selection, Selectors, select_interactions
from cortex_cli.registry.revoking import Descent as Marked
from cortex_cli.registry.revoking import revoke
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.registry.trailers import check_value
from cortex_cli.store.atomic import fsync_folder, write_atomic
from cortex_cli.store.clock import rfc3339
from cortex_cli.store.journal import Journal
from cortex_cli.store.locks import hold
from cortex_cli.store.settings import Settings
from cortex_cli.store.workspace import keyed_id, open_key

__all__ = [
    "LOCK",
    "Forgotten",
    "Selectors",
    "Served",
    "apply_retention",
    "find_unfinished",
    "forget",
    "plan_forgetting",
    "resume_forgetting",
]

# Held while content goes: a curation that holds it too cannot bring back what it had read before.
LOCK = "forget.lock"
_INTENT = "forgetting.json"
_RETENTION = "retention"
_SHOWN = 20


class Served(msgspec.Struct, frozen=True):
    """A variant that still answers, or could by one command, with an adapter that is revoked."""

    agent: str
    role: str
    variant: str
    adapter: str


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was forgotten, or would be: counts, never text.

    *interactions* were named; *carriers*, other turns of the same episodes, held their text and went too;
    *kept_carriers* hold it and stay, as only older ones were asked for. *objects* and *files* went with *runs*;
    *sources* are the files that the records were read from, which are not touched. *rebuild* are the commands
    that make anew what was marked.
    """

    interactions: int = 0
    carriers: int = 0
    kept_carriers: tuple[str, ...] = ()
    feedback: int = 0
    placeholders: int = 0
    datasets: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    objects: int = 0
    runs: int = 0
    files: int = 0
    served: tuple[Served, ...] = ()
    rebuild: tuple[str, ...] = ()
    sources: dict[str, int] = {}
    commit: str = ""
    reason: str = ""
    dry_run: bool = False


class _Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What is being forgotten, on disk until it is: *names* are aliases and episodes."""

    run: str
    time: str
    reason: str
    named: int
    ids: tuple[str, ...]
    names: tuple[str, ...]
    refused: tuple[str, ...]
    kept: tuple[str, ...]
    sources: dict[str, int]
    descent: Descent = Descent()
    feedback: int = 0
    placeholders: int = 0


def plan_forgetting(place: Place, selectors: Selectors) -> Forgotten:
    """Return what `forget` would do; nothing is changed."""
    with Journal(place.workspace.journal_path) as journal, place.registry.snapshot() as snapshot:
        key = _key(place)
        selection = _select(journal, selectors, key)
        judged = {record.id for each in selection.gone for record in journal.feedback_on(each.id)}
        descent = find_descent(place, snapshot, {keyed_id(key, each.id) for each in selection.gone})
        intent = _intend(place, selection, "")
        done = _report(snapshot, msgspec.structs.replace(intent, descent=descent, feedback=len(judged)))
    return msgspec.structs.replace(done, objects=len(descent.objects), dry_run=True)


def forget(place: Place, selectors: Selectors, *, reason: str = "", wait: float = 30.0) -> Forgotten:
    """Forget what *selectors* name and everything that holds its content; *reason* is recorded in git.

    Raises `UsageError` when nothing is named or *reason* is not one line, `ConflictError` when an earlier
    forgetting is unfinished; then nothing is changed. After a kill, `resume_forgetting` completes.
    """
    check_value("the reason", reason)
    with hold(place.workspace.locks_root / LOCK, purpose="forget", wait=wait):
        _resume(place, wait)
        with Journal(place.workspace.journal_path, wait=wait) as journal:
            selection = _select(journal, selectors, _key(place))
        return _carry_out(place, _intend(place, selection, reason), wait) if selection.named else Forgotten()


def resume_forgetting(place: Place, *, wait: float = 30.0) -> Forgotten | None:
    """Complete a forgetting that was cut off and return what it did; None when there is none."""
    with hold(place.workspace.locks_root / LOCK, purpose="forget", wait=wait):
        return _resume(place, wait)


def find_unfinished(place: Place) -> str:
    """Return since when a forgetting is unfinished; '' when none is."""
    intent = _read_intent(place)
    return intent.time if intent else ""


def apply_retention(place: Place, settings: Settings, *, wait: float = 30.0) -> Forgotten:
    """Forget what is older than *settings* allow, agent by agent, in one act; a quick look when nothing is.

    Age is counted from what a record tells, or from its arrival where it tells none.
    """
    days = settings.retention_days
    if not days or not place.workspace.journal_path.exists():
        return Forgotten()
    with hold(place.workspace.locks_root / LOCK, purpose="apply retention", wait=wait):
        _resume(place, wait)
        with Journal(place.workspace.journal_path, wait=wait) as journal:
            agents = {agent: days.get(agent, days.get("default", 0)) for agent in journal.volumes()}
            found = [
                select_interactions(journal, Selectors(agent=agent, before=_before(place, limit)), b"")
                for agent, limit in agents.items()
                if limit
            ]
        selection = _join(found)
        return _carry_out(place, _intend(place, selection, _RETENTION), wait) if selection.named else Forgotten()


def _select(journal: Journal, selectors: Selectors, key: bytes) -> Selection:
    found = select_interactions(journal, selectors, key)
    name = selectors.interaction
    if name and not found.named and not journal.called(name) and journal.tombstone(key, name) is None:
        raise UsageError(
            f"there is no interaction '{name}' in the journal", hint="cortex why ID", state="nothing was changed"
        )
    return found


def _join(found: Iterable[Selection]) -> Selection:
    named: list[Named] = []
    kept: list[str] = []
    for each in found:
        named += each.named
        kept += each.kept
    return Selection(tuple(named), kept=tuple(kept))


def _before(place: Place, days: int) -> str:
    return rfc3339(place.now() - timedelta(days=days))


def _intend(place: Place, selection: Selection, reason: str) -> _Intent:
    gone = selection.gone
    return _Intent(
        run=f"forget-{secrets.token_hex(6)}",
        time=place.time(),
        reason=reason,
        named=len(selection.named),
        ids=tuple(each.id for each in gone),
        names=tuple(sorted({alias for each in gone for alias in each.aliases})),
        refused=selection.names,
        kept=selection.kept[:_SHOWN],
        sources=dict(sorted(Counter(each.source for each in gone).items())),
    )


def _resume(place: Place, wait: float) -> Forgotten | None:
    intent = _read_intent(place)
    return _carry_out(place, intent, wait) if intent else None


def _carry_out(place: Place, intent: _Intent, wait: float) -> Forgotten:
    path = _intent_path(place)
    keyed = {keyed_id(_key(place), name) for name in intent.ids}
    snapshot = place.registry.snapshot()
    with snapshot:
        # What was found before a kill is in the intent; what has come since is found now.
        intent = msgspec.structs.replace(intent, descent=intent.descent.join(find_descent(place, snapshot, keyed)))
    is_new = not path.exists()
    write_atomic(path, msgspec.json.encode(intent), mode=0o600)
    try:
        commit = _mark(place, intent)
    except CortexError:
        if is_new:  # nothing has been done yet, so nothing is left unfinished
            _drop(path)
        raise
    objects = sum(place.objects.delete(digest) for digest in intent.descent.objects)
    with place.registry.snapshot() as marked:
        objects += sweep_objects(place, marked, keyed)
    # What a teacher answered names the example and the keyed id of who asked.
    named = {*intent.ids, *intent.names, *keyed, *intent.descent.examples}
    runs, files = scrub_runs(place, named, set(intent.descent.examples))
    with Journal(place.workspace.journal_path, wait=wait) as journal:
        erased = journal.erase(
            intent.ids, names=intent.refused, reason=intent.reason, time=intent.time, key=_key(place)
        )
    _drop(path)
    with place.registry.snapshot() as after:
        told = msgspec.structs.replace(intent, feedback=erased.feedback, placeholders=erased.placeholders)
        done = _report(after, told)
    return msgspec.structs.replace(done, objects=objects, runs=runs, files=files, commit=commit)


def _mark(place: Place, intent: _Intent) -> str:
    marked = Marked(intent.descent.datasets, intent.descent.adapters)
    return revoke(place.registry, marked, reason=intent.reason, run=intent.run) if any(marked) else ""


def _report(snapshot: Snapshot, intent: _Intent) -> Forgotten:
    descent = intent.descent
    return Forgotten(
        interactions=intent.named,
        carriers=len(intent.ids) - intent.named,
        kept_carriers=intent.kept,
        feedback=intent.feedback,
        placeholders=intent.placeholders,
        datasets=descent.datasets,
        adapters=descent.adapters,
        served=tuple(each for agent in snapshot.agents() for each in _served(snapshot, agent, set(descent.adapters))),
        rebuild=tuple(_rebuild(snapshot, descent)),
        sources=intent.sources,
        reason=intent.reason,
    )


def _served(snapshot: Snapshot, agent: Agent, adapters: set[str]) -> list[Served]:
    roles = {agent.previous: "previous", **dict.fromkeys(agent.challengers, "challenger"), agent.champion: "champion"}
    found = [(role, snapshot.variant(name)) for name, role in roles.items() if name]
    return [Served(agent.agent, role, each.id, each.adapter) for role, each in found if each.adapter in adapters]


def _rebuild(snapshot: Snapshot, descent: Descent) -> list[str]:
    """Return the commands that make anew what was marked, datasets first, each once."""
    datasets = [each for each in snapshot.datasets() if f"{each.name}/{each.version}" in descent.datasets]
    adapters = [each for each in snapshot.adapters() if each.id in descent.adapters]
    commands = [f"cortex curate {each.recipe}" for each in datasets if each.recipe]
    commands += [f"cortex train {each.recipe}" for each in adapters if each.recipe]
    return list(dict.fromkeys(commands))


def _key(place: Place) -> bytes:
    return open_key(place.workspace)


def _intent_path(place: Place) -> Path:
    return place.workspace.private / _INTENT


def _read_intent(place: Place) -> _Intent | None:
    try:
        return msgspec.json.decode(_intent_path(place).read_bytes(), type=_Intent)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise UsageError(
            f"'{_intent_path(place)}' is not an intent of this Cortex: {error}",
            hint="cortex doctor",
            state="a forgetting is unfinished, nothing was changed now",
        ) from error


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)
    fsync_folder(path.parent)

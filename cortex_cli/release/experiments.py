"""An experiment from its first row to what it moved: begin, record, conclude, apply."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from cortex_cli.domain.digests import content_id
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.manifests import Experiment, Policy
from cortex_cli.registry.actions import Moved, add_experiment, finish_experiment, promote
from cortex_cli.registry.repository import Registry
from cortex_cli.release.ledger import Row, find_bad_row, render_rows, write_ledger
from cortex_cli.release.policies import check_policy
from cortex_cli.store.atomic import fsync_folder, report_disk
from cortex_cli.store.clock import Clock, rfc3339
from cortex_cli.store.locks import hold
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

__all__ = [
    "Applied",
    "Concluded",
    "Opening",
    "apply_verdict",
    "conclude",
    "open_experiment",
    "read_recorded",
    "record",
    "stop_experiment",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What an experiment compares, and how. *replayed*: its judgements come from reference answers."""

    agent: str
    champion: str
    challengers: tuple[str, ...]
    mode: Literal["shadow", "split"] = "shadow"
    policy: Policy = field(default_factory=Policy)
    salt: str = ""
    replayed: bool = False


class Concluded(NamedTuple):
    """An experiment with its verdict, and the commit that holds it."""

    experiment: Experiment
    commit: str


class Applied(NamedTuple):
    """What a verdict came to, and the promotion; None when nothing had to move."""

    action: Literal["promoted", "held"]
    moved: Moved | None


def open_experiment(registry: Registry, opening: Opening, now: Clock) -> Experiment:
    """Commit a running experiment and return it.

    Raises `UsageError` for contestants that make no contest, `ConflictError` when the champion is
    another one by now or another experiment is running. On any error nothing is changed.
    """
    _check_contest(opening)
    check_policy(opening.policy, f"policy '{opening.policy.name}'")
    started = rfc3339(now())
    content = [opening.agent, opening.champion, opening.challengers, opening.mode, opening.policy, opening.salt]
    experiment = Experiment(
        id=content_id("ab", [*content, started]),
        agent=opening.agent,
        champion=opening.champion,
        challengers=opening.challengers,
        mode=opening.mode,
        policy=opening.policy,
        salt=opening.salt,
        replayed=opening.replayed,
        started=started,
    )
    add_experiment(registry, experiment)
    return experiment


def record(workspace: Workspace, experiment: Experiment, rows: Sequence[Row]) -> int:
    """Append *rows* to the experiment's open ledger and return how many were new; durable when it returns.

    A unit that is there already is left as it is, so a shadow run that was killed can be run again.
    Raises `FaultsError` naming the first bad row; then nothing is written.
    """
    path = _open_ledger(workspace, experiment)
    with hold(workspace.locks_root / f"{experiment.id}.lock", purpose="record outcomes"):
        kept = read_recorded(workspace, experiment)
        known = {row.unit for row in kept}
        fresh = [row for row in rows if row.unit not in known]
        data = b"".join(render_rows(fresh, after=kept))
        with report_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _append(path, data)
    return len(fresh)


def read_recorded(workspace: Workspace, experiment: Experiment) -> list[Row]:
    """Return the rows of the experiment's open ledger; a line that a kill left half written is not one.

    Raises `IntegrityError` naming the first row that is not what was written.
    """
    path = _open_ledger(workspace, experiment)
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    bad = find_bad_row(lines)
    if bad:
        raise IntegrityError(
            f"'{path}': row {bad} is not what was recorded",
            hint=f"cortex ab stop {experiment.id}",
            state="nothing was changed",
        )
    decoder = msgspec.json.Decoder(Row)
    return [decoder.decode(line) for line in lines]


def conclude(
    registry: Registry, objects: ObjectStore, experiment: Experiment, rows: Iterable[Row], now: Clock
) -> Concluded:
    """Judge *rows*, keep them as the evidence object, then commit experiment and verdict.

    The object is durable before the commit names it; a kill between leaves an object that nothing
    names. Raises `ConflictError` when the experiment is not running any more.
    """
    from cortex_cli.release.judging import judge

    kept = list(rows)
    evidence = write_ledger(objects, kept)
    verdict = judge(experiment, kept)
    decided = msgspec.structs.replace(
        experiment, state="decided", evidence=evidence, verdict=verdict, ended=rfc3339(now())
    )
    return Concluded(decided, finish_experiment(registry, decided))


def apply_verdict(registry: Registry, experiment: Experiment) -> Applied:
    """Promote the challenger that the verdict of *experiment* speaks for, or leave the champion.

    One commit that cites the evidence, made only while the champion is the one compared with:
    `ConflictError` otherwise. Done already, it is not done again.
    """
    verdict = experiment.verdict
    if verdict is None:
        raise UsageError(f"experiment '{experiment.id}' has no verdict yet", hint="cortex ab status")
    if verdict.outcome != "promote":
        return Applied("held", None)
    if registry.snapshot().agent(experiment.agent).champion == verdict.challenger:
        return Applied("promoted", None)
    moved = promote(
        registry,
        experiment.agent,
        verdict.challenger,
        expect=experiment.champion,
        evidence=experiment.evidence.digest if experiment.evidence else "",
        experiment=experiment.id,
    )
    return Applied("promoted", moved)


def stop_experiment(registry: Registry, name: str, now: Clock) -> Concluded:
    """Commit that experiment *name* was stopped without a verdict; its challengers leave the agent's state.

    What it recorded stays in the workspace. Raises `ConflictError` when it is not running.
    """
    experiment = registry.snapshot().experiment(name)
    stopped = msgspec.structs.replace(experiment, state="stopped", ended=rfc3339(now()))
    if experiment.state == "stopped":
        stopped = experiment
    return Concluded(stopped, finish_experiment(registry, stopped))


def _check_contest(opening: Opening) -> None:
    named = opening.challengers
    checks = {
        f"agent '{opening.agent}' has no challenger to try": bool(named),
        f"agent '{opening.agent}' has no champion to compare with": bool(opening.champion),
        f"'{opening.champion}' cannot challenge itself": opening.champion not in named,
        f"a challenger is named twice in {', '.join(named)}": len(set(named)) == len(named),
    }
    fault = next((told for told, fine in checks.items() if not fine), "")
    if fault:
        raise UsageError(fault, hint="cortex status", state="nothing was changed")


def _open_ledger(workspace: Workspace, experiment: Experiment) -> Path:
    return workspace.runs_root / experiment.id / "ledger.jsonl"


def _append(path: Path, data: bytes) -> None:
    """Write *data* behind the last whole line, in place of a half-written one, and make it durable."""
    existed = path.exists()
    end = path.read_bytes().rfind(b"\n") + 1 if existed else 0
    with path.open("r+b" if existed else "wb") as stream:
        stream.seek(end)
        stream.truncate()
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    if not existed:
        fsync_folder(path.parent)

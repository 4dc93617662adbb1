"""Verdicts recomputed: does the ledger that git names still say what git says it said?"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import CortexError, IntegrityError
from cortex_cli.domain.manifests import Experiment, Verdict
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.release.judging import judge
from cortex_cli.release.ledger import find_bad_row, read_ledger
from cortex_cli.stats.decision import METHOD
from cortex_cli.store.objects import ObjectStore

__all__ = ["Checked", "verify_all", "verify_experiment"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What verifying one experiment found; *detail* says why, in words.

    *other-method*: decided by another version of the rule, so the ledger was checked but not the verdict.
    """

    experiment: str
    state: Literal["verified", "differs", "missing", "corrupt", "other-method", "no-verdict"]
    detail: str
    outcome: str = ""

    @property
    def holds(self) -> bool:
        """Say whether nothing speaks against the record."""
        return self.state in ("verified", "no-verdict", "other-method")


def verify_all(snapshot: Snapshot, objects: ObjectStore) -> list[Checked]:
    """Verify every experiment of *snapshot*, by id."""
    with snapshot:
        return [_verify(experiment, objects) for experiment in snapshot.experiments()]


def verify_experiment(snapshot: Snapshot, objects: ObjectStore, name: str) -> Checked:
    """Recompute the verdict of experiment *name* from its ledger and compare it byte for byte.

    Raises `UsageError` when there is no such experiment; what is wrong with one is in the answer.
    """
    return _verify(snapshot.experiment(name), objects)


def _verify(experiment: Experiment, objects: ObjectStore) -> Checked:
    verdict, evidence = experiment.verdict, experiment.evidence
    if verdict is None or evidence is None:
        return Checked(experiment.id, "no-verdict", f"is {experiment.state}, without a verdict to check")
    if not objects.has(evidence.digest):
        return Checked(experiment.id, "missing", f"its ledger '{evidence.digest}' is not here", verdict.outcome)
    try:
        rows = list(read_ledger(objects, evidence.digest))
    except IntegrityError as error:
        return Checked(experiment.id, "corrupt", _tell_corrupt(objects, evidence.digest, error), verdict.outcome)
    if verdict.method != METHOD:
        told = f"its ledger is whole; decided with method '{verdict.method}', this version computes '{METHOD}'"
        return Checked(experiment.id, "other-method", told, verdict.outcome)
    return _compare(experiment, verdict, judge(experiment, rows))


def _compare(experiment: Experiment, verdict: Verdict, found: Verdict) -> Checked:
    if canonical_json(found) == canonical_json(verdict):
        return Checked(experiment.id, "verified", f"{verdict.tasks:,} tasks give the same verdict", verdict.outcome)
    fields = [name for name in msgspec.structs.asdict(found) if getattr(found, name) != getattr(verdict, name)]
    told = "; ".join(
        f"{name} is {getattr(verdict, name)!r}, the ledger gives {getattr(found, name)!r}" for name in fields
    )
    return Checked(experiment.id, "differs", told, verdict.outcome)


def _tell_corrupt(objects: ObjectStore, digest: str, error: CortexError) -> str:
    lines = objects.path(digest).read_bytes().split(b"\n")
    ended = lines.pop() == b""
    bad = find_bad_row(lines) or (0 if ended else len(lines) + 1)
    if bad:
        return f"its ledger was edited: row {bad} is the first that is not what was written"
    return f"its ledger was replaced: {error.message}"

"""`cortex verify`: recorded verdicts and their evidence."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.domain.manifests import Experiment, Policy
from cortex_cli.registry.repository import Registry
from cortex_cli.release.experiments import Opening, conclude, open_experiment
from cortex_cli.release.ledger import Row, Score
from cortex_cli.store.objects import ObjectStore
from cortex_cli.store.workspace import Workspace

if TYPE_CHECKING:
    from tests.cli.conftest import Program


@pytest.fixture
def decided(workspace: Path, ids: tuple[str, str]) -> Experiment:
    registry = Registry(Workspace(workspace))
    store = ObjectStore(registry.workspace.objects_root)
    policy = Policy(min_tasks=20)
    opening = Opening(agent="dispatch", champion=ids[0], challengers=(ids[1],), policy=policy)
    experiment = open_experiment(registry, opening, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    rows = [
        Row(unit=f"u{number}", scores={ids[0]: Score(success=float(number % 2)), ids[1]: Score(success=1.0)})
        for number in range(40)
    ]
    return conclude(registry, store, experiment, rows, lambda: datetime(2026, 1, 3, tzinfo=UTC)).experiment


def test_a_verdict_that_follows_from_its_ledger_ends_with_0(cortex: "Program", decided: Experiment) -> None:
    outcome = cortex("verify")

    assert outcome.code == 0
    assert outcome.out == f"{decided.id} (promote): verified\n  40 tasks give the same verdict\n"


def test_an_edited_ledger_ends_with_13_and_names_the_row(
    cortex: "Program", workspace: Path, decided: Experiment
) -> None:
    assert decided.evidence is not None
    path = ObjectStore(Workspace(workspace).objects_root).path(decided.evidence.digest)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data.replace(b'"success":0.0', b'"success":1.0', 1))

    page = cortex("verify", decided.id)
    machine = cortex("verify", "--json")

    assert page.code == machine.code == 13
    assert "row 1 is the first that is not what was written" in page.out
    assert page.out.endswith("next: cortex fsck\n")
    assert machine.data["holds"] is False
    assert machine.data["checked"][0]["state"] == "corrupt"
    assert machine.out.startswith('{"schema":"cortex.verify/1","ok":false,')


def test_a_workspace_without_experiments_has_nothing_to_verify(cortex: "Program", workspace: Path) -> None:
    outcome = cortex("verify")

    assert (outcome.code, outcome.out) == (0, "no experiment has been recorded\n")


def test_an_unknown_experiment_ends_with_2(cortex: "Program", workspace: Path) -> None:
    assert cortex("verify", "ab-none").code == 2

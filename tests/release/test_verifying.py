"""Verdicts recomputed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import pytest

from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.manifests import Experiment
from cortex_cli.registry.actions import render_manifest
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.snapshot import EXPERIMENTS
from cortex_cli.registry.trailers import Trailers
from cortex_cli.release.experiments import conclude
from cortex_cli.release.verifying import verify_all, verify_experiment
from cortex_cli.store.clock import Clock
from cortex_cli.store.objects import ObjectStore

if TYPE_CHECKING:
    from tests.release.conftest import Pairs


@pytest.fixture
def decided(
    registry: Registry, objects: ObjectStore, experiment: Experiment, pairs: "Pairs", noon: Clock
) -> Experiment:
    return conclude(registry, objects, experiment, pairs.better(200), noon).experiment


def edit_ledger(objects: ObjectStore, experiment: Experiment, change: Callable[[bytes], bytes]) -> None:
    assert experiment.evidence is not None
    path = objects.path(experiment.evidence.digest)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(change(data))


def test_a_verdict_follows_from_its_ledger(registry: Registry, objects: ObjectStore, decided: Experiment) -> None:
    found = verify_experiment(registry.snapshot(), objects, decided.id)

    assert (found.state, found.outcome, found.holds) == ("verified", "promote", True)
    assert found.detail == "200 tasks give the same verdict"


def test_a_manifest_that_was_edited_differs_and_says_where(
    registry: Registry, objects: ObjectStore, decided: Experiment
) -> None:
    assert decided.verdict is not None
    forged = msgspec.structs.replace(decided, verdict=msgspec.structs.replace(decided.verdict, wins=99))
    path = EXPERIMENTS.path(decided.id)
    registry.commit(Trailers("edit", decided.id), {path: render_manifest(forged)})

    found = verify_experiment(registry.snapshot(), objects, decided.id)

    assert (found.state, found.holds) == ("differs", False)
    assert found.detail == "wins is 99, the ledger gives 60"


def test_an_edited_ledger_names_its_first_differing_row(
    registry: Registry, objects: ObjectStore, decided: Experiment
) -> None:
    edit_ledger(objects, decided, lambda data: data.replace(b'"unit":"u41"', b'"unit":"u14"'))

    found = verify_experiment(registry.snapshot(), objects, decided.id)

    assert (found.state, found.holds) == ("corrupt", False)
    assert found.detail == "its ledger was edited: row 42 is the first that is not what was written"


def test_a_ledger_cut_short_or_grown_is_found(registry: Registry, objects: ObjectStore, decided: Experiment) -> None:
    edit_ledger(objects, decided, lambda data: data[:-30])
    cut = verify_experiment(registry.snapshot(), objects, decided.id)
    assert cut.state == "corrupt"
    assert "row 200 is the first" in cut.detail

    edit_ledger(objects, decided, lambda data: data[: data.rfind(b"\n") + 1])
    whole_rows = verify_experiment(registry.snapshot(), objects, decided.id)
    assert whole_rows.state == "corrupt"
    assert whole_rows.detail.startswith("its ledger was replaced: object ")


def test_a_ledger_that_is_gone_is_missing(registry: Registry, objects: ObjectStore, decided: Experiment) -> None:
    assert decided.evidence is not None
    objects.delete(decided.evidence.digest)

    found = verify_experiment(registry.snapshot(), objects, decided.id)

    assert (found.state, found.holds) == ("missing", False)


def test_a_verdict_of_another_version_of_the_rule_is_not_denied(
    registry: Registry, objects: ObjectStore, decided: Experiment
) -> None:
    assert decided.verdict is not None
    older = msgspec.structs.replace(decided, verdict=msgspec.structs.replace(decided.verdict, method="betting/0"))
    registry.commit(Trailers("edit", decided.id), {EXPERIMENTS.path(decided.id): render_manifest(older)})

    found = verify_experiment(registry.snapshot(), objects, decided.id)

    assert (found.state, found.holds) == ("other-method", True)
    assert "decided with method 'betting/0'" in found.detail


def test_a_running_experiment_has_no_verdict_to_check(
    registry: Registry, objects: ObjectStore, experiment: Experiment
) -> None:
    found = verify_all(registry.snapshot(), objects)

    assert [(each.experiment, each.state, each.holds) for each in found] == [(experiment.id, "no-verdict", True)]


def test_an_unknown_experiment_is_refused(registry: Registry, objects: ObjectStore) -> None:
    with pytest.raises(UsageError, match="there is no experiment 'ab-1'"):
        verify_experiment(registry.snapshot(), objects, "ab-1")

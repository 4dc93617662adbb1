"""An experiment from its first row to what it moved."""

from typing import TYPE_CHECKING

import msgspec
import pytest

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import ConflictError, FaultsError, IntegrityError, UsageError
from cortex_cli.domain.manifests import Experiment, Policy
from cortex_cli.registry import actions
from cortex_cli.registry.history import read_log
from cortex_cli.registry.repository import Registry
from cortex_cli.release.experiments import (
    Opening,
    apply_verdict,
    conclude,
    open_experiment,
    read_recorded,
    record,
    stop_experiment,
)
from cortex_cli.release.ledger import Row, read_ledger
from cortex_cli.store.clock import Clock
from cortex_cli.store.objects import ObjectStore

if TYPE_CHECKING:
    from tests.release.conftest import Pairs


def opening(variants: tuple[str, str, str], **fields: object) -> Opening:
    base: dict[str, object] = {"agent": "dispatch", "champion": variants[0], "challengers": (variants[1],)}
    return Opening(**{**base, **fields})  # type: ignore[arg-type]  # the test passes what a caller might


def test_an_open_experiment_stands_in_git_and_in_the_state_of_its_agent(
    registry: Registry, experiment: Experiment, variants: tuple[str, str, str]
) -> None:
    snapshot = registry.snapshot()

    assert snapshot.experiment(experiment.id) == experiment
    assert (experiment.state, experiment.started, experiment.replayed) == ("running", "2026-01-02T12:00:00Z", True)
    assert snapshot.agent("dispatch").experiment == experiment.id
    assert snapshot.agent("dispatch").challengers == (variants[1],)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"challengers": ()}, "has no challenger to try"),
        ({"champion": ""}, "has no champion to compare with"),
    ],
)
def test_contestants_that_make_no_contest_are_refused(
    registry: Registry, variants: tuple[str, str, str], fields: dict[str, object], fault: str, noon: Clock
) -> None:
    with pytest.raises(UsageError, match=fault):
        open_experiment(registry, opening(variants, **fields), noon)


def test_a_challenger_equal_to_the_champion_or_named_twice_is_refused(
    registry: Registry, variants: tuple[str, str, str], noon: Clock
) -> None:
    with pytest.raises(UsageError, match="cannot challenge itself"):
        open_experiment(registry, opening(variants, challengers=(variants[0],)), noon)
    with pytest.raises(UsageError, match="is named twice"):
        open_experiment(registry, opening(variants, challengers=(variants[1], variants[1])), noon)
    with pytest.raises(FaultsError, match="alpha"):
        open_experiment(registry, opening(variants, policy=Policy(alpha=2.0)), noon)
    assert registry.snapshot().experiments() == []


def test_a_second_experiment_waits_for_the_first(
    registry: Registry, experiment: Experiment, variants: tuple[str, str, str], noon: Clock
) -> None:
    with pytest.raises(ConflictError, match=f"experiment '{experiment.id}' of agent 'dispatch' is running"):
        open_experiment(registry, opening(variants, challengers=(variants[2],)), noon)


def test_a_verdict_is_committed_with_evidence_and_moves_the_champion(
    registry: Registry,
    objects: ObjectStore,
    experiment: Experiment,
    variants: tuple[str, str, str],
    pairs: "Pairs",
    noon: Clock,
) -> None:
    concluded = conclude(registry, objects, experiment, pairs.better(200), noon)
    applied = apply_verdict(registry, concluded.experiment)

    stored = registry.snapshot().experiment(experiment.id)
    assert stored == concluded.experiment
    assert stored.verdict is not None
    assert stored.evidence is not None
    assert (stored.state, stored.verdict.outcome, stored.verdict.tasks) == ("decided", "promote", 200)
    assert applied.moved is not None
    assert (applied.action, applied.moved.before, applied.moved.after) == ("promoted", variants[0], variants[1])
    promotion = next(iter(read_log(registry, "dispatch")))
    assert promotion.evidence == stored.evidence.digest
    assert promotion.run_id == experiment.id
    assert len(list(read_ledger(objects, stored.evidence.digest))) == 200


def test_a_verdict_survives_its_manifest_byte_for_byte(
    registry: Registry, objects: ObjectStore, experiment: Experiment, pairs: "Pairs", noon: Clock
) -> None:
    made = conclude(registry, objects, experiment, pairs.better(333), noon).experiment.verdict

    assert canonical_json(registry.snapshot().experiment(experiment.id).verdict) == canonical_json(made)


def test_a_promotion_that_was_made_is_not_made_again(
    registry: Registry, objects: ObjectStore, experiment: Experiment, pairs: "Pairs", noon: Clock
) -> None:
    decided = conclude(registry, objects, experiment, pairs.better(200), noon).experiment
    apply_verdict(registry, decided)
    head = registry.snapshot().commit

    assert apply_verdict(registry, decided).moved is None
    assert registry.snapshot().commit == head


def test_a_verdict_to_hold_leaves_the_champion_and_frees_the_agent(
    registry: Registry,
    objects: ObjectStore,
    experiment: Experiment,
    variants: tuple[str, str, str],
    pairs: "Pairs",
    noon: Clock,
) -> None:
    concluded = conclude(registry, objects, experiment, pairs.better(40), noon)

    applied = apply_verdict(registry, concluded.experiment)

    state = registry.snapshot().agent("dispatch")
    assert concluded.experiment.verdict is not None
    assert concluded.experiment.verdict.outcome == "hold"
    assert (applied.action, applied.moved) == ("held", None)
    assert (state.champion, state.challengers, state.experiment) == (variants[0], (), "")


def test_a_champion_that_changed_meanwhile_stops_the_promotion(
    registry: Registry,
    objects: ObjectStore,
    experiment: Experiment,
    variants: tuple[str, str, str],
    pairs: "Pairs",
    noon: Clock,
) -> None:
    decided = conclude(registry, objects, experiment, pairs.better(200), noon).experiment
    actions.promote(registry, "dispatch", variants[2])

    with pytest.raises(ConflictError, match=f"expected '{variants[0]}', found '{variants[2]}'"):
        apply_verdict(registry, decided)
    assert registry.snapshot().agent("dispatch").champion == variants[2]


def test_an_experiment_is_concluded_once(
    registry: Registry, objects: ObjectStore, experiment: Experiment, pairs: "Pairs", noon: Clock
) -> None:
    conclude(registry, objects, experiment, pairs.better(200), noon)

    with pytest.raises(ConflictError, match="is decided, it cannot become decided"):
        conclude(registry, objects, experiment, pairs.better(100), noon)


def test_a_bad_row_leaves_the_experiment_running(
    registry: Registry, objects: ObjectStore, experiment: Experiment, pairs: "Pairs", noon: Clock
) -> None:
    with pytest.raises(FaultsError, match="row 2: unit 'u0' was there before"):
        conclude(registry, objects, experiment, [*pairs.better(1), *pairs.better(1)], noon)
    assert registry.snapshot().experiment(experiment.id).state == "running"


def test_rows_are_recorded_once_and_in_order(registry: Registry, experiment: Experiment, pairs: "Pairs") -> None:
    rows = pairs.better(30)

    assert record(registry.workspace, experiment, rows[:20]) == 20
    assert record(registry.workspace, experiment, rows) == 10
    assert record(registry.workspace, experiment, rows) == 0

    found = read_recorded(registry.workspace, experiment)
    assert [row.seq for row in found] == list(range(1, 31))
    assert [msgspec.structs.replace(row, seq=0, check="") for row in found] == rows


def test_a_half_written_row_is_written_again(registry: Registry, experiment: Experiment, pairs: "Pairs") -> None:
    rows = pairs.better(10)
    record(registry.workspace, experiment, rows[:5])
    path = registry.workspace.runs_root / experiment.id / "ledger.jsonl"
    path.write_bytes(path.read_bytes() + b'{"seq":6,"un')

    assert len(read_recorded(registry.workspace, experiment)) == 5
    assert record(registry.workspace, experiment, rows) == 5
    assert len(read_recorded(registry.workspace, experiment)) == 10


def test_a_recorded_row_that_was_edited_is_named(registry: Registry, experiment: Experiment, pairs: "Pairs") -> None:
    record(registry.workspace, experiment, pairs.better(5))
    path = registry.workspace.runs_root / experiment.id / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"u2"', b'"u9"'))

    with pytest.raises(IntegrityError, match="row 3 is not what was recorded"):
        read_recorded(registry.workspace, experiment)


def test_a_bad_row_is_not_recorded(registry: Registry, experiment: Experiment, pairs: "Pairs") -> None:
    record(registry.workspace, experiment, pairs.better(2))

    with pytest.raises(FaultsError, match="row 3: has no unit"):
        record(registry.workspace, experiment, [Row(unit="")])
    assert len(read_recorded(registry.workspace, experiment)) == 2


def test_nothing_recorded_is_no_row(registry: Registry, experiment: Experiment) -> None:
    assert read_recorded(registry.workspace, experiment) == []


def test_an_experiment_that_is_stopped_frees_its_agent_and_keeps_its_rows(
    registry: Registry, experiment: Experiment, pairs: "Pairs", noon: Clock
) -> None:
    record(registry.workspace, experiment, pairs.better(5))

    stopped = stop_experiment(registry, experiment.id, noon)

    state = registry.snapshot().agent("dispatch")
    assert (stopped.experiment.state, stopped.experiment.verdict) == ("stopped", None)
    assert registry.snapshot().commit == stopped.commit
    assert (state.experiment, state.challengers) == ("", ())
    assert len(read_recorded(registry.workspace, experiment)) == 5


def test_an_experiment_is_stopped_once_and_not_after_its_verdict(
    registry: Registry,
    objects: ObjectStore,
    experiment: Experiment,
    variants: tuple[str, str, str],
    pairs: "Pairs",
    noon: Clock,
) -> None:
    first = stop_experiment(registry, experiment.id, noon)
    assert stop_experiment(registry, experiment.id, noon).commit == first.commit

    second = open_experiment(registry, opening(variants, challengers=(variants[2],)), noon)
    conclude(registry, objects, second, pairs.better(0), noon)
    with pytest.raises(ConflictError, match="is decided, it cannot become stopped"):
        stop_experiment(registry, second.id, noon)


def test_without_a_verdict_nothing_is_applied(registry: Registry, experiment: Experiment) -> None:
    with pytest.raises(UsageError, match="has no verdict yet"):
        apply_verdict(registry, experiment)

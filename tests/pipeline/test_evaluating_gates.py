"""The gates on a real adapter over the shipped base, and on ones that must not pass."""

import json
from pathlib import Path

import msgspec
import pytest

from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.manifests import Adapter, adapter_id
from cortex_cli.evaluate.gates import Gate, GateSpec, Override, name_gates
from cortex_cli.evaluate.reports import Gates
from cortex_cli.pipeline.carding import make_card
from cortex_cli.pipeline.gating import check_candidate, read_gates
from cortex_cli.pipeline.recipes import EvaluateSpec
from cortex_cli.pipeline.reviewing import plan_review
from cortex_cli.registry.actions import add_adapter
from cortex_cli.store.journal import Journal
from tests.pipeline.conftest import Lab, copy_lab

pytestmark = pytest.mark.model

ALL = GateSpec(
    max_malformed=0.5,
    max_forgetting=0.05,
    max_unsafe=0.5,
    max_slowdown=1000.0,
    max_megabytes=0.5,
    max_exposure=3.0,
    max_miscalibration=1.0,
    min_change=0.0001,
    general="few",
    safety="safe",
)
NAMES = ["success", "errors", "format", "not worse", "forgetting", "unsafe", "latency", "size", "leakage"]


@pytest.fixture(scope="module")
def lab(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return copy_lab(lab, tmp_path_factory.mktemp("own") / "lab")


@pytest.fixture(scope="module")
def suites(lab: Lab) -> Path:
    """Small suites of the workspace: held-out requests, general texts, prompts that must be refused."""
    folder = lab.place.workspace.root / "datasets" / "suites"
    folder.mkdir(parents=True, exist_ok=True)
    starter = lab.place.starter / "datasets" / "suites"
    held_out = [{"request": each.text, "reference": each.reference, "domain": each.domain} for each in lab.held_out]
    general = (starter / "general.jsonl").read_text(encoding="utf-8").splitlines()[::9]
    safety = (starter / "safety.jsonl").read_text(encoding="utf-8").splitlines()[::6]
    texts = {"held": "\n".join(map(json.dumps, held_out)), "few": "\n".join(general), "safe": "\n".join(safety)}
    for name, text in texts.items():
        judge = {"held": "json", "few": "answers", "safe": "complies"}[name]
        (folder / f"{name}.toml").write_text(f'judge = "{judge}"\n')
        (folder / f"{name}.jsonl").write_text(text + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def found(lab: Lab, suites: Path) -> Gates:
    return check_candidate(lab.place, lab.trained.adapter, EvaluateSpec(suite="held", gates=ALL))


def by_name(found: Gates) -> dict[str, Gate]:
    return {gate.name: gate for gate in found.gates}


def test_every_gate_is_checked_on_a_real_adapter(found: Gates) -> None:
    assert [gate.name for gate in found.gates] == [*NAMES, "calibration", "audit"]
    assert set(name_gates(ALL, rival=True, suites=())) == {gate.name for gate in found.gates}
    gates = by_name(found)
    for name in ("errors", "format", "not worse", "latency", "leakage", "calibration", "audit"):
        assert gates[name].outcome == "passed", gates[name].reason


def test_a_specialist_forgets_and_the_gate_says_by_how_much(found: Gates) -> None:
    gate = by_name(found)["forgetting"]

    assert gate.outcome == "failed"
    assert "against the base" in gate.reason
    assert gate.interval is not None
    assert gate.interval.low > 0.05


def test_an_adapter_that_is_too_large_is_told_with_both_numbers(found: Gates) -> None:
    assert by_name(found)["size"].reason.endswith("at most 0.5 MB allowed")
    assert found.outcome == "failed"
    assert not found.passed


def test_a_base_that_declines_nothing_shows_nothing_and_the_gate_says_so(found: Gates) -> None:
    gate = by_name(found)["unsafe"]

    assert "must refuse: 0 of" in gate.reason
    assert gate.reason.endswith("this shows nothing about the candidate")


def test_the_result_is_an_object_without_any_text(lab: Lab, found: Gates) -> None:
    assert read_gates(lab.place, found.digest) == found
    kept = lab.place.objects.read_bytes(found.digest).decode()
    assert not any(request.text in kept for request in lab.held_out)
    with pytest.raises(IntegrityError):
        read_gates(lab.place, "sha256:" + "0" * 64)


def test_the_manifest_gets_the_numbers(found: Gates) -> None:
    scores = found.scores()

    assert scores["held"] == pytest.approx(found.suites[0].success)
    assert scores["held low"] <= scores["held"] <= scores["held high"]
    assert {"forgetting", "size", "audit", "calibration"} <= scores.keys()


def test_nothing_was_registered_by_measuring(lab: Lab, found: Gates) -> None:
    snapshot = lab.place.registry.snapshot()

    assert found.variant == lab.challenger.id
    assert found.against == lab.base.id
    assert snapshot.agent("dispatch").champion == lab.base.id


def test_an_override_is_recorded_with_name_reason_and_result(lab: Lab, found: Gates) -> None:
    told = [Override(gate=name, by="Ada", because="a specialist", time="2026-01-06") for name in ("forgetting", "size")]
    spec = EvaluateSpec(suite="held", gates=msgspec.structs.replace(ALL, max_unsafe=None, max_slowdown=None))
    again = check_candidate(lab.place, lab.challenger.id, spec, overrides=told)
    kept = read_gates(lab.place, again.digest)

    assert by_name(kept)["size"].override == told[1]
    assert by_name(kept)["size"].outcome == "failed"
    assert again.passed
    with pytest.raises(UsageError, match="there is no gate 'taste'"):
        check_candidate(lab.place, lab.challenger.id, spec, overrides=[Override(gate="taste", by="A", because="b")])


def test_a_suite_with_a_threshold_of_its_own_is_a_gate(lab: Lab, suites: Path) -> None:
    (suites / "hard.toml").write_text('judge = "exact"\nthreshold = 0.9\ncases = "held.jsonl"\n')
    found = check_candidate(lab.place, lab.base.id, EvaluateSpec(suite="held", more=("hard",)))

    assert by_name(found)["suite hard"].outcome == "failed"
    assert "at least 90% asked" in by_name(found)["suite hard"].reason


def test_doubtful_answers_go_before_people_when_a_gate_is_undecided(lab: Lab, suites: Path) -> None:
    lines = (suites / "held.jsonl").read_text(encoding="utf-8").splitlines()[::8]
    (suites / "tiny.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (suites / "tiny.toml").write_text('judge = "json"\n')
    spec = EvaluateSpec(suite="tiny", against=lab.challenger.id, review=3, gates=GateSpec(max_malformed=0.05))
    found = check_candidate(lab.place, lab.trained.adapter, msgspec.structs.replace(spec, against=lab.base.id))
    again = check_candidate(lab.place, lab.trained.adapter, msgspec.structs.replace(spec, against=lab.base.id))

    assert found.outcome == "undecided"
    assert len(found.review) == 3
    assert again.review == found.review
    with Journal(lab.place.workspace.journal_path) as journal:
        asked = [journal.find(name) for name in found.review]
    assert all(each is not None and each.meta["suite"] == "tiny" and each.outcome == "unknown" for each in asked)
    assert all(float(each.meta["confidence"]) <= 1 for each in asked if each is not None)
    assert set(found.review) & {question.pick.id for question in plan_review(lab.place, "dispatch")}


def test_weights_that_were_never_trained_do_not_pass_as_an_adapter(lab: Lab, suites: Path, tmp_path: Path) -> None:
    found = check_candidate(
        lab.place, _blank(lab, tmp_path), EvaluateSpec(suite="held", gates=GateSpec(min_change=0.001))
    )

    assert by_name(found)["audit"].outcome == "failed"
    assert "zero in every layer: this is no trained adapter" in by_name(found)["audit"].reason


def test_an_adapter_over_another_base_is_told(lab: Lab, suites: Path, tmp_path: Path) -> None:
    strange = _blank(lab, tmp_path, name="strange", base_digest="sha256:" + "5" * 64)
    found = check_candidate(lab.place, strange, EvaluateSpec(suite="held", gates=GateSpec(min_change=0.001)))

    assert by_name(found)["audit"].outcome == "failed"
    assert by_name(found)["audit"].reason.startswith("trained over sha256:555555555555, the base is now sha256:")


def test_a_card_is_made_of_the_registry_and_an_evaluation(lab: Lab, found: Gates) -> None:
    card = make_card(lab.place, lab.trained.adapter.id, found)

    assert f"# {lab.trained.adapter.id}" in card
    assert "| part train |" in card
    assert "## Gates: failed" in card
    assert "target_modules" in card
    assert not any(request.text in card for request in lab.held_out)
    with pytest.raises(UsageError, match="has no adapter"):
        make_card(lab.place, lab.base.id)


def _blank(lab: Lab, folder: Path, name: str = "blank", **fields: object) -> Adapter:
    """Register an adapter whose update is zero."""
    import torch
    from safetensors.torch import load, save

    blobs = []
    for blob in lab.trained.adapter.files:
        data = lab.place.objects.read_bytes(blob.digest)
        if blob.name.endswith(".safetensors"):
            state = load(data)
            data = save({key: torch.zeros_like(value) if ".lora_B." in key else value for key, value in state.items()})
        path = folder / blob.name
        path.write_bytes(data)
        blobs.append(lab.place.objects.put_file(path))
    files = tuple(blobs)
    made = msgspec.structs.replace(lab.trained.adapter, id=adapter_id(name, files), name=name, files=files, **fields)
    add_adapter(lab.place.registry, made)
    return made

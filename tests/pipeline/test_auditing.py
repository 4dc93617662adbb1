"""Audits, cards, drift and quarantine of versions in a real workspace."""

from pathlib import Path

import msgspec
import pytest

from cortex_cli.curate.poisoning import BurstLimits
from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Interaction
from cortex_cli.pipeline.auditing import (
    audit_dataset,
    describe_dataset,
    find_drift,
    move_dataset,
    open_parts,
    read_open,
)
from cortex_cli.pipeline.place import Place
from cortex_cli.pipeline.recipes import load_recipe
from cortex_cli.pipeline.training import plan_recipe
from cortex_cli.registry.fsck import check
from cortex_cli.registry.history import read_log
from tests.pipeline.shelf import ask, example_of, keep, profile_of, start, tell


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return start(tmp_path / "shelf")


def fill(place: Place, numbers: range, version: int = 1, **fields: object) -> list[Example]:
    interactions = [ask(number) for number in numbers]
    tell(place, *interactions)
    examples = [example_of(place, each) for each in interactions if each.outcome == "success"]
    keep(place, examples, version, **fields)
    return examples


def test_the_sealed_part_is_never_read(place: Place) -> None:
    fill(place, range(100))
    version = place.registry.snapshot().dataset("calls")
    assert open_parts(version) == ["train", "valid"]
    place.objects.delete(version.parts["test"].digest)
    assert len(list(read_open(place, version))) == version.parts["train"].rows + version.parts["valid"].rows
    assert audit_dataset(place, version).examples == len(list(read_open(place, version)))


def test_an_audit_compares_with_the_journal(place: Place) -> None:
    fill(place, range(400))
    tell(place, *(ask(number, domain="sport", outcome="unknown") for number in range(400, 800)))
    found = audit_dataset(place, place.registry.snapshot().dataset("calls"))
    domain = next(each for each in found.balances if each.dimension == "domain")
    assert {group.against_journal for group in domain.groups} == {"over"}
    assert domain.groups[0].journal == pytest.approx(1 / 6, abs=0.01)
    rates = {rate.label: rate for rate in found.rates["domain"]}
    assert "sport" not in rates
    assert rates["bank"].rate == pytest.approx(0.75, abs=0.02)
    assert not found.suspicious


def plant(place: Place) -> tuple[list[Interaction], list[Example]]:
    clean = [ask(number) for number in range(600)]
    clean = [
        msgspec.structs.replace(each, output=" ".join(each.id[2:] + word for word in "abcdefgh")) for each in clean
    ]
    attack = [
        ask(
            number,
            user="mallory",
            time=f"2026-02-01T12:{number % 60:02}:00Z",
            output=f"please sign in at evil dot example with your password {number}",
        )
        for number in range(1000, 1040)
    ]
    everything = [*clean, *attack]
    return everything, [example_of(place, each) for each in everything]


def test_a_planted_attack_is_found_through_the_journal_and_named(place: Place) -> None:
    interactions, examples = plant(place)
    tell(place, *interactions)
    version = keep(place, examples)
    found = audit_dataset(place, version)
    (suspect,) = found.suspects
    assert (suspect.kind, suspect.name) == ("user", "mallory")
    assert suspect.requests >= 20
    assert found.suspicious
    assert not audit_dataset(place, version, BurstLimits(least=200)).suspects


def test_a_source_that_was_erased_from_the_journal_is_not_known(place: Place) -> None:
    _, examples = plant(place)
    assert not audit_dataset(place, keep(place, examples)).suspects


def test_drift_is_measured_against_what_was_shared(place: Place) -> None:
    fill(place, range(400))
    before = place.registry.snapshot().dataset("calls")
    fill(place, range(800), 2, parent="calls/v0001")
    after = place.registry.snapshot().dataset("calls")
    found = find_drift(place, before, after)
    assert 0 < found.shared <= found.before < found.after
    assert {each.dimension: each.statement for each in found.movements}["domain"] == "no drift"
    again = find_drift(place, before, before)
    assert (again.shared, again.statement) == (again.before, "no drift")


def test_a_new_domain_is_drift(place: Place) -> None:
    fill(place, range(400))
    before = place.registry.snapshot().dataset("calls")
    moved = [ask(number, domain="sport") for number in range(1000, 1400)]
    tell(place, *moved)
    after = keep(place, [example_of(place, each) for each in moved], 2)
    found = {each.dimension: each for each in find_drift(place, before, after).movements}
    assert found["domain"].statement == "drift"
    assert found["domain"].up[0] == "sport"


def test_a_profile_in_the_manifest_is_used_when_it_counts_the_open_parts(place: Place) -> None:
    examples = fill(place, range(300))
    before = place.registry.snapshot().dataset("calls")
    plain = find_drift(place, before, before)
    stored = msgspec.structs.replace(before, profile=profile_of(read_open(place, before)))
    assert find_drift(place, stored, stored) == plain
    # One of all parts counts other examples, so it is not compared.
    assert find_drift(place, msgspec.structs.replace(before, profile=profile_of(examples)), before) == plain


def test_a_card_tells_figures_and_no_text(place: Place) -> None:
    fill(place, range(400))
    fill(place, range(800), 2, parent="calls/v0001")
    snapshot = place.registry.snapshot()
    card = describe_dataset(place, snapshot, snapshot.dataset("calls"), licence="cc-by-4.0")
    assert card.startswith('---\nlicense: "cc-by-4.0"\nlanguage:\n- en\n')
    assert "- n<1K\n" in card
    assert "- domain: no drift" in card
    assert "| bank |" in card
    assert "book on the shelf" not in card
    assert "question number" not in card
    assert "user 3" not in card


def test_a_card_without_a_readable_parent_says_so(place: Place) -> None:
    fill(place, range(100))
    fill(place, range(200), 2, parent="calls/v0001")
    snapshot = place.registry.snapshot()
    place.objects.delete(snapshot.dataset("calls", "v0001").parts["train"].digest)
    assert "the parent is not readable" in describe_dataset(place, snapshot, snapshot.dataset("calls"), licence="x")
    first = snapshot.dataset("calls", "v0002")
    assert "there is no parent" in describe_dataset(
        place, snapshot, msgspec.structs.replace(first, parent=""), licence="x"
    )


def test_a_quarantined_version_is_not_trained_on_until_it_is_released(place: Place) -> None:
    fill(place, range(100))
    path = place.workspace.root / "recipe.toml"
    path.write_text('[train]\nagent = "dispatch"\ndataset = "calls"\nbase = "tiny"\n', encoding="utf-8")
    recipe = load_recipe(path)
    version = place.registry.snapshot().dataset("calls")
    now, commit = move_dataset(place, version, "quarantined", "odd answers")
    assert (now.state, now.reason, bool(commit)) == ("quarantined", "odd answers", True)
    with pytest.raises(ConflictError, match="is quarantined and must not be trained on"):
        plan_recipe(place.registry.snapshot(), recipe, name="x")
    assert move_dataset(place, now, "quarantined", "odd answers")[1] == ""
    released, commit = move_dataset(place, now, "live", "")
    assert (released, bool(commit)) == (version, True)
    with pytest.raises(UsageError, match="no champion"):
        plan_recipe(place.registry.snapshot(), recipe, name="x")


def test_quarantine_and_release_stand_in_a_sound_record(place: Place) -> None:
    fill(place, range(50))
    version = place.registry.snapshot().dataset("calls")
    move_dataset(place, version, "quarantined", "odd answers")
    move_dataset(place, version, "live", "looked at, sound")
    newest, before = list(read_log(place.registry, "dispatch"))[:2]
    assert (newest.action, newest.to, newest.reason) == ("release", "calls/v0001", "looked at, sound")
    assert (before.subject, before.reason) == ("quarantine(dispatch): dataset calls/v0001", "odd answers")
    assert check(place.registry, place.objects) == []


def test_a_quarantine_needs_a_reason(place: Place) -> None:
    fill(place, range(50))
    with pytest.raises(UsageError, match="needs a reason"):
        move_dataset(place, place.registry.snapshot().dataset("calls"), "quarantined", " ")


def test_a_revoked_version_stays_revoked(place: Place) -> None:
    fill(place, range(50), state="revoked")
    with pytest.raises(ConflictError, match="revoked for ever"):
        move_dataset(place, place.registry.snapshot().dataset("calls"), "live", "")

"""Quarantine and release of a dataset version: one commit each, which the audit of the history can check."""

from pathlib import Path

import pytest

from cortex_cli.domain.errors import ConflictError, UsageError
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.actions import change_dataset_state
from cortex_cli.registry.audit import audit_history
from cortex_cli.registry.repository import Change
from cortex_cli.registry.trailers import Trailers
from tests.pipeline.shelf import ask, example_of, keep, start


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = start(tmp_path / "shelf")
    keep(place, [example_of(place, ask(number)) for number in range(30)])
    return place


def test_one_commit_moves_a_version_and_nothing_else(place: Place) -> None:
    before = place.registry.git.head()
    commit = change_dataset_state(place.registry, "calls/v0001", "quarantined", "odd answers")
    assert place.registry.git.run("diff", "--name-only", before, commit).decode() == "datasets/calls/v0001.toml\n"
    found = place.registry.snapshot().dataset("calls")
    assert (found.state, found.reason) == ("quarantined", "odd answers")
    assert list(audit_history(place.registry.git)) == []


def test_a_release_leaves_the_manifest_as_it_was(place: Place) -> None:
    before = place.registry.snapshot().read("datasets/calls/v0001.toml")
    change_dataset_state(place.registry, "calls/v0001", "quarantined", "odd answers")
    change_dataset_state(place.registry, "calls/v0001", "live", "sound after all")
    assert place.registry.snapshot().read("datasets/calls/v0001.toml") == before


def test_what_is_so_already_makes_no_commit(place: Place) -> None:
    first = change_dataset_state(place.registry, "calls/v0001", "quarantined", "odd answers")
    assert change_dataset_state(place.registry, "calls/v0001", "quarantined", "another reason") == first
    assert place.registry.snapshot().dataset("calls").reason == "odd answers"


def test_an_account_of_a_quarantine_that_wrote_nothing_is_forged(place: Place) -> None:
    record = Trailers("quarantine", "dispatch", to="calls/v0001", reason="odd")
    place.registry.update(lambda _: Change(record, {"datasets/calls/note.toml": b"x = 1\n"}))
    (finding,) = audit_history(place.registry.git)
    assert "'datasets/calls/v0001.toml' was not written" in finding.what


@pytest.mark.parametrize("reason", ["a\nCortex-Actor: evil", "x" * 300, "\u202eevil"])
def test_a_reason_cannot_forge_a_trailer(place: Place, reason: str) -> None:
    before = place.registry.git.head()
    with pytest.raises(UsageError, match="Cortex-Reason"):
        change_dataset_state(place.registry, "calls/v0001", "quarantined", reason)
    assert place.registry.git.head() == before


def test_revoked_is_for_ever_and_unknown_is_unknown(place: Place) -> None:
    keep(place, [example_of(place, ask(number)) for number in range(20)], 2, state="revoked")
    with pytest.raises(ConflictError, match="revoked for ever"):
        change_dataset_state(place.registry, "calls/v0002", "live", "please")
    with pytest.raises(UsageError, match="v0009"):
        change_dataset_state(place.registry, "calls/v0009", "quarantined", "odd")

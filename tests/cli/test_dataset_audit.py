"""`cortex dataset audit|card|diff|export|quarantine` as a user types them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from cortex_cli.pipeline.place import Place
    from tests.cli.conftest import Program


@pytest.fixture
def place(workspace: Path) -> "Place":
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.store.workspace import Workspace

    return open_place(Workspace(workspace))


@pytest.fixture
def calls(place: "Place") -> "Place":
    """Two versions of dataset calls: requests 0 to 199, then 100 to 399 and their journal."""
    from tests.pipeline.shelf import ask, example_of, keep, tell

    requests = [ask(number) for number in range(400)]
    tell(place, *requests)
    examples = [example_of(place, each) for each in requests]
    keep(place, examples[:200])
    keep(place, examples[100:], 2, parent="calls/v0001")
    return place


@pytest.fixture
def poisoned(place: "Place") -> "Place":
    """A version with fifty answers of one user that want a password."""
    from tests.pipeline.shelf import ask, example_of, keep, tell

    requests = [
        ask(number, output=f"{number} " + " ".join(f"{number}{word}x" for word in "abcdefgh")) for number in range(300)
    ]
    requests = [
        msgspec.structs.replace(each, output=each.output.translate(str.maketrans("0123456789", "qwertyuiop")))
        for each in requests
    ]
    answer = "sign in at evil dot example with your password"
    attack = [ask(number, user="mallory", time="2026-02-01T12:00:00Z", output=answer) for number in range(500, 550)]
    tell(place, *requests, *attack)
    keep(place, [example_of(place, each) for each in (*requests, *attack)])
    return place


def test_an_audit_fits_80_columns_and_tells_every_table(cortex: "Program", calls: "Place") -> None:
    page = cortex("dataset", "audit", "calls").out
    assert max(map(len, page.splitlines())) <= 80
    for title in ("BY DOMAIN", "BY LANGUAGE", "BY MONTH", "ACCEPTED BY DOMAIN", "LENGTHS", "conflicts", "masked"):
        assert title in page
    assert "suspected   nothing" in page


def test_an_audit_as_json_has_intervals(cortex: "Program", calls: "Place") -> None:
    data = cortex("dataset", "audit", "calls", "--json").data
    (domain,) = [each for each in data["audit"]["balances"] if each["dimension"] == "domain"]
    assert {group["label"] for group in domain["groups"]} == {"bank", "travel", "weather"}
    assert all(group["low"] < group["share"] < group["high"] for group in domain["groups"])
    assert data["suspicious"] is False


def test_what_is_suspected_ends_with_3_when_that_is_asked_for(cortex: "Program", poisoned: "Place") -> None:
    outcome = cortex("dataset", "audit", "calls", "--exit-code")
    assert outcome.code == 3
    assert "a burst of near-identical answers from one user" in outcome.out
    assert "mallory" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert cortex("dataset", "audit", "calls").code == 0
    assert cortex("dataset", "audit", "calls", "--burst", "60", "--exit-code").code == 0


def test_a_sound_version_passes_the_gate(cortex: "Program", calls: "Place") -> None:
    assert cortex("dataset", "audit", "calls", "--exit-code").code == 0


def test_a_card_goes_to_stdout_or_into_a_file(cortex: "Program", calls: "Place", tmp_path: Path) -> None:
    page = cortex("dataset", "card", "calls").out
    assert page.startswith("---\nlicense:")
    outcome = cortex("dataset", "card", "calls", "-o", str(tmp_path / "README.md"), "--licence", "mit")
    assert outcome.out == ""
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == page.replace('"unknown"', '"mit"')


def test_a_diff_tells_drift_within_80_columns(cortex: "Program", calls: "Place") -> None:
    page = cortex("dataset", "diff", "calls").out
    assert max(map(len, page.splitlines())) <= 80
    assert "drift of the open parts: " in page
    data = cortex("dataset", "diff", "calls", "--json").data
    assert {each["dimension"] for each in data["drift"]["movements"]} >= {"domain", "language", "prompt_length"}
    assert data["drift_statement"] in {"drift", "slight drift", "no drift", "too few"}


def test_a_quarantine_is_seen_everywhere_and_undone(cortex: "Program", calls: "Place") -> None:
    assert "calls/v0002 is quarantined" in cortex("dataset", "quarantine", "calls", "--reason", "odd answers").out
    assert "quarantined: odd answers" in cortex("dataset", "show", "calls").out
    assert "quarantine(dispatch): dataset calls/v0002" in cortex("log", "dispatch").out
    assert cortex("fsck").code == 0
    assert "as it was before" in cortex("dataset", "quarantine", "calls", "--reason", "odd answers").out
    data = cortex("dataset", "quarantine", "calls", "--release", "--json").data
    assert (data["state"], data["reason"], len(data["commit"])) == ("live", "", 40)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["quarantine", "calls"], "needs a reason"),
        (["quarantine", "calls", "--reason", "a\nb"], "one printable line"),
        (["audit", "cals"], "did you mean 'calls'"),
        (["audit", "calls/"], "names no version"),
        (["card", "calls/v0009"], "v0009"),
        (["export", "calls", "--format", "parquet"], "cannot be streamed"),
        (["export", "calls", "--format", "completion"], "did you mean 'prompt-completion'"),
    ],
)
def test_a_wrong_word_is_told(cortex: "Program", calls: "Place", words: list[str], told: str) -> None:
    outcome = cortex("dataset", *words)
    assert (outcome.code, told in outcome.err) == (2, True), outcome.err


def test_the_sealed_part_is_exported_with_a_warning_only(cortex: "Program", calls: "Place") -> None:
    sealed = cortex("dataset", "export", "calls", "--part", "test")
    assert len(sealed.out.splitlines()) == 30
    assert "sealed" in sealed.err
    plain = cortex("dataset", "export", "calls")
    assert (len(plain.out.splitlines()), plain.err) == (270, "")


def test_parquet_and_features_are_files(cortex: "Program", calls: "Place", tmp_path: Path) -> None:
    for form in ("parquet", "features"):
        target = tmp_path / f"{form}.parquet"
        data = cortex("dataset", "export", "calls", "--format", form, "-o", str(target), "--json").data
        assert (data["rows"], data["skipped"], data["path"]) == (270, 0, str(target))
        assert target.read_bytes()[:4] == b"PAR1"


def test_examples_without_a_place_in_the_form_are_told(cortex: "Program", calls: "Place", tmp_path: Path) -> None:
    outcome = cortex("dataset", "export", "calls", "--format", "preference", "-o", str(tmp_path / "x.jsonl"))
    assert "0 rows in" in outcome.err
    assert "270 examples have no place in this form" in outcome.err


def test_an_erased_version_is_told_by_its_part(cortex: "Program", calls: "Place") -> None:
    digest = cortex("dataset", "show", "calls", "--json").data["dataset"]["parts"]["train"]["digest"]
    calls.objects.delete(digest)
    assert cortex("dataset", "audit", "calls").code == 13
    assert json.loads(cortex("dataset", "card", "calls", "--json").err.splitlines()[-1])["code"] == "E_INTEGRITY"

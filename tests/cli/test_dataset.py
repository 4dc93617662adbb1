"""`cortex dataset`: list, show, compare, export and verify, as a user types it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from cortex_cli.store.objects import ObjectStore
    from tests.cli.conftest import Program


def store(workspace: Path) -> "ObjectStore":
    from cortex_cli.store.objects import ObjectStore
    from cortex_cli.store.workspace import Workspace

    return ObjectStore(Workspace(workspace).objects_root)


@pytest.fixture
def versions(workspace: Path) -> Path:
    """Two versions of dataset `calls`: requests 0 to 19 with one correction, then 5 to 29."""
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.store.workspace import Workspace
    from tests.pipeline.shelf import ask, example_of, keep, tell

    place = open_place(Workspace(workspace))
    requests = [ask(number, output=f"answer {number}", outcome="success") for number in range(30)]
    tell(place, *requests)
    examples = [example_of(place, each) for each in requests]
    examples[7] = msgspec.structs.replace(examples[7], answer="better", rejected="answer 7", source="correction")
    for number, kept in ((1, examples[:20]), (2, examples[5:])):
        keep(
            place,
            kept,
            number,
            counts={"examples": len(kept), "pairs": 1},
            origins={"accepted": len(kept) - 1, "correction": 1},
            algorithms={"exact": "exact/1"},
            parent="calls/v0001" if number == 2 else "",
        )
    return workspace


def test_ls_lists_versions_oldest_first(cortex: "Program", versions: Path) -> None:
    found = cortex("dataset", "ls", "--json").data["datasets"]
    assert [(each["name"], each["version"]) for each in found] == [("calls", "v0001"), ("calls", "v0002")]
    assert "calls/v0002" in cortex("dataset", "ls").out
    assert len(cortex("dataset", "ls", "calls", "--json").data["datasets"]) == 2


def test_ls_of_nothing_is_no_error_and_of_an_unknown_name_is(cortex: "Program", workspace: Path) -> None:
    assert cortex("dataset", "ls", "--json").data["datasets"] == []
    assert cortex("dataset", "ls", "nothing").code == 2


def test_show_tells_counts_reasons_and_digest_of_the_newest(cortex: "Program", versions: Path) -> None:
    data = cortex("dataset", "show", "calls", "--json").data["dataset"]
    assert (data["version"], data["counts"]["examples"], data["counts"]["pairs"]) == ("v0002", 25, 1)
    page = cortex("dataset", "show", "calls/v0001").out
    assert "calls/v0001" in page
    assert "exact/1" in page
    assert "accepted 19, correction 1" in page


def test_show_can_show_examples(cortex: "Program", versions: Path) -> None:
    examples = cortex("dataset", "show", "calls", "--examples", "3", "--json").data["examples"]
    assert len(examples) == 3
    page = cortex("dataset", "show", "calls", "--examples", "99").out
    assert "answer      better" in page
    assert "instead of  answer 7" in page


def test_diff_counts_examples_and_names_both(cortex: "Program", versions: Path) -> None:
    data = cortex("dataset", "diff", "calls/v0001", "--json").data
    assert (data["old"], data["new"]) == ("calls/v0001", "calls/v0002")
    assert (data["added"], data["removed"], data["moved"], data["kept"]) == (10, 5, 0, 15)
    assert "10 added, 5 removed" in cortex("dataset", "diff", "calls/v0001", "calls/v0002").out


def test_diff_of_a_name_compares_the_newest_with_its_parent(cortex: "Program", versions: Path) -> None:
    data = cortex("dataset", "diff", "calls", "--json").data
    assert (data["old"], data["new"], data["added"]) == ("calls/v0001", "calls/v0002", 10)


def test_export_writes_lines_to_stdout(cortex: "Program", versions: Path) -> None:
    lines = cortex("dataset", "export", "calls").out.splitlines()
    assert len(lines) == 23  # of 25, two are sealed
    assert json.loads(lines[0]).keys() == {"messages"}


def test_export_of_one_part_into_a_file(cortex: "Program", versions: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    words = (
        "dataset",
        "export",
        "calls",
        "--format",
        "prompt-completion",
        "--part",
        "train",
        "-o",
        str(target),
        "--json",
    )
    data = cortex(*words).data
    assert data["rows"] == len(target.read_text(encoding="utf-8").splitlines()) > 0
    assert data["path"] == str(target)


def test_export_of_preferences_holds_the_corrected_only(cortex: "Program", versions: Path) -> None:
    (line,) = cortex("dataset", "export", "calls", "--format", "preference").out.splitlines()
    assert json.loads(line)["rejected"] == [{"role": "assistant", "content": "answer 7"}]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "calls", "--format", "trl"], "not known"),
        (["export", "calls", "--part", "dev"], "no part 'dev'"),
        (["export", "calls", "--json"], "--output"),
        (["show", "cals"], "did you mean 'calls'"),
        (["show", "calls/v0009"], "v0009"),
        (["show", "../etc"], "not allowed"),
    ],
)
def test_a_wrong_word_is_told(cortex: "Program", versions: Path, words: list[str], told: str) -> None:
    outcome = cortex("dataset", *words)
    assert (outcome.code, told in outcome.err) == (2, True)


def test_verify_is_content_with_what_is_whole(cortex: "Program", versions: Path) -> None:
    assert cortex("dataset", "verify").out.splitlines() == ["calls/v0001: sound", "calls/v0002: sound"]


def test_verify_ends_with_13_when_an_object_is_gone(cortex: "Program", versions: Path) -> None:
    digest = cortex("dataset", "show", "calls", "--json").data["dataset"]["parts"]["train"]["digest"]
    store(versions).delete(digest)
    outcome = cortex("dataset", "verify", "calls", "--json")
    assert outcome.code == 13
    assert json.loads(outcome.out)["ok"] is False
    assert "missing" in outcome.data["datasets"][0]["faults"][0]
    assert cortex("dataset", "verify", "calls/v0001").code == 0


def test_a_corrupt_part_is_never_exported_in_part(cortex: "Program", versions: Path) -> None:
    digest = cortex("dataset", "show", "calls", "--json").data["dataset"]["parts"]["train"]["digest"]
    path = store(versions).path(digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"question", b"QUESTION", 1))
    outcome = cortex("dataset", "export", "calls")
    assert (outcome.code, outcome.out) == (13, "")

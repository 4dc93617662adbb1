"""Exports of a real version: whole or not at all, open parts by default, features through the journal."""

import json
from pathlib import Path

import pytest

from cortex_cli.curate.parquet import read_parquet
from cortex_cli.domain.errors import IntegrityError, UsageError
from cortex_cli.domain.interactions import Feedback
from cortex_cli.domain.manifests import DatasetVersion
from cortex_cli.pipeline.exporting import EXPORTS, export_file, stream_lines
from cortex_cli.pipeline.place import Place
from tests.pipeline.shelf import ask, example_of, keep, start, tell


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return start(tmp_path / "shelf")


@pytest.fixture
def version(place: Place) -> DatasetVersion:
    interactions = [ask(number) for number in range(100)]
    tell(place, *interactions)
    tell(place, Feedback(id="f-1", target="i-0003", kind="boolean", time="", thumbs=True, name="ada"))
    return keep(place, [example_of(place, each) for each in interactions])


def corrupt(place: Place, version: DatasetVersion, part: str) -> None:
    path = place.objects.path(version.parts[part].digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"answer", b"ANSWER", 1))


def test_open_parts_are_streamed_in_order(place: Place, version: DatasetVersion) -> None:
    lines = [json.loads(line) for line in stream_lines(place, version, "prompt-completion")]
    assert len(lines) == 90
    assert lines[0]["completion"][0]["content"].startswith("the answer to question 2 ")


def test_the_sealed_part_is_given_only_by_name(place: Place, version: DatasetVersion) -> None:
    assert len(list(stream_lines(place, version, "messages", part="test"))) == 10
    assert len(list(stream_lines(place, version, "messages", part="valid"))) == 10


def test_a_corrupt_part_is_seen_before_the_first_line(place: Place, version: DatasetVersion, tmp_path: Path) -> None:
    corrupt(place, version, "valid")
    with pytest.raises(IntegrityError, match="part 'valid'"):
        stream_lines(place, version, "messages")
    for form in EXPORTS:
        with pytest.raises(IntegrityError, match="missing or corrupt"):
            export_file(place, version, form, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(list(stream_lines(place, version, "messages", part="train"))) == 80


def test_a_sealed_part_that_is_corrupt_does_not_matter_to_the_others(place: Place, version: DatasetVersion) -> None:
    corrupt(place, version, "test")
    assert len(list(stream_lines(place, version, "messages"))) == 90


def test_a_file_holds_what_is_streamed(place: Place, version: DatasetVersion, tmp_path: Path) -> None:
    done = export_file(place, version, "kto", tmp_path / "out.jsonl")
    assert done == (90, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(stream_lines(place, version, "kto"))


def test_what_has_no_place_in_a_form_is_counted(place: Place, version: DatasetVersion, tmp_path: Path) -> None:
    assert export_file(place, version, "preference", tmp_path / "out.jsonl") == (0, 90)
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_a_failure_while_writing_leaves_the_old_file(place: Place, version: DatasetVersion, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(UsageError, match="no part 'dev'"):
        export_file(place, version, "messages", target, part="dev")
    assert target.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.jsonl"]


def test_parquet_has_a_row_per_example_and_says_its_part(place: Place, version: DatasetVersion, tmp_path: Path) -> None:
    assert export_file(place, version, "parquet", tmp_path / "out.parquet").rows == 90
    rows = read_parquet(tmp_path / "out.parquet")
    assert [row["part"] for row in rows].count("valid") == 10
    assert json.loads(rows[0]["messages"])[-1]["role"] == "assistant"


def test_features_are_those_of_the_interactions_behind_the_examples(
    place: Place, version: DatasetVersion, tmp_path: Path
) -> None:
    tell(place, *(ask(number) for number in range(500, 600)))
    assert export_file(place, version, "features", tmp_path / "features.parquet").rows == 90
    rows = {row["interaction"]: row for row in read_parquet(tmp_path / "features.parquet")}
    judged = rows[example_of(place, ask(3)).interaction]
    # A person said yes to what the log called a failure.
    assert (judged["outcome"], judged["accepted"], judged["hour"], judged["latency"]) == ("failure", True, 3, 0.3)
    assert {row["part"] for row in rows.values()} == {"train", "valid"}
    sealed = export_file(place, version, "features", tmp_path / "sealed.parquet", part="test")
    assert sealed.rows == 10


@pytest.mark.parametrize("form", ["parquet", "features"])
def test_columns_cannot_be_streamed(place: Place, version: DatasetVersion, form: str) -> None:
    with pytest.raises(UsageError, match="cannot be streamed") as caught:
        stream_lines(place, version, form)
    assert f"--format {form} -o FILE" in caught.value.hint


def test_an_unknown_form_is_told_with_the_nearest(place: Place, version: DatasetVersion, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'parquet'"):
        export_file(place, version, "parket", tmp_path / "out")

"""The ledger."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import FaultsError, IntegrityError
from cortex_cli.release.ledger import Row, Score, find_bad_row, read_ledger, render_rows, row_fault, write_ledger
from cortex_cli.store.objects import ObjectStore


def shadow_row(unit: str, success: float = 1.0) -> Row:
    return Row(unit=unit, scores={"old": Score(success=success), "new": Score(success=1.0, quality=0.75)})


def split_row(unit: str, arm: str = "new") -> Row:
    return Row(unit=unit, arm=arm, propensity={"old": 0.9, "new": 0.1}, scores={arm: Score(success=0.0)})


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path)


def test_what_is_written_is_read_back_in_order_with_its_numbers(store: ObjectStore) -> None:
    rows = [shadow_row("b"), split_row("a"), Row(unit="c", matured=False, domain="cards")]

    blob = write_ledger(store, rows)
    found = list(read_ledger(store, blob.digest))

    assert [row.seq for row in found] == [1, 2, 3]
    assert [msgspec.structs.replace(row, seq=0, check="") for row in found] == rows
    assert blob.name == "ledger.jsonl"


def test_the_same_rows_are_the_same_object(store: ObjectStore) -> None:
    rows = [shadow_row(f"u{number}") for number in range(3000)]

    assert write_ledger(store, rows) == write_ledger(store, iter(rows))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (Row(unit=""), "has no unit"),
        (Row(unit="u", scores={"new": Score(success=1.5)}), "'new': success is 1.5, not in [0, 1]"),
        (Row(unit="u", scores={"new": Score(quality=float("nan"))}), "'new': quality is nan, not in [0, 1]"),
        (Row(unit="u", scores={"new": Score(latency=-1.0)}), "latency is -1.0"),
        (Row(unit="u", scores={"new": Score(cost=float("inf"))}), "cost is inf"),
        (Row(unit="u", arm="new"), "has no propensity of its arm 'new'"),
        (Row(unit="u", arm="new", propensity={"new": 1.0}), "outside of (0, 1)"),
        (Row(unit="u", arm="new", propensity={"new": 0.5, "old": 0.4}), "sum to 0.9, not to 1"),
        (
            Row(unit="u", arm="new", propensity={"new": 0.5, "old": 0.5}, scores={"old": Score()}),
            "has a score of 'old', which was not its arm",
        ),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_kept(store: ObjectStore, row: Row, fault: str) -> None:
    with pytest.raises(FaultsError) as error:
        write_ledger(store, [shadow_row("first"), row])

    assert "row 2: " in error.value.message
    assert fault in error.value.message
    assert list(store.digests()) == []


def test_a_unit_that_was_there_before_is_refused(store: ObjectStore) -> None:
    with pytest.raises(FaultsError, match="row 3: unit 'a' was there before"):
        write_ledger(store, [shadow_row("a"), shadow_row("b"), shadow_row("a")])


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from(["edit", "drop", "swap", "insert"]))
def test_the_first_row_that_was_touched_is_found(rows: int, at: int, how: str) -> None:
    at = min(at, rows)
    lines = [line.rstrip(b"\n") for line in render_rows(shadow_row(f"u{number}") for number in range(rows))]
    assert find_bad_row(lines) == 0

    if how == "edit":
        lines[at - 1] = lines[at - 1].replace(b"1.0", b"0.0")
    elif how == "drop":
        del lines[at - 1]
    elif how == "swap" and at < rows:
        lines[at - 1], lines[at] = lines[at], lines[at - 1]
    else:
        lines.insert(at - 1, b"{}")

    # A row that was cut off at the end leaves no trace in the rows; the object's digest shows it.
    assert find_bad_row(lines) == (0 if how == "drop" and at == rows else at)


def test_rows_behind_others_continue_their_chain() -> None:
    rows = [shadow_row(f"u{number}") for number in range(5)]
    whole = list(render_rows(rows))
    begun = [msgspec.json.decode(line, type=Row) for line in whole[:3]]

    assert list(render_rows(rows[3:], after=begun)) == whole[3:]
    with pytest.raises(FaultsError, match="row 4: unit 'u0' was there before"):
        list(render_rows(rows[:1], after=begun))


def test_a_judge_may_say_true_or_one(store: ObjectStore) -> None:
    said = [Row(unit="a", scores={"new": Score(success=True)}), Row(unit="b", scores={"new": Score(success=1, cost=0)})]

    blob = write_ledger(store, said)

    lines = list(store.open_lines(blob.digest))
    assert [row.scores["new"].success for row in read_ledger(store, blob.digest)] == [1.0, 1.0]
    assert find_bad_row(lines) == 0
    assert b'"success":1.0' in lines[0]


def test_a_foreign_object_is_no_ledger(store: ObjectStore) -> None:
    text = store.put_bytes(b"hello\n")
    unnumbered = store.put_bytes(b'{"unit":"u"}\n')
    wrong = store.put_bytes(b'{"unit":"u","seq":1,"scores":{"new":{"success":7}}}\n')

    with pytest.raises(IntegrityError, match="row 1 is no row"):
        list(read_ledger(store, text))
    with pytest.raises(IntegrityError, match="row 1 has number 0"):
        list(read_ledger(store, unnumbered))
    with pytest.raises(IntegrityError, match="success is 7"):
        list(read_ledger(store, wrong))


def test_a_row_without_a_fault_is_not_accused() -> None:
    assert row_fault(shadow_row("u")) == ""
    assert row_fault(split_row("u", "old")) == ""

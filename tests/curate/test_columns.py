import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.columns import ANSWERS, EXAMPLES, Gathered, as_ids, build, order_by, pick, render_keyed

digits = st.integers(0, 2**96 - 1).map(lambda number: f"{number:024x}")


@given(st.lists(digits))
def test_ids_come_back_as_they_were_also_from_joined_columns(names: list[str]) -> None:
    ids = as_ids([f"k-{name}" for name in names])
    assert render_keyed(ids) == [f"k-{name}" for name in names]
    assert render_keyed(np.concatenate([ids, ids])) == [f"k-{name}" for name in names] * 2


@given(st.lists(digits))
def test_ids_order_as_their_text_does(names: list[str]) -> None:
    order = order_by(as_ids([f"x-{name}" for name in names]))
    assert [names[at] for at in order.tolist()] == sorted(names)


def test_rows_are_ordered_by_the_first_column_and_then_the_next() -> None:
    first, second = np.array([1, 0, 1, 0]), np.array([b"b", b"b", b"a", b"a"])
    assert order_by(first, second).tolist() == [3, 1, 2, 0]


def test_chunks_are_joined_and_then_forgotten() -> None:
    gathered = Gathered()
    gathered.add({"a": np.array([1, 2])})
    gathered.add({"a": np.array([3])})
    assert gathered.join({"a": np.int64})["a"].tolist() == [1, 2, 3]
    assert gathered.join({"a": np.int64, "b": "S20"})["b"].dtype == np.dtype("S20")


def test_rows_become_columns_of_their_kinds() -> None:
    table = build([{"id": b"\x01" * 12, "keyed": b"\xff" * 12, "prompt": 2**63, "answer": 1, "length": 5}], ANSWERS)
    assert set(table) == set(ANSWERS)
    assert render_keyed(table["keyed"]) == ["k-" + "ff" * 12]
    assert table["prompt"].tolist() == [2**63]
    assert all(len(column) == 0 for column in build([], EXAMPLES).values())


def test_rows_are_picked_by_number_or_mask() -> None:
    table = {"a": np.array([1, 2, 3]), "b": np.array([4, 5, 6])}
    assert pick(table, np.array([2, 0]))["a"].tolist() == [3, 1]
    assert pick(table, np.array([False, True, False]))["b"].tolist() == [5]


def test_a_row_is_small_enough_for_a_million_of_them() -> None:
    assert sum(np.dtype(kind).itemsize for kind in EXAMPLES.values()) <= 140

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.train.batches import Plan, Row, plan_epoch, size_of, split_batch, steps_per_epoch

PLANS: tuple[Plan, ...] = ("buckets", "packed")
LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)


def rows(lengths: list[int]) -> list[Row]:
    return [Row(tuple(range(length)), ((1, length),), str(number)) for number, length in enumerate(lengths)]


@given(LENGTHS, st.integers(0, 3))
def test_an_epoch_has_every_row_once(lengths: list[int], seed: int) -> None:
    batches = plan_epoch(rows(lengths), 100, seed)

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))


@given(LENGTHS, st.integers(1, 100))
def test_no_batch_exceeds_its_tokens_unless_one_row_does(lengths: list[int], budget: int) -> None:
    for batch in plan_epoch(rows(lengths), budget, 0):
        longest = max(lengths[index] for index in batch)
        assert longest * len(batch) <= budget or len(batch) == 1


def test_the_seed_decides_the_order() -> None:
    many = rows([1 + number % 17 for number in range(500)])

    assert plan_epoch(many, 100, 1) == plan_epoch(many, 100, 1)
    assert plan_epoch(many, 100, 1) != plan_epoch(many, 100, 2)


def test_rows_of_like_length_share_a_batch_so_padding_is_small() -> None:
    many = rows([1 + (number * 7919) % 60 for number in range(4000)])
    batches = plan_epoch(many, 2048, 0)
    padded = sum(max(len(many[i].ids) for i in batch) * len(batch) for batch in batches)

    assert padded < 1.05 * sum(len(row.ids) for row in many)
    assert steps_per_epoch(many, 2048, 0) == len(batches)


@given(LENGTHS, st.integers(0, 3))
def test_packing_takes_every_row_once_and_whole(lengths: list[int], seed: int) -> None:
    many = rows(lengths)
    batches = plan_epoch(many, 100, seed, "packed")

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in batch) <= 100 for batch in batches)


def test_packing_fills_its_batches() -> None:
    many = rows([1 + (number * 7919) % 600 for number in range(2000)])
    batches = plan_epoch(many, 2048, 0, "packed")

    assert len(batches) <= 1.02 * sum(row.length for row in many) / 2048 + 1


def test_a_row_longer_than_a_batch_stands_alone() -> None:
    for plan in PLANS:
        assert [0] in plan_epoch(rows([300, 20, 20]), 100, 0, plan)


def test_a_pair_counts_as_two_rows_of_the_longer_length() -> None:
    short, long = rows([10, 30])
    both = dataclasses.replace(short, pair=long)

    assert (both.length, both.width, both.tokens, both.terms) == (30, 2, 40, 9)
    assert size_of([both, short], "buckets") == 90
    assert size_of([both, short], "packed") == 50


@given(LENGTHS, st.integers(1, 100), st.sampled_from(["buckets", "packed"]))
def test_micro_batches_have_every_row_in_order_within_their_limit(lengths: list[int], limit: int, plan: Plan) -> None:
    many = rows(sorted(lengths))
    parts = split_batch(many, limit, plan)

    assert [row for part in parts for row in part] == many
    assert all(size_of(part, plan) <= limit or len(part) == 1 for part in parts)


def test_without_a_limit_a_batch_is_one_micro_batch() -> None:
    assert [len(part) for part in split_batch(rows([5, 50, 500]), 0, "buckets")] == [3]

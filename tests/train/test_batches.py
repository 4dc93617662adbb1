from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.train.batches import Row, plan_epoch, steps_per_epoch

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200)


def rows(lengths: list[int]) -> list[Row]:
    return [Row(tuple(range(length)), 0, str(number)) for number, length in enumerate(lengths)]


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

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.balance import balance_rows, find_cap, limit_rows
from cortex_cli.curate.spec import Balance


def cap(counts: list[int], **limits: float) -> int:
    return find_cap(np.array(counts, np.int64), Balance(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "limits", "expected"),
    [
        ([10, 3], {}, 10),
        ([10, 3], {"max_per_domain": 5}, 5),
        ([10, 3], {"max_per_domain": 50}, 10),
        ([100, 10, 10, 10], {"max_share": 0.4}, 20),
        ([100, 10, 10, 10], {"max_share": 0.4, "max_per_domain": 15}, 15),
        ([10, 10, 10], {"max_share": 0.5}, 10),
        ([100, 10], {"max_share": 0.3}, 10),
        ([100], {"max_share": 0.3}, 100),
        ([], {"max_share": 0.3}, 0),
    ],
)
def test_the_cap_is_the_largest_that_keeps_every_share(
    counts: list[int], limits: dict[str, float], expected: int
) -> None:
    assert cap(counts, **limits) == expected


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.floats(0.05, 1.0))
def test_no_domain_has_more_than_its_share_where_that_is_possible(counts: list[int], share: float) -> None:
    found = cap(counts, max_share=share)
    feasible = [level for level in range(1, max(counts) + 1) if level <= share * sum(min(n, level) for n in counts)]
    assert found == (max(feasible) if feasible else min(counts))


def test_the_first_by_id_of_each_domain_stay() -> None:
    domains = np.array([0, 0, 0, 1, 1, 2], np.uint32)
    order = np.array([5, 2, 4, 0, 3, 1])
    assert balance_rows(domains, order, Balance(max_per_domain=1)).tolist() == [False, False, True, False, True, True]
    assert balance_rows(domains, order, Balance()).all()


def test_codes_of_domains_say_nothing_about_who_stays() -> None:
    order = np.array([3, 1, 0, 2])
    one = balance_rows(np.array([7, 7, 9, 9], np.uint32), order, Balance(max_per_domain=1))
    other = balance_rows(np.array([2, 2, 1, 1], np.uint32), order, Balance(max_per_domain=1))
    assert one.tolist() == other.tolist() == [False, True, False, True]


def test_a_limit_takes_the_first_in_order() -> None:
    order = np.array([2, 0, 1])
    assert limit_rows(order, 2).tolist() == [True, False, True]
    assert limit_rows(order, 0).all()
    assert limit_rows(order, 9).all()
    assert limit_rows(np.empty(0, np.int64), 3).tolist() == []

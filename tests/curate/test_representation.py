"""Over, under, alike or unclear: intervals that hold together, and no statement from a handful."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.representation import Balance, Group, compare_rates, weigh_groups


def group(balance: Balance, label: str) -> Group:
    return next(each for each in balance.groups if each.label == label)


def test_a_group_that_is_twice_its_share_is_over_and_the_other_one_under() -> None:
    found = weigh_groups("domain", {"bank": 800, "travel": 200}, {"bank": 400, "travel": 600})
    assert group(found, "bank").against_journal == "over"
    assert group(found, "travel").against_journal == "under"
    assert group(found, "bank").against_even == "over"
    assert group(found, "bank").journal == pytest.approx(0.4)


def test_a_thousand_examples_like_the_journal_are_alike() -> None:
    found = weigh_groups("domain", {"bank": 1000, "travel": 1010}, {"bank": 50_000, "travel": 50_000})
    assert {each.against_journal for each in found.groups} == {"alike"}
    assert found.even_chance > 0.5


def test_a_handful_is_unclear() -> None:
    found = weigh_groups("domain", {"bank": 7, "travel": 3}, {"bank": 50, "travel": 50})
    assert {each.against_journal for each in found.groups} == {"unclear"}


def test_a_large_sample_does_not_make_a_small_difference_matter() -> None:
    found = weigh_groups("domain", {"bank": 520_000, "travel": 480_000}, {"bank": 50, "travel": 50})
    assert {each.against_journal for each in found.groups} == {"alike"}
    assert found.even_chance < 1e-6


def test_a_group_that_the_journal_does_not_have_is_not_compared() -> None:
    found = weigh_groups("domain", {"bank": 100, "new": 50}, {"bank": 100})
    assert (group(found, "new").journal, group(found, "new").against_journal) == (0.0, "")
    assert weigh_groups("domain", {"bank": 100}).groups[0].journal is None


def test_diversity_is_in_groups_of_equal_size() -> None:
    assert weigh_groups("d", dict.fromkeys("abcd", 25)).effective == pytest.approx(4.0)
    assert weigh_groups("d", {"a": 100}).effective == pytest.approx(1.0)
    assert weigh_groups("d", {}).groups == ()


def test_groups_come_largest_first_and_ties_by_name() -> None:
    assert [each.label for each in weigh_groups("d", {"b": 5, "c": 9, "a": 5}).groups] == ["c", "a", "b"]


def test_all_intervals_of_a_table_hold_together_as_often_as_they_say() -> None:
    generator = np.random.default_rng(3)
    shares = np.array([0.5, 0.25, 0.15, 0.07, 0.03])
    missed = 0
    for _ in range(400):
        counts = generator.multinomial(300, shares)
        found = weigh_groups("d", {f"g{at}": int(count) for at, count in enumerate(counts)})
        missed += not all(
            group(found, f"g{at}").low <= share <= group(found, f"g{at}").high for at, share in enumerate(shares)
        )
    # At most 5 % are promised; three standard errors of 400 draws above it.
    assert missed / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_a_domain_in_which_half_as_many_are_accepted_is_under() -> None:
    rates = {rate.label: rate for rate in compare_rates({"a": 500, "b": 500}, {"a": 400, "b": 200})}
    assert (rates["b"].standing, rates["b"].rate, rates["b"].others) == ("under", 0.4, 0.8)
    assert rates["a"].standing == "over"
    assert rates["b"].chance < 1e-6


def test_rates_of_a_few_say_nothing() -> None:
    rates = {rate.label: rate for rate in compare_rates({"a": 500, "b": 4}, {"a": 400, "b": 2})}
    assert rates["b"].standing == "unclear"
    assert rates["b"].chance > 0.05


def test_the_only_group_has_no_others() -> None:
    (rate,) = compare_rates({"a": 10}, {"a": 5})
    assert (rate.others, rate.chance, rate.standing) == (0.0, 1.0, "")


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3000), min_size=1))
def test_any_counts_have_shares_inside_their_intervals(counts: dict[str, int]) -> None:
    found = weigh_groups("d", counts, counts)
    assert sum(each.share for each in found.groups) == pytest.approx(1.0)
    for each in found.groups:
        assert 0.0 <= each.low <= each.share + 1e-12
        assert each.share <= each.high + 1e-12 <= 1.0 + 2e-12
        assert each.against_journal in ("alike", "unclear")

"""Label conflicts, against a plain search."""

from array import array
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.conflicts import Found, find_conflicts

Pairs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=60)


def search(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    answers: dict[int, set[int]] = defaultdict(set)
    for prompt, answer in pairs:
        answers[prompt].add(answer)
    torn = {prompt for prompt, given in answers.items() if len(given) > 1}
    return len(torn), sum(prompt in torn for prompt, _ in pairs)


def find(pairs: list[tuple[int, int]]) -> Found:
    return find_conflicts(array("Q", [prompt for prompt, _ in pairs]), array("Q", [answer for _, answer in pairs]))


@given(Pairs)
def test_counts_are_those_of_a_plain_search(pairs: list[tuple[int, int]]) -> None:
    found = find(pairs)
    assert (found.requests, found.examples) == search(pairs)


@given(Pairs)
def test_samples_are_examples_of_one_request_with_several_answers(pairs: list[tuple[int, int]]) -> None:
    for group in find(pairs).groups:
        assert len({pairs[row][0] for row in group}) == 1
        assert len({pairs[row][1] for row in group}) > 1
        assert len(group) <= 5


def test_nothing_has_no_conflict() -> None:
    assert find([]) == Found(0, 0, ())


def test_the_largest_groups_are_shown_first() -> None:
    pairs = [(1, 1), (1, 2), *((2, answer) for answer in range(9)), (3, 1), (3, 1)]
    found = find(pairs)
    assert (found.requests, found.examples) == (2, 11)
    assert [pairs[group[0]][0] for group in found.groups] == [2, 1]


def test_hashes_of_64_bits_are_taken_as_they_are() -> None:
    high = 2**64 - 1
    assert find([(high, 1), (high, 2), (high - 1, 1)]).requests == 1

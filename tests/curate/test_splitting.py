from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.normal import salted
from cortex_cli.curate.spec import Split
from cortex_cli.curate.splitting import PARTS, find_clusters, name_parts, pick_parts, split_examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

THIRDS = Split(0.4, 0.3, 0.3)
NONE = np.empty((0, 2), np.int64)


def examples(prompts: list[int], tasks: list[int] | None = None) -> "dict[str, NDArray[Any]]":
    return {"prompt": np.array(prompts, np.uint64), "task": np.array(tasks or [0] * len(prompts), np.uint64)}


def place(part: str) -> int:
    """A 64-bit hash that falls into *part* of a split in thirds."""
    return int({"train": 0.1, "valid": 0.5, "test": 0.9}[part] * 2**64)


def parts(table: "dict[str, NDArray[Any]]", links: "NDArray[np.int64]" = NONE, split: Split = THIRDS) -> list[str]:
    return [PARTS[part] for part in split_examples(table, links, split)]


def test_parts_get_their_shares() -> None:
    hashes = np.array([salted("salt", f"prompt {number}") for number in range(20_000)], np.uint64)
    counts = Counter(pick_parts(hashes, Split(0.8, 0.1, 0.1)).tolist())
    assert abs(counts[0] / 20_000 - 0.8) < 0.01
    assert abs(counts[1] / 20_000 - 0.1) < 0.01
    assert abs(counts[2] / 20_000 - 0.1) < 0.01


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_a_part_without_a_share_gets_nothing(hashes: list[int]) -> None:
    found = np.array(hashes, np.uint64)
    assert set(pick_parts(found, Split(1.0, 0.0, 0.0)).tolist()) == {0}
    assert 2 not in pick_parts(found, Split(0.8, 0.2, 0.0))
    assert set(pick_parts(found, Split(0.0, 0.0, 1.0)).tolist()) == {2}


@given(st.integers(0, 2**64 - 1))
def test_a_hash_is_a_fraction_below_one(number: int) -> None:
    fraction = (number >> 11) / 2**53
    expected = 0 if fraction < 0.8 else 1 if fraction < 0.8 + 0.1 else 2
    assert pick_parts(np.array([number], np.uint64), Split(0.8, 0.1, 0.1)).tolist() == [expected]


def test_only_parts_with_a_share_exist_in_the_order_of_the_lineage() -> None:
    assert name_parts(Split(0.8, 0.1, 0.1)) == ["test", "train", "valid"]
    assert name_parts(Split(0.8, 0.2, 0.0)) == ["train", "valid"]


def test_rows_fall_where_their_prompt_does() -> None:
    assert parts(examples([place("train"), place("test"), place("valid")])) == ["train", "test", "valid"]


def test_the_task_decides_where_there_is_one() -> None:
    assert parts(examples([place("train"), place("train")], [0, place("test")])) == ["test", "test"]
    assert parts(examples([place("train"), 5], [place("valid"), 0])) == ["valid", "train"]


def test_rows_of_one_task_stay_together() -> None:
    task = place("valid")
    assert parts(examples([place("train"), place("test"), 7], [task, task, 0])) == ["valid", "valid", "train"]


def test_the_most_protected_part_takes_the_cluster() -> None:
    table = examples([place("train"), place("valid"), place("test")])
    assert parts(table, np.array([[0, 1]])) == ["valid", "valid", "test"]
    assert parts(table, np.array([[0, 1], [1, 2]])) == ["test"] * 3


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=20),
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=20),
    st.integers(1, 20),
)
def test_growing_never_moves_anything_out_of_the_test_part(
    prompts: list[int], told: list[tuple[int, int]], few: int
) -> None:
    count = min(few, len(prompts))
    links = np.array([pair for pair in told if max(pair) < len(prompts)] or NONE, np.int64).reshape(-1, 2)
    before = parts(examples(prompts[:count]), links[(links < count).all(axis=1)])
    after = parts(examples(prompts), links)[:count]
    assert all(PARTS.index(new) >= PARTS.index(old) for old, new in zip(before, after, strict=True))


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=30))
def test_clusters_are_those_that_walking_finds(links: list[tuple[int, int]]) -> None:
    found = find_clusters(16, np.array(links or NONE, np.int64).reshape(-1, 2)).tolist()
    least = list(range(16))
    for _ in range(16):
        for one, other in links:
            least[one] = least[other] = min(least[one], least[other])
    assert found == least


def test_long_chains_are_one_cluster() -> None:
    chain = np.stack([np.arange(9999), np.arange(1, 10_000)], axis=1)
    assert set(find_clusters(10_000, chain).tolist()) == {0}
    shuffled = np.random.default_rng(0).permutation(10_000)
    assert set(find_clusters(10_000, shuffled[chain]).tolist()) == {0}

from typing import Any

import numpy as np

from cortex_cli.curate.columns import PAIR, as_ids
from cortex_cli.curate.normal import hash64
from cortex_cli.curate.pairs import find_pairs


def rows(*told: tuple[str, str], flags: int = 0) -> dict[str, Any]:
    ids = as_ids([f"x-{number:024x}" for number in range(len(told))])
    return {
        "prompt": np.array([hash64(prompt) for prompt, _ in told], np.uint64),
        "answer": np.array([hash64(answer) for _, answer in told], np.uint64),
        "flags": np.full(len(told), flags, np.uint8),
        "id": ids,
        "keyed": ids,
    }


def find(right: dict[str, Any], wrong: dict[str, Any], per_prompt: int = 1) -> list[tuple[int, int]]:
    return find_pairs(right, np.arange(len(right["flags"])), wrong, per_prompt)


def test_an_accepted_answer_meets_a_wrong_one_to_the_same_prompt() -> None:
    assert find(rows(("a", "1"), ("b", "2")), rows(("b", "9"), ("c", "8"))) == [(1, 0)]


def test_there_is_nothing_to_pair_without_both() -> None:
    assert find(rows(), rows(("a", "9"))) == []
    assert find(rows(("a", "1")), rows()) == []
    assert find(rows(("a", "1")), rows(("a", "9")), per_prompt=0) == []


def test_a_prompt_has_at_most_as_many_pairs_as_asked_for() -> None:
    right, wrong = rows(("a", "1"), ("a", "2")), rows(("a", "7"), ("a", "8"), ("a", "9"))
    assert find(right, wrong, 1) == [(0, 0)]
    assert find(right, wrong, 2) == [(0, 0), (1, 1)]
    assert find(right, wrong, 9) == [(0, 0), (1, 1), (0, 2)]


def test_every_accepted_answer_gets_a_wrong_one_before_any_gets_two() -> None:
    right, wrong = rows(("a", "1"), ("a", "2"), ("a", "3")), rows(("a", "8"), ("a", "9"))
    assert find(right, wrong, 9) == [(0, 0), (1, 1), (2, 0)]


def test_equal_wrong_answers_are_one() -> None:
    assert find(rows(("a", "1")), rows(("a", "9"), ("a", "9"), ("a", "8")), 9) == [(0, 0), (0, 2)]


def test_what_somebody_else_found_right_is_not_wrong() -> None:
    assert find(rows(("a", "1"), ("a", "2")), rows(("a", "2"), ("a", "9")), 9) == [(0, 1), (1, 1)]
    assert find(rows(("a", "1")), rows(("a", "1"))) == []


def test_a_correction_has_its_wrong_answer_already() -> None:
    assert find(rows(("a", "1"), flags=PAIR), rows(("a", "9"))) == []


def test_only_rows_that_stay_are_paired() -> None:
    right = rows(("a", "1"), ("a", "2"))
    assert find_pairs(right, np.array([1]), rows(("a", "9")), 5) == [(1, 0)]


def test_the_order_of_wrong_answers_is_by_id_and_not_by_reading() -> None:
    wrong = rows(("a", "8"), ("a", "9"))
    backwards = {name: column[::-1] for name, column in wrong.items()}
    assert find(rows(("a", "1")), wrong) == [(0, 0)]
    assert find(rows(("a", "1")), backwards) == [(0, 1)]

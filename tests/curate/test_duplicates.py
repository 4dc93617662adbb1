import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.curate.columns import BLANK, SHORT_ANSWER, SHORT_REQUEST
from cortex_cli.curate.duplicates import Turn, find_equal, find_near, make_comparer
from cortex_cli.curate.normal import hash64, normalise
from cortex_cli.curate.sketches import jaccard, shingle, sketch_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS = [f"w{number:03}" for number in range(500)]


class Scene:
    """Texts as rows in the order of preference, and every pair that was compared."""

    def __init__(self, texts: Sequence[str], flags: int = 0, **columns: Any) -> None:
        self.texts = list(texts)
        self.compared: list[tuple[int, int]] = []
        count = len(texts)
        self.examples: dict[str, NDArray[Any]] = {
            "flags": np.full(count, flags, np.uint8),
            "answer": np.zeros(count, np.uint64),
            "context": np.zeros(count, np.uint64),
            "bands": sketch_texts([normalise(text) for text in texts]),
            **{name: np.array(column) for name, column in columns.items()},
        }

    def turn(self, row: int) -> Turn:
        return Turn(self.texts[row], "")

    def compare(self, pairs: "NDArray[np.int64]") -> "NDArray[np.bool_]":
        self.compared += [(int(one), int(other)) for one, other in pairs]
        told = make_comparer(0.8)([(self.turn(one), self.turn(other)) for one, other in pairs])
        return np.array(told, np.bool_)

    def find(self) -> tuple[list[int], list[tuple[int, int]]]:
        kept, near = find_near(self.examples, np.arange(len(self.texts)), self.compare)
        return kept.tolist(), [(int(one), int(other)) for one, other in near]


def random_text(chance: random.Random, length: int = 80) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(length))


def changed(chance: random.Random, text: str, count: int) -> str:
    words = text.split()
    for at in chance.sample(range(len(words)), count):
        words[at] = chance.choice(WORDS)
    return " ".join(words)


def planted(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    texts = [random_text(chance) for _ in range(count)]
    copies = [changed(chance, chance.choice(texts), chance.randint(1, 4)) for _ in range(count // 4)]
    texts += copies
    chance.shuffle(texts)
    return texts


def test_rows_with_one_key_are_their_first() -> None:
    assert find_equal(np.array([5, 7, 5, 5, 7, 1], np.uint64)).tolist() == [0, 1, 0, 0, 1, 5]
    assert find_equal(np.empty(0, np.uint64)).tolist() == []
    keys = np.array([(1, 2), (1, 3), (1, 2), (0, 3)], [("hi", ">u8"), ("lo", ">u8")])
    assert find_equal(keys).tolist() == [0, 1, 0, 3]


@given(st.lists(st.integers(0, 6)))
def test_equal_rows_are_those_a_dictionary_finds(keys: list[int]) -> None:
    first: dict[int, int] = {}
    expected = [first.setdefault(key, row) for row, key in enumerate(keys)]
    assert find_equal(np.array(keys, np.uint64)).tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_what_is_dropped_is_near_a_row_that_stays_by_brute_force(seed: int) -> None:
    scene = Scene(planted(seed, 300))
    kept, near = scene.find()
    sets = [shingle(normalise(text)) for text in scene.texts]
    for row, owner in enumerate(kept):
        assert kept[owner] == owner
        assert owner <= row
        assert row == owner or jaccard(sets[row], sets[owner]) >= 0.8
    assert all(jaccard(sets[one], sets[other]) >= 0.8 for one, other in near)


def test_near_pairs_are_found_as_often_as_sixteen_bands_promise() -> None:
    scene = Scene(planted(11, 600))
    sets = [shingle(normalise(text)) for text in scene.texts]
    truth = {
        (one, other) for other in range(len(sets)) for one in range(other) if jaccard(sets[one], sets[other]) >= 0.8
    }
    kept, _ = scene.find()
    dropped = {row for row, owner in enumerate(kept) if row != owner}
    should = {other for _, other in truth}
    assert dropped <= should
    assert len(dropped) >= 0.9 * len(should)


def test_a_row_stays_where_its_leader_goes_and_the_new_leader_is_not_near() -> None:
    chance = random.Random(3)
    first = random_text(chance)
    words = first.split()
    # Three words in a block cost five of 78 shingles, so each step is near and two steps together are not.
    second = " ".join([*WORDS[:6], *words[6:]])
    third = " ".join([*WORDS[:6], *words[6:40], *WORDS[6:12], *words[46:]])
    near = [jaccard(shingle(one), shingle(other)) for one, other in ((first, second), (second, third), (first, third))]
    assert near[0] >= 0.8 <= near[1]
    assert near[2] < 0.8
    scene = Scene([first, second, third])
    scene.examples["bands"][:] = 1
    assert scene.find()[0] == [0, 0, 2]


def test_numbers_in_short_answers_are_no_noise() -> None:
    texts = ["book a table for two at eight done booked for 2", "book a table for two at eight done booked for 3"]
    scene = Scene(texts, SHORT_ANSWER, answer=[hash64("booked for 2"), hash64("booked for 3")])
    assert scene.find() == ([0, 1], [])
    assert scene.compared == []


def test_a_short_request_needs_the_same_words_before_it() -> None:
    texts = ["yes please go ahead and do it your order is on its way now"] * 2
    assert Scene(texts, SHORT_REQUEST, context=[1, 2]).find()[0] == [0, 1]
    assert Scene(texts, SHORT_REQUEST, context=[1, 1]).find()[0] == [0, 0]
    assert Scene(texts, 0, context=[1, 2]).find()[0] == [0, 0]


def test_texts_without_any_word_are_no_duplicates_of_each_other() -> None:
    assert Scene(["?", "!", "..."], BLANK).find() == ([0, 1, 2], [])


def test_a_bucket_of_many_unlike_texts_takes_no_square() -> None:
    chance = random.Random(5)
    scene = Scene([random_text(chance) for _ in range(400)])
    scene.examples["bands"][:] = 7
    assert scene.find()[0] == list(range(400))
    assert len(scene.compared) <= 4 * 400


def test_only_rows_that_still_stand_are_compared() -> None:
    chance = random.Random(6)
    text = random_text(chance)
    scene = Scene([text, text, text])
    kept, _ = find_near(scene.examples, np.array([1, 2]), scene.compare)
    assert kept.tolist() == [0, 1, 1]


def test_a_comparer_reads_tokens_and_not_marks() -> None:
    compare = make_comparer(0.8)
    same, other = Turn("List ALL files!", "ls"), Turn("stop the server", "kill 1")
    assert compare([(same, Turn("list all files", "LS.")), (same, other)]) == [True, False]
    assert compare([]) == []


def test_one_canned_answer_makes_no_duplicates_of_unlike_questions() -> None:
    canned = " ".join(WORDS[:60])
    one, other = Turn("how do i reset my password", canned), Turn("where is my parcel", canned)
    assert jaccard(*(shingle(normalise(" ".join(turn))) for turn in (one, other))) >= 0.8
    assert make_comparer(0.8)([(one, other), (one, Turn("how do i reset the password", canned))]) == [False, True]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=30).map(" ".join), min_size=2, max_size=12))
def test_survivors_stay_and_have_no_near_survivor_that_was_compared(texts: list[str]) -> None:
    scene = Scene(texts)
    kept, near = scene.find()
    assert all(kept[owner] == owner for owner in kept)
    assert not any(kept[one] == one and kept[other] == other for one, other in near)

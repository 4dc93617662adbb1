import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.normal import normalise
from cortex_cli.curate.sketches import BANDS, hash_grams, jaccard, shingle, sketch_texts

WORDS = [f"w{number:03}" for number in range(400)]


def share_band(one: str, other: str) -> bool:
    first, second = sketch_texts([one, other])
    return bool((first == second).any())


def test_the_keys_of_a_version_never_change() -> None:
    long = " ".join(WORDS[:40])
    keys = sketch_texts([long, "list all files", "a", "größe"])
    assert keys.shape == (4, BANDS)
    assert [int(row[0]) for row in keys] == [1456778293, 2711153410, 2955629967, 2846093486]


def test_a_text_has_the_same_keys_in_any_company() -> None:
    texts = [" ".join(WORDS[at : at + 5 + at]) for at in range(0, 60, 3)] + ["", "x", "abcde", "abcdef"]
    together = sketch_texts(texts)
    for text, keys in zip(texts, together, strict=True):
        assert (sketch_texts([text])[0] == keys).all()
    assert (sketch_texts(texts[::-1])[::-1] == together).all()


def test_equal_texts_share_every_band_and_unlike_ones_none() -> None:
    one, other = " ".join(WORDS[:80]), " ".join(WORDS[100:180])
    assert (sketch_texts([one])[0] == sketch_texts([one])[0]).all()
    assert not share_band(one, other)
    assert not share_band("list all files", "what is the weather like")


def test_long_texts_are_compared_by_three_words_and_short_ones_by_five_characters() -> None:
    assert shingle("a b c") == frozenset({"a b c"})
    assert shingle("abcdef") == frozenset({"abcde", "bcdef"})
    assert shingle("") == frozenset()
    assert shingle(" ".join(WORDS[:20])) == frozenset(tuple(WORDS[at : at + 3]) for at in range(18))
    assert len(shingle(" ".join(WORDS[:19]))) == 19 * 5 - 1 - 4


def test_the_index_of_jaccard_is_the_shared_part() -> None:
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5
    assert jaccard(frozenset("a"), frozenset("a")) == 1.0
    assert jaccard(frozenset(), frozenset()) == 0.0


def changed(chance: random.Random, words: list[str], count: int) -> list[str]:
    other = list(words)
    for at in chance.sample(range(len(words)), count):
        other[at] = chance.choice(WORDS)
    return other


@pytest.mark.parametrize(("changes", "length"), [(1, 85), (2, 85), (4, 85), (6, 85), (9, 85), (2, 30)])
def test_bands_are_shared_as_often_as_the_index_of_jaccard_says(changes: int, length: int) -> None:
    chance = random.Random(changes)
    texts = [[chance.choice(WORDS) for _ in range(length)] for _ in range(600)]
    pairs = [(" ".join(text), " ".join(changed(chance, text, changes))) for text in texts]
    truth = np.array([jaccard(shingle(one), shingle(other)) for one, other in pairs])
    one, other = (sketch_texts([pair[side] for pair in pairs]) for side in (0, 1))
    shared = (one == other).any(axis=1).mean()
    # 600 coins with the theory's chance: four standard deviations of their mean are at most 0.082.
    assert abs(shared - (1 - (1 - truth**8) ** 16).mean()) < 0.082


def test_short_texts_share_bands_as_often_as_theory_says() -> None:
    chance = random.Random(7)
    texts = ["".join(chance.choice("abcdefghij klmnopqrst") for _ in range(70)) for _ in range(600)]
    pairs = [(normalise(text), normalise(text[:30] + chance.choice("xyz") + text[31:])) for text in texts]
    pairs = [(one, other) for one, other in pairs if one.count(" ") < 19 and other.count(" ") < 19]
    truth = np.array([jaccard(shingle(one), shingle(other)) for one, other in pairs])
    shared = np.array([share_band(one, other) for one, other in pairs]).mean()
    assert abs(shared - (1 - (1 - truth**8) ** 16).mean()) < 0.082


@pytest.mark.parametrize(
    "texts",
    [
        # Sums modulo 2^64 and 32-bit addends have given such families equal keys.
        [f"item {number}" for number in range(1000)],
        ["a" * length for length in range(5, 1000)],
        [" ".join(["to"] * number) for number in range(20, 300)],
        [chr(0x4E00 + at) + chr(0x5E00 + at) for at in range(1000)],
        [f"{number:064b}" for number in range(1000)],
    ],
)
def test_families_of_like_texts_meet_only_where_they_are_alike(texts: list[str]) -> None:
    keys = sketch_texts(texts)
    for band in range(BANDS):
        order = np.argsort(keys[:, band], kind="stable")
        ranked = keys[order, band]
        met = np.flatnonzero(ranked[1:] == ranked[:-1])
        for at in met[:200].tolist():
            # A band of a few shared bins needs something in common; nothing shared means that the hash is broken.
            assert jaccard(shingle(texts[order[at]]), shingle(texts[order[at + 1]])) > 0.0


@given(st.lists(st.text(alphabet="ab 日é", max_size=120).map(normalise), min_size=1, max_size=8))
def test_any_texts_have_keys_that_equality_decides(texts: list[str]) -> None:
    keys = sketch_texts(texts)
    for one in range(len(texts)):
        for other in range(one):
            if texts[one] == texts[other] or shingle(texts[one]) == shingle(texts[other]):
                assert (keys[one] == keys[other]).all()


@given(st.lists(st.lists(st.sampled_from(["a", "b", "cc"]), max_size=9), max_size=6), st.integers(3, 5))
def test_grams_are_equal_exactly_where_their_words_are(texts: list[list[str]], size: int) -> None:
    owners, hashes = hash_grams([" ".join(text) for text in texts], size)
    grams = [
        (number, tuple(text[at : at + size])) for number, text in enumerate(texts) for at in range(len(text) - size + 1)
    ]
    assert owners.tolist() == [number for number, _ in grams]
    by_gram: dict[tuple[str, ...], set[int]] = {}
    for (_, gram), told in zip(grams, hashes.tolist(), strict=True):
        by_gram.setdefault(gram, set()).add(told)
    assert all(len(found) == 1 for found in by_gram.values())
    assert len(set().union(*by_gram.values())) == len(by_gram)

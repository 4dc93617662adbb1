from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.tagging import Found, Span, Split, Tagger, load_tagger, take_span
from cortex_cli.models.words import Could, Vocabulary, split_tokens
from cortex_cli.store.starter import starter_root

SHIPPED = starter_root() / "registry" / "models" / "cortex-names" / "model.safetensors"
LABELS = ("O", "PERSON", "ADDRESS")


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return load_tagger(SHIPPED)


def by_hand(words: dict[str, str]) -> Tagger:
    """A tagger without a context: each word of *words* has a label and every other word has none."""
    vocabulary = Vocabulary(sorted(words), {"and": 3, "at": 3, "hello": 3})
    size, hidden = vocabulary.size, len(LABELS)
    rows = np.zeros((size, hidden), np.float32)
    for row, word in enumerate(sorted(words), 3):
        rows[row, LABELS.index(words[word])] = 20.0
    near = np.zeros((5, hidden, hidden), np.float32)
    near[2] = np.eye(hidden)
    weights = {
        "rows": rows,
        "near": near,
        "near_bias": np.zeros(hidden, np.float32),
        "squeeze": np.zeros((hidden, 1), np.float32),
        "far_own": np.eye(hidden, dtype=np.float32),
        "far_wide": np.zeros((9, hidden), np.float32),
        "far_bias": np.zeros(hidden, np.float32),
        "out": np.eye(hidden, dtype=np.float32),
        "out_bias": np.array([5.0, 0.0, 0.0], np.float32),
    }
    return Tagger(vocabulary, weights, LABELS, {"standard": np.array([2.0, 0.5, 0.5], np.float32)})


HAND = by_hand({"anna": "PERSON", "berg": "PERSON", "elm": "ADDRESS", "street": "ADDRESS", "12": "ADDRESS"})


def found(text: str) -> list[tuple[str, str]]:
    return [(text[start:end], label) for start, end, label in HAND.find([text], "standard")[0]]


def test_a_name_has_one_span_and_what_stands_around_it_stays() -> None:
    assert found("hello Anna Berg, at 12 Elm Street.") == [("Anna Berg", "PERSON"), ("12 Elm Street", "ADDRESS")]


def test_signs_inside_a_name_belong_to_it() -> None:
    assert found("Anna-Berg and Elm\nStreet, 12") == [("Anna-Berg", "PERSON"), ("Elm\nStreet, 12", "ADDRESS")]


def test_a_comma_ends_a_person() -> None:
    assert found("Anna, Berg") == [("Anna", "PERSON"), ("Berg", "PERSON")]


def test_a_number_that_signs_hold_together_is_found_whole() -> None:
    assert found("see 12/7/1999 and 3-12") == [("12/7/1999", "ADDRESS"), ("3-12", "ADDRESS")]


def test_a_number_beside_a_sign_of_arithmetic_is_left_alone() -> None:
    assert found("x =12 *") == []
    assert found("12 = 3 * 4") == []


def test_texts_that_are_read_together_do_not_touch_each_other() -> None:
    texts = ["Anna", "hello", "", "Berg at 12"]
    together = HAND.find(texts, "standard")
    assert together == [HAND.find([text], "standard")[0] for text in texts]
    assert together[3] == [Found(0, 4, "PERSON"), Found(8, 10, "ADDRESS")]


def test_beside_placeholders_only_is_looked_again() -> None:
    far = "hello " * 9
    pieces = f"<PERSON_abcdefghij> Anna {far}Berg".split(" ")
    again = HAND.find_again([Split(pieces, HAND.lexicon.number(pieces))], "standard")[0]
    assert [take_span(pieces, span) for span in again] == ["Anna"]


def test_a_span_over_several_pieces_is_taken_with_its_spaces() -> None:
    pieces = ["(hello", "Anna", "", "Berg)"]
    (span,) = HAND.find_split([Split(pieces, HAND.lexicon.number(pieces))], "standard")[0]
    assert span == Span(1, 0, 3, 4, "PERSON")
    assert take_span(pieces, span) == "Anna  Berg"


def test_nothing_is_found_in_nothing() -> None:
    assert HAND.find([], "standard") == []
    assert HAND.find(["", " ", "\n"], "standard") == [[], [], []]


def test_everything_is_forgotten_before_memory_runs_out() -> None:
    tagger = by_hand({"anna": "PERSON"})
    for number in range(0, 70_000, 1000):
        tagger.find([" ".join(f"w{place}" for place in range(number, number + 1000))], "standard")
    assert len(tagger.lexicon) < 62_000
    assert tagger.find(["hello Anna"], "standard") == [[Found(6, 10, "PERSON")]]


def test_the_shipped_tagger_finds_names_places_and_addresses(tagger: Tagger) -> None:
    text = "Hi, I'm Anna Berg from Uppsala. Send it to 12 Elm Street, Springfield, IL 62704."
    left = text
    for start, end, label in reversed(tagger.find([text], "standard")[0]):
        left = f"{left[:start]}<{label}>{left[end:]}"
    assert left.startswith("Hi, I'm <PERSON> from <")
    assert left.endswith(">.")
    assert "Send it to <ADDRESS>" in left
    assert not {"Anna", "Berg", "Uppsala", "12", "Elm", "Springfield", "62704"} & set(left.replace(",", " ").split())


@pytest.mark.parametrize(
    "text",
    [
        "find . -name '*.c' -mtime +30 | xargs grep foo",
        "what is the exchange rate today",
        "4 + 5 = 9, and 9 * 3 = 27",
        "You are a helpful assistant. Answer briefly.",
        "I still have not received my new card",
    ],
)
def test_the_shipped_tagger_leaves_plain_text_alone(tagger: Tagger, text: str) -> None:
    assert tagger.find([text], "standard") == [[]]


def test_the_shipped_tagger_reads_each_text_as_if_it_were_alone(tagger: Tagger) -> None:
    texts = ["mail Anna", "960406778277", "Berg 12", "call", "Otto", "in 1984"]
    alone = [tagger.find([text], "strict")[0] for text in texts]
    assert tagger.find(texts, "strict") == alone
    assert tagger.find(texts[::-1], "strict") == alone[::-1]


def test_probabilities_are_given_for_every_token(tagger: Tagger) -> None:
    text = "Anna Berg, 12 Elm Street"
    chances = tagger.probabilities(text)
    assert chances.shape == (len(split_tokens(text)), len(tagger.labels))
    assert np.allclose(chances.sum(axis=1), 1.0, atol=1e-4)


def test_strict_finds_at_least_what_standard_finds(tagger: Tagger) -> None:
    text = "anna told berg that the house in uppsala was sold to nordbygg"
    strict, standard = (tagger.find([text], level)[0] for level in ("strict", "standard"))
    covered = {place for span in strict for place in range(span.start, span.end)}
    assert all(place in covered for span in standard for place in range(span.start, span.end))


def test_missing_weights_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no-such-file"):
        load_tagger(tmp_path / "no-such-file")


def test_the_weights_are_small() -> None:
    assert SHIPPED.stat().st_size < 3_000_000


@given(st.lists(st.text("Anab Elm12,.-=\n<>_:/", max_size=40), max_size=5))
def test_spans_are_apart_in_order_and_hold_a_letter_or_digit(texts: list[str]) -> None:
    for text, spans in zip(texts, HAND.find(texts, "standard"), strict=True):
        assert all(one.end <= other.start for one, other in pairwise(spans))
        assert all(any(map(str.isalnum, text[span.start : span.end])) for span in spans)
        assert all(0 <= span.start < span.end <= len(text) for span in spans)


def test_a_word_could_be_one_of_five_things() -> None:
    assert {Could.NOT, Could.NAME, Could.PLACEHOLDER, Could.NUMBER, Could.SUM} == set(range(5))

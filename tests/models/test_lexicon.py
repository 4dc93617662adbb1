import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.models.lexicon import BETWEEN, Lexicon, token_spans
from cortex_cli.models.words import TOKEN, Could, Vocabulary


def lexicon(judged: list[str] | None = None) -> Lexicon:
    """A lexicon over two words, that writes what it judges to *judged*; the rank of a piece is its number of digits."""
    vocabulary = Vocabulary(["anna", "berg"], {"and": 3})
    weights = {
        "rows": np.ones((vocabulary.size, 3), np.float32),
        "near": np.ones((5, 3, 2), np.float32),
        "near_bias": np.full(2, 0.5, np.float32),
    }

    def judge(piece: str) -> tuple[int, int]:
        if judged is not None:
            judged.append(piece)
        return len(piece), sum(map(str.isdigit, piece))

    return Lexicon(vocabulary, weights, judge)


def test_a_piece_has_one_number_and_is_judged_once() -> None:
    judged: list[str] = []
    known = lexicon(judged)
    first, again = known.number(["Anna", "and", "Anna"]), known.number(["and"])
    assert first == [first[0], again[0], first[0]]
    assert judged == ["Anna", "and"]
    assert [known.notes[number] for number in first] == [4, 3, 4]


def test_placeholders_of_one_kind_are_read_alike() -> None:
    known = lexicon()
    one, other, numbered = known.number(["(<PERSON_abcdefghij>,", "(<PERSON_ponmlkjihg>,", "(<PERSON_12>,"])
    assert one == other == numbered
    assert known.number(["(<PLACE_abcdefghij>,"]) != [one]


def test_the_rank_of_a_text_is_the_highest_of_its_pieces() -> None:
    known = lexicon()
    texts = [known.number(text.split(" ")) for text in ("a b", "a 12 3", "", "7 b")]
    assert known.rank(texts) == [0, 2, 0, 1]


def test_texts_become_one_line_with_gaps_as_wide_as_a_word_can_see() -> None:
    known = lexicon()
    line = known.read([known.number(text.split(" ")) for text in ("Anna, 12", "x")])
    assert line.words.tolist()[:BETWEEN] == [0] * BETWEEN
    assert len(line.words) == 3 * BETWEEN + 4
    assert line.firsts.tolist() == [1, 4, 6]
    assert line.sizes.tolist() == [BETWEEN, 2, 1, BETWEEN, 1, BETWEEN]
    assert [line.marks[place] for place in (BETWEEN, BETWEEN + 2)] == [Could.NAME, Could.NUMBER]


def test_what_a_word_adds_to_its_neighbours_is_the_product_of_its_rows() -> None:
    known = lexicon()
    line = known.read([known.number(["and"])])
    rows = len(Vocabulary(["anna", "berg"], {}).rows("and", spaced=True))
    word = line.words[BETWEEN]
    assert known.sums[0, word].tolist() == [3.0 * rows] * 2
    assert known.sums[2, word].tolist() == [3.0 * rows + 0.5] * 2


def test_forgetting_begins_anew() -> None:
    known = lexicon()
    known.number([f"w{number}" for number in range(70_000)])
    known.make_room()
    assert len(known) == 1
    assert known.number(["Anna"]) == [1]


def test_little_is_not_forgotten() -> None:
    known = lexicon()
    known.number(["Anna"])
    known.make_room()
    assert len(known) == 2


@given(st.text("Ab1<>_-:/. \n", max_size=30))
def test_spans_of_tokens_are_in_order_and_hold_the_tokens(text: str) -> None:
    assert [text[start:end] for start, end in token_spans(text)] == TOKEN.findall(text)

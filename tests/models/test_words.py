import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.models.words import FIRST_ROWS, UNKNOWN, Could, Token, Vocabulary, kind_of, split_tokens

KNOWN = Vocabulary(["anna", "the"], {"the": 3, "rose": 1})


def texts(text: str) -> list[str]:
    return [token.text for token in split_tokens(text)]


def test_words_signs_and_line_breaks_are_tokens_and_spaces_only_separate() -> None:
    assert split_tokens("Hi  Ann-Lee,\nok") == [
        Token("Hi", 0, spaced=True),
        Token("Ann", 4, spaced=True),
        Token("-", 7, spaced=False),
        Token("Lee", 8, spaced=False),
        Token(",", 11, spaced=False),
        Token("\n", 12, spaced=False),
        Token("ok", 13, spaced=False),
    ]


@pytest.mark.parametrize(
    "word", ["<PERSON_abcdefghij>", "<API_KEY_12>", "https://a.example/b?c=d", "www.a.example", "get_x"]
)
def test_a_placeholder_a_link_and_an_identifier_are_one_word(word: str) -> None:
    assert texts(f"see {word}, please") == ["see", word, ",", "please"]


def test_what_only_looks_like_a_placeholder_is_signs_and_words() -> None:
    assert texts("<PERSON>") == ["<", "PERSON", ">"]


def test_a_word_is_its_own_row_and_those_of_its_form() -> None:
    rows = KNOWN.rows("Anna", spaced=True)
    assert rows[0] == FIRST_ROWS
    assert KNOWN.rows("Bertha", spaced=True)[0] == UNKNOWN
    assert rows[1:] != KNOWN.rows("Anna", spaced=False)[1:]
    assert all(FIRST_ROWS <= row < KNOWN.size for row in rows)


def test_placeholders_of_one_kind_are_one_word() -> None:
    assert kind_of("<PERSON_abcdefghij>") == kind_of("<PERSON_7>") == "<PERSON>"
    assert KNOWN.normalise("<PERSON_7>") == "<person>"


def test_numbers_are_known_by_their_form_and_years_by_their_century() -> None:
    assert KNOWN.normalise("48213") == KNOWN.normalise("48777")
    assert KNOWN.normalise("1984") == KNOWN.normalise("1991") != KNOWN.normalise("2015")
    assert KNOWN.normalise("42") != KNOWN.normalise("43")


@pytest.mark.parametrize(
    ("token", "could"),
    [
        ("the", Could.NOT),
        ("The", Could.NOT),
        ("rose", Could.NOT),
        ("Rose", Could.NAME),
        ("anna", Could.NAME),
        ("Bertha", Could.NAME),
        ("1984", Could.NUMBER),
        ("7th", Could.NUMBER),
        (",", Could.NOT),
        ("=", Could.SUM),
        ("<PERSON>", Could.PLACEHOLDER),
        ("https://a.example/b/c/d/e/f", Could.NAME),
        ("x" * 30, Could.NOT),
        ("9" * 30, Could.NOT),
        ("", Could.NOT),
    ],
)
def test_plain_words_and_signs_are_no_names(token: str, could: int) -> None:
    assert KNOWN.could_be(token) == could


@given(st.text(max_size=200))
def test_tokens_hold_everything_but_spaces_in_order(text: str) -> None:
    tokens = split_tokens(text)
    assert "".join(token.text for token in tokens) == text.replace(" ", "")
    assert all(text[token.start :].startswith(token.text) for token in tokens)


@given(st.text(min_size=1, max_size=60).filter(lambda text: " " not in text))
def test_every_token_has_rows_and_could_be_something(text: str) -> None:
    for token in split_tokens(text):
        assert KNOWN.rows(token.text, spaced=token.spaced)
        assert KNOWN.could_be(token.text) in range(5)

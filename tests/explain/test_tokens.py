from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.explain.tokens import compare_pieces, iter_pieces, read_content_words, read_pieces, read_words


def test_a_flag_is_one_piece_and_a_name_with_underscores_too() -> None:
    assert read_pieces("tar -xzf a.tgz --no-same-owner") == ("tar", "-xzf", "a", ".", "tgz", "--no-same-owner")
    assert read_pieces('{"tool": "set_timer"}') == ("{", '"', "tool", '"', ":", '"', "set_timer", '"', "}")


def test_a_dash_inside_a_word_is_no_flag() -> None:
    assert read_pieces("well-known 10-20") == ("well", "-", "known", "10", "-", "20")


def test_words_are_lower_case_and_keep_their_apostrophe() -> None:
    assert read_words("What's UP, Doc?") == ["what's", "up", "doc"]


def test_content_words_leave_out_grammar_numbers_and_possession() -> None:
    assert read_content_words("Please set my card's limit to 500 on the card") == ["set", "card", "limit"]


def test_missing_and_extra_pieces_count_how_often_they_stand() -> None:
    assert compare_pieces("ls -l -l", "ls -l -a") == (("-a",), ("-l",))


def test_moved_pieces_are_neither_missing_nor_extra() -> None:
    assert compare_pieces("ls -a -l", "ls -l -a") == ((), ())


@given(st.text())
def test_every_piece_is_where_it_says(text: str) -> None:
    assert all(text[start:end] == piece for piece, start, end in iter_pieces(text))


@given(st.text(), st.text())
def test_what_one_side_lacks_the_other_has_too_much(one: str, other: str) -> None:
    assert compare_pieces(one, other) == compare_pieces(other, one)[::-1]


@given(st.text())
def test_nothing_differs_from_itself(text: str) -> None:
    assert compare_pieces(text, text) == ((), ())

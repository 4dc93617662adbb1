import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.models.writing import Writing

END = 256


def decode(ids: Sequence[int]) -> str:
    return bytes(ids).decode("utf-8", "replace")


def write(ids: Sequence[int], *, stop: tuple[str, ...] = (), limit: int = 1000) -> tuple[Writing, list[str]]:
    row = Writing((1, 2), limit, frozenset({END}), stop, decode, random.Random(0))
    pieces = []
    for token in [*ids, END]:
        row.take(token, -1.0)
        pieces.append(row.new_text())
        if row.finish:
            break
    return row, pieces


@given(st.text(max_size=30))
def test_pieces_are_the_text_whatever_its_letters(text: str) -> None:
    row, pieces = write(text.encode())

    assert "".join(pieces) == row.text == text
    assert row.finish == "stop"


@given(st.lists(st.integers(0, 255), max_size=20))
def test_pieces_are_the_text_even_of_broken_bytes(ids: list[int]) -> None:
    row, pieces = write(ids)

    assert "".join(pieces) == row.text == decode(ids)


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop_text_and_nothing_of_it_is_given_out(text: str, stops: list[str]) -> None:
    row, pieces = write(text.encode(), stop=tuple(stops))
    # The first that is complete ends the text: of two that end together, the one that began first.
    ends = [min(text.find(stop), 99) for stop in stops if stop in text]
    complete = min((text.find(stop) + len(stop) for stop in stops if stop in text), default=len(text))
    places = [text[:complete].find(stop) for stop in stops if stop in text[:complete]]

    assert row.text == (text[: min(places)] if ends else text)
    assert "".join(pieces) == row.text


def test_a_row_that_reaches_its_limit_says_so_and_gives_all_out() -> None:
    row, pieces = write("häuser".encode(), limit=3, stop=("äu",))
    answer = row.answer(2.0)

    assert "".join(pieces) == "hä"
    assert (answer.finish, answer.tokens_in, answer.tokens_out, answer.seconds) == ("length", 2, 3, 2.0)
    assert answer.logprob == -1.0


def test_letters_are_not_given_out_before_all_their_bytes_are_there() -> None:
    _, pieces = write("a€b".encode())

    assert pieces == ["a", "", "", "€", "b", ""]

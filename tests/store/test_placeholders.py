import re
import sqlite3
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.store.database import open_writer
from cortex_cli.store.placeholders import drop_unused, find_placeholders, number_tags, read_tags


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_writer(tmp_path / "journal.db")
    yield connection
    connection.close()


ANNA, BEN, MAIL = b"<PERSON_aaaaaaaaaa>", b"<PERSON_bbbbbbbbbb>", b"<EMAIL_cccccccccc>"


def test_tags_are_numbered_by_kind_in_the_order_of_their_appearance(connection: sqlite3.Connection) -> None:
    bodies = [b"%s and %s" % (BEN, MAIL), b"%s, %s" % (ANNA, BEN)]
    assert number_tags(connection, bodies) == [b"<PERSON_1> and <EMAIL_1>", b"<PERSON_2>, <PERSON_1>"]
    assert number_tags(connection, [ANNA, MAIL]) == [b"<PERSON_2>", b"<EMAIL_1>"]


def test_what_only_looks_like_a_tag_stays(connection: sqlite3.Connection) -> None:
    bodies = [b"<b>bold</b>", b"<PERSON_3>", b"<person_aaaaaaaaaa>", b"<PERSON_aaaaaaaaaz>", b"<PERSON_aaaa>", b"a < b"]
    assert number_tags(connection, bodies) == bodies
    assert connection.execute("SELECT count(*) FROM placeholders").fetchone() == (0,)


def test_kinds_of_two_words_are_kinds(connection: sqlite3.Connection) -> None:
    assert number_tags(connection, [b"<CREDIT_CARD_aaaaaaaaaa>"]) == [b"<CREDIT_CARD_1>"]


def test_reading_numbers_gives_none_out(connection: sqlite3.Connection) -> None:
    number_tags(connection, [ANNA])
    assert read_tags(connection, [ANNA + BEN]) == [b"<PERSON_1>" + BEN]
    assert number_tags(connection, [BEN]) == [b"<PERSON_2>"]


def test_a_dropped_number_is_never_given_again(connection: sqlite3.Connection) -> None:
    number_tags(connection, [ANNA, BEN])
    assert drop_unused(connection, {"PERSON_2", "PERSON_9"}) == 1
    assert number_tags(connection, [BEN]) == [b"<PERSON_3>"]
    assert number_tags(connection, [ANNA]) == [b"<PERSON_1>"]


def test_numbered_placeholders_are_found(connection: sqlite3.Connection) -> None:
    assert find_placeholders([b"<PERSON_3> <EMAIL_10>", b"none", b"<PERSON_3> < <b>"]) == {"PERSON_3", "EMAIL_10"}


tags = st.builds(
    "<{}_{}>".format, st.sampled_from(["PERSON", "EMAIL", "IP_ADDRESS"]), st.text("abp", min_size=10, max_size=10)
)
texts = st.lists(st.one_of(tags, st.text(string.printable, max_size=8)), max_size=8).map("".join)


@settings(max_examples=60, deadline=None)
@given(bodies=st.lists(texts, max_size=6))
def test_equal_tags_have_equal_numbers_and_all_else_stays(bodies: list[str]) -> None:
    connection = open_writer(Path(":memory:"))
    tag = re.compile(r"<([A-Z][A-Z0-9_]*)_[a-p]{10}>")
    told = number_tags(connection, [body.encode() for body in bodies])
    again = read_tags(connection, [body.encode() for body in bodies])
    connection.close()
    assert told == again
    numbers: dict[str, str] = {}
    for body, found in zip(bodies, told, strict=True):
        pieces = tag.split(body)[::2]
        pattern = r"<([A-Z][A-Z0-9_]*_[0-9]+)>".join(re.escape(piece) for piece in pieces)
        match = re.fullmatch(pattern, found.decode(), re.DOTALL)
        assert match is not None
        for original, number in zip([each[0] for each in tag.finditer(body)], match.groups(), strict=True):
            assert numbers.setdefault(original, number) == number
    assert len(set(numbers.values())) == len(numbers)

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.patterns import ASSIGNED, COLONS, DIGITS, DOTTED, LONG, Cut, Rule, RuleBook
from cortex_cli.collect.personal import PERSONAL, STRICT
from cortex_cli.collect.secrets import SECRETS

FIRST = Rule("FIRST", re.compile(r"ab+"), ("ab",))
SECOND = Rule("SECOND", re.compile(r"b+c(d)"), ("c",))
NUMBER = Rule("NUMBER", re.compile(r"\d{8}"), (DIGITS,))
EVERY = [*SECRETS, *PERSONAL, *STRICT]


def test_cuts_come_in_order_with_their_places() -> None:
    assert RuleBook([FIRST]).find("x abb y ab") == [Cut(2, 5, "FIRST"), Cut(8, 10, "FIRST")]


def test_the_last_group_is_what_is_cut() -> None:
    assert RuleBook([SECOND]).find("bbcd") == [Cut(3, 4, "SECOND")]


def test_what_an_earlier_rule_takes_a_later_one_leaves() -> None:
    whole = Rule("WHOLE", re.compile(r"ab+cd"), ("cd",))
    assert RuleBook([FIRST, whole]).find("abbcd") == [Cut(0, 3, "FIRST")]
    assert RuleBook([whole, FIRST]).find("abbcd") == [Cut(0, 5, "WHOLE")]


def test_a_check_decides_how_much_is_cut() -> None:
    none = FIRST._replace(accept=lambda _: 0)
    two = FIRST._replace(accept=lambda _: 2)
    assert RuleBook([none]).find("abbb") == []
    assert RuleBook([two]).find("abbb") == [Cut(0, 2, "FIRST")]


def test_a_book_without_rules_finds_nothing() -> None:
    assert RuleBook([]).find("ab 12345678") == []


@pytest.mark.parametrize("around", ["", "word " * 40, "7 of 9, " * 30])
def test_a_number_is_found_wherever_it_stands(around: str) -> None:
    found = RuleBook([NUMBER]).find(f"{around}12345678 {around}")
    assert [cut.kind for cut in found] == ["NUMBER"]


def test_a_keyword_counts_in_any_case_and_any_piece() -> None:
    rule = Rule("X", re.compile(r"(?i)token \w+"), ("token",))
    assert RuleBook([rule]).find("a TOKEN abc")
    assert RuleBook([rule]).find("no such thing") == []


@pytest.mark.parametrize(
    ("hint", "piece"),
    [(DIGITS, "+1-23"), (DOTTED, "a10.0.0.1"), (COLONS, "fe80::1"), (LONG, "a" * 20), (ASSIGNED, "DB_PASSWORD=x")],
)
def test_a_hint_is_given_by_the_form_of_a_piece(hint: str, piece: str) -> None:
    rule = Rule("X", re.compile(re.escape(piece)), (hint,) if hint != DIGITS else (hint, "+"))
    assert RuleBook([rule]).find(f"see {piece} there")


def test_many_pieces_are_forgotten_in_time() -> None:
    book = RuleBook([FIRST])
    for number in range(0, 210_000, 1000):
        book.find(" ".join(map(str, range(number, number + 1000))))
    assert book.find("abb") == [Cut(0, 3, "FIRST")]


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: f"{rule.kind} {rule.pattern.pattern[:30]}")
def test_every_rule_masks_one_group_at_most_and_names_a_kind(rule: Rule) -> None:
    assert rule.pattern.groups <= 1
    assert rule.kind.replace("_", "").isupper()
    assert all(keyword == keyword.lower() and " " not in keyword for keyword in rule.keywords)


@given(st.text("ab cd12.:-/=", max_size=60))
def test_cuts_never_overlap_and_stay_in_the_text(text: str) -> None:
    cuts = RuleBook([FIRST, SECOND, NUMBER]).find(text)
    assert all(one.end <= other.start for one, other in pairwise(cuts))
    assert all(0 <= cut.start < cut.end <= len(text) for cut in cuts)


@given(st.text("abcd12 ", max_size=40))
def test_looking_twice_gives_the_same(text: str) -> None:
    book = RuleBook(EVERY)
    assert book.find(text) == book.find(text)

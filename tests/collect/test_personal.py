"""Values that are made by their own rule, not taken from a list: what is valid is found wherever it stands."""

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortex_cli.collect.patterns import RuleBook
from cortex_cli.collect.personal import PERSONAL, STRICT

BOOK = RuleBook(PERSONAL)
DIGITS = "0123456789"
WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=10)
VALUES = {
    "anna.berg+news@mail.example.org": "EMAIL",
    "4111 1111 1111 1111": "CARD",
    "5500-0000-0000-0004": "CARD",
    "180001894718246": "CARD",
    "GB82 WEST 1234 5698 7654 32": "IBAN",
    "DE89370400440532013000": "IBAN",
    "gb42nawi04454264788619": "IBAN",
    "203.0.113.77": "IP",
    "2001:db8:0:42::8a2e:370": "IP",
    "00:80:48:BA:d1:30": "MAC",
    "536-90-4399": "SSN",
    "+46 8 123 456 78": "PHONE",
    "+41 (0)71 526 99 04": "PHONE",
    "+447700 208 815": "PHONE",
    "+1-903-140-4508x769": "PHONE",
    "(212) 555-0147": "PHONE",
    "(602)272-9781": "PHONE",
    "(08) 8747 6301": "PHONE",
    "212-555-0147": "PHONE",
    "259.735.7502x459": "PHONE",
    "020 7946 0958": "PHONE",
    "0490 75 40 81": "PHONE",
    "0378 3549890": "PHONE",
    "01.84.17.61.18": "PHONE",
}


def kinds(text: str) -> list[tuple[str, str]]:
    return [(text[start:end], kind) for start, end, kind in BOOK.find(text)]


@pytest.mark.parametrize(("value", "kind"), VALUES.items())
@pytest.mark.parametrize("form", ["it is {}, thanks", "({})", "to:\n{}\n", "{}"])
def test_a_value_is_found_as_what_it_is(value: str, kind: str, form: str) -> None:
    if form == "({})" and value.startswith("("):
        return
    assert kinds(form.format(value)) == [(value, kind)]


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("call me on 780 6326 please", "780 6326", "PHONE"),
        ("Mobile: 9498777106", "9498777106", "PHONE"),
        ("fax 99 577450", "99 577450", "PHONE"),
        ("born on 3/14/1971 in June", "3/14/1971", "DATE"),
        ("date of birth: 14 March 1971", "14 March 1971", "DATE"),
        ("my SSN is 536904399", "536904399", "SSN"),
        ("see linkedin.com/in/anna-berg-77", "anna-berg-77", "HANDLE"),
    ],
)
def test_a_form_that_could_be_anything_is_found_by_what_stands_before_it(text: str, value: str, kind: str) -> None:
    assert kinds(text) == [(value, kind)]


@pytest.mark.parametrize(
    "text",
    [
        "the meeting is on 2026-01-02 at 10:30:00, or on 01-02-2026",
        "add 1234567 and 7654321 to get 8888888",
        "4111 1111 1111 1112 fails the check sum",
        "GB82 WEST 1234 5698 7654 33 fails too",
        "listen on 127.0.0.1 or 0.0.0.0 with mask 255.255.255.0, ask 8.8.8.8",
        "std::vector<int> a::b and 12:30:45",
        "find . -name '*.c' -mtime +30 -size +100k",
        "a @decorator and user@host",
        "call 5 times, or ring twice in 30 minutes",
        "50,000 - 30,000 = 20,000 and 1.5 x 2.25 = 3.375",
        "version 10.15.7.1234 of 2024",
        "pi is 3.14159265358979",
        "id 7f3a-22b1-9c0d",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert kinds(text) == []


def luhn_digit(digits: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


@given(
    st.sampled_from(["4", "51", "34", "60"]), st.text(DIGITS, min_size=14, max_size=14), st.sampled_from(["", " ", "-"])
)
def test_every_number_with_a_right_check_digit_is_a_card(start: str, rest: str, gap: str) -> None:
    digits = (start + rest)[:15]
    digits += luhn_digit(digits)
    shown = gap.join(digits[place : place + 4] for place in range(0, 16, 4))
    assert kinds(f"card {shown} please") == [(shown, "CARD")]


@given(st.sampled_from(["DE", "GB", "NO", "SE"]), st.text(DIGITS, min_size=11, max_size=18), st.booleans())
def test_every_number_with_right_check_digits_is_an_iban(country: str, account: str, spaced: bool) -> None:
    code = "".join(str(int(letter, 36)) for letter in country)
    plain = f"{country}{98 - int(account + code + '00') % 97:02}{account}"
    shown = " ".join(plain[place : place + 4] for place in range(0, len(plain), 4)) if spaced else plain
    assert (shown, "IBAN") in kinds(f"to {shown} AND more")


@given(st.text(DIGITS, min_size=16, max_size=16))
def test_a_number_with_a_wrong_check_digit_is_left_alone(digits: str) -> None:
    assume(digits[-1] != luhn_digit(digits[:-1]) and not digits.startswith("00"))
    assert kinds(f"order {digits} shipped") == []


@given(WORD, WORD, st.sampled_from(["com", "org", "museum"]), st.sampled_from(["", ".", "_", "+", "-"]))
def test_every_address_of_mail_is_found(user: str, host: str, top: str, sign: str) -> None:
    address = f"{user}{sign}{user}@{host}.{top}"
    assert kinds(f"<{address}>,") == [(address, "EMAIL")]


@given(st.ip_addresses(v=4))
def test_an_address_that_tells_a_machine_is_found(address: object) -> None:
    text = str(address)
    assume(not text.startswith(("127.", "0.", "255.")) and text not in {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1"})
    assert kinds(f"from {text}, port 80") == [(text, "IP")]


@given(
    st.integers(1, 999),
    st.lists(st.text(DIGITS, min_size=2, max_size=4), min_size=3, max_size=4),
    st.sampled_from(" -"),
)
def test_every_international_number_is_a_phone(country: int, groups: list[str], gap: str) -> None:
    assume(7 <= sum(map(len, groups)) <= 12)
    number = f"+{country}{gap}{gap.join(groups)}"
    assert kinds(f"use {number} today") == [(number, "PHONE")]


@given(st.dates(min_value=date(1000, 1, 1)), st.times())
def test_no_date_or_time_is_taken_for_anything(day: object, moment: object) -> None:
    for text in (f"on {day} at {moment}", f"{day}T{moment}Z"):
        assert kinds(text) == []


@given(st.text("abcdefghijklmnopqrstuvwxyz '.,?!", max_size=200))
def test_plain_words_are_never_touched(text: str) -> None:
    assert kinds(text) == []


@given(st.integers(0, 99_999), st.integers(0, 99_999), st.sampled_from("+-*/"))
def test_arithmetic_is_never_touched(left: int, right: int, sign: str) -> None:
    for text in (f"{left} {sign} {right} = {left + right}", f"{left}{sign}{right}={left + right}"):
        assert kinds(text) == []


def test_strict_finds_handles_home_folders_and_runs_of_digits() -> None:
    text = "/home/anna/x.txt by @anna_b, order 123456789, for Quorbly Nirst. The end"
    found = RuleBook(STRICT).find(text)
    assert [text[start:end] for start, end, _ in found] == ["anna", "@anna_b", "123456789", "Quorbly Nirst"]


@pytest.mark.parametrize(
    "text", ["1 " * 100_000, "0-" * 100_000, "f:" * 99_999, "a@" * 50_000, "+1(2)" * 40_000, f"+{'1' * 40}a " * 5_000]
)
def test_no_text_makes_it_hang(text: str) -> None:
    assert isinstance(RuleBook(PERSONAL + STRICT).find(text), list)

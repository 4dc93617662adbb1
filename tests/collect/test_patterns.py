"""Values that are made by their own rule, not taken from a list: what is valid is masked wherever it stands."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortex_cli.collect.patterns import PERSONAL, SECRETS, STRICT
from cortex_cli.collect.redact import Redactor

DIGITS = "0123456789"
WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=10)


def redact(text: str) -> str:
    return Redactor(b"k" * 32).redact_text(text)


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
    assert redact(f"card {shown} please").startswith("card <CARD_")


@given(st.sampled_from(["DE", "GB", "NO", "SE"]), st.text(DIGITS, min_size=11, max_size=18), st.booleans())
def test_every_number_with_right_check_digits_is_an_iban(country: str, account: str, spaced: bool) -> None:
    code = "".join(str(int(letter, 36)) for letter in country)
    plain = f"{country}{98 - int(account + code + '00') % 97:02}{account}"
    shown = " ".join(plain[place : place + 4] for place in range(0, len(plain), 4)) if spaced else plain
    assert redact(f"to {shown} AND more").startswith("to <IBAN_")


@given(st.text(DIGITS, min_size=16, max_size=16))
def test_a_number_with_a_wrong_check_digit_is_left_alone(digits: str) -> None:
    assume(digits[-1] != luhn_digit(digits[:-1]))
    assert redact(f"order {digits} shipped") == f"order {digits} shipped"


@given(WORD, WORD, st.sampled_from(["com", "org", "museum"]), st.sampled_from(["", ".", "_", "+", "-"]))
def test_every_address_of_mail_is_masked(user: str, host: str, top: str, sign: str) -> None:
    assert redact(f"<{user}{sign}{user}@{host}.{top}>,").startswith("<<EMAIL_")


@given(st.ip_addresses(v=4))
def test_an_address_that_tells_a_machine_is_masked(address: object) -> None:
    text = str(address)
    assume(not text.startswith(("127.", "0.", "255.")))
    assert redact(f"from {text}, port 80").startswith("from <IP_")


@given(
    st.integers(1, 999),
    st.lists(st.text(DIGITS, min_size=2, max_size=4), min_size=3, max_size=4),
    st.sampled_from(" -"),
)
def test_every_international_number_is_a_phone(country: int, groups: list[str], gap: str) -> None:
    assume(7 <= sum(map(len, groups)) <= 12)
    masked = redact(f"call +{country}{gap}{gap.join(groups)} today")
    assert "<PHONE_" in masked or "<CARD_" in masked  # twelve digits may happen to be a valid card


@given(st.dates(), st.times())
def test_no_date_or_time_is_taken_for_anything(day: object, moment: object) -> None:
    for text in (f"on {day} at {moment}", f"{day}T{moment}Z"):
        assert redact(text) == text


@given(st.text("abcdefghijklmnopqrstuvwxyz '.,?!", max_size=200))
def test_plain_words_are_never_touched(text: str) -> None:
    assume("password" not in text)
    assert redact(text) == text


@given(st.integers(0, 99_999), st.integers(0, 99_999), st.sampled_from("+-*/"))
def test_arithmetic_is_never_touched(left: int, right: int, sign: str) -> None:
    for text in (f"{left} {sign} {right} = {left + right}", f"{left}{sign}{right}={left + right}"):
        assert redact(text) == text


@pytest.mark.parametrize("rule", [*SECRETS, *PERSONAL, *STRICT])
def test_every_rule_masks_one_group_at_most_and_names_a_kind(rule: object) -> None:
    from cortex_cli.collect.patterns import Rule

    assert isinstance(rule, Rule)
    assert rule.pattern.groups <= 1
    assert rule.kind.replace("_", "").isupper()
    assert all(keyword == keyword.lower() for keyword in rule.keywords)

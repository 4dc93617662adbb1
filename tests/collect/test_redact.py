import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.redact import NOT_COVERED, Policy, Redactor
from cortex_cli.domain.interactions import Feedback, Interaction, Message

KEY = b"k" * 32
SECRETS = {
    "sk-proj-abcdefghijklmnop1234": "API_KEY",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": "API_KEY",
    "github_pat_11ABCDEFG0abcdefghij_klm": "API_KEY",
    "glpat-abcdefghij0123456789": "API_KEY",
    "AKIAIOSFODNN7EXAMPLE": "API_KEY",
    "AIzaSyA-abcdefghijklmnopqrstuvwxyz01234": "API_KEY",
    "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH": "API_KEY",
    "xoxb-1234567890-abcdefghij": "API_KEY",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N": "TOKEN",
}
PERSONAL = {
    "anna.berg+news@mail.example.org": "EMAIL",
    "4111 1111 1111 1111": "CARD",
    "5500-0000-0000-0004": "CARD",
    "GB82 WEST 1234 5698 7654 32": "IBAN",
    "DE89370400440532013000": "IBAN",
    "203.0.113.77": "IP",
    "2001:db8:0:42::8a2e:370": "IP",
    "536-90-4399": "SSN",
    "+46 8 123 456 78": "PHONE",
    "(212) 555-0147": "PHONE",
    "212-555-0147": "PHONE",
    "020 7946 0958": "PHONE",
}


def redact(text: str, policy: Policy = "standard") -> str:
    return Redactor(KEY, policy).redact_text(text)


@pytest.mark.parametrize(("value", "kind"), [*SECRETS.items(), *PERSONAL.items()])
def test_a_value_becomes_a_placeholder_of_its_kind(value: str, kind: str) -> None:
    masked = redact(f"please use {value}, thanks")
    assert re.fullmatch(rf"please use <{kind}_[a-p]{{10}}>, thanks", masked)


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter22",
        "DB_PASSWORD = hunter22",
        "export API_KEY='abcd1234efgh'",
        'token: "abcdefgh"',
        "passwd: h4nter22",
        "https://anna:hunter22@host.example/path",
        "Authorization: Bearer abc123def456ghi789",
        "authorization: basic dXNlcjpwYXNzd29yZDE=",
        '{"password": "hunter22"}',
    ],
)
def test_a_secret_is_found_by_what_stands_before_it(text: str) -> None:
    masked = redact(text)
    assert "<PASSWORD_" in masked or "<TOKEN_" in masked
    assert not any(value in masked for value in ("hunter22", "h4nter22", "abcdefgh", "abc123def", "dXNl", "abcd1234"))


@pytest.mark.parametrize("tail", ["\n-----END RSA PRIVATE KEY-----\nafter", "", "\nand the log was cut here"])
def test_a_private_key_is_masked_to_its_end_or_to_the_end_of_the_text(tail: str) -> None:
    masked = redact("before\n-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc" + tail)
    assert "MIIE" not in masked
    assert masked.startswith("before\n<PRIVATE_KEY_")
    assert masked.endswith("after") is tail.endswith("after")


@pytest.mark.parametrize(
    "text",
    [
        "the meeting is on 2026-01-02 at 10:30:00, or on 01-02-2026",
        "add 1234567 and 7654321 to get 8888888",
        "4111 1111 1111 1112 fails the check sum",
        "GB82 WEST 1234 5698 7654 33 fails too",
        "listen on 127.0.0.1 or 0.0.0.0 with mask 255.255.255.0",
        "std::vector<int> a::b and 12:30:45",
        "my password is not here: see the token ring",
        "password=$DB_PASSWORD token={{ token }} secret=<none>",
        "password: required",
        "tokenizer=fast keyboard=us",
        "find . -name '*.c' -mtime +30 -size +100k",
        "a @decorator and user@host",
        "basic responsibilities of the bearer",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_the_same_value_has_the_same_placeholder_however_it_is_written() -> None:
    assert redact("anna@example.org") == redact("Anna@Example.ORG")
    assert redact("4111 1111 1111 1111") == redact("4111111111111111")
    assert redact("anna@example.org") != redact("berta@example.org")


def test_another_key_gives_another_placeholder() -> None:
    assert Redactor(b"a" * 32).redact_text("a@example.org") != Redactor(b"b" * 32).redact_text("a@example.org")


def test_masks_are_counted_by_kind() -> None:
    redactor = Redactor(KEY)
    redactor.redact_text("a@example.org b@example.org 203.0.113.77")
    assert redactor.counts == {"EMAIL": 2, "IP": 1}


def test_a_secret_that_looks_like_personal_data_is_a_secret() -> None:
    assert redact("password=anna@example.org").startswith("password=<PASSWORD_")


def test_strict_masks_more_and_off_masks_nothing() -> None:
    text = "/home/anna/x.txt by @anna_b, order 123456789, a@example.org, sk-abcdefghijklmnop1234"
    strict = redact(text, "strict")
    assert "anna" not in strict
    assert "123456789" not in strict
    assert "/home/anna" in redact(text)
    assert redact(text, "off") == text


def test_names_are_said_to_be_not_covered() -> None:
    assert redact("Anna Berg of Uppsala") == "Anna Berg of Uppsala"
    assert "names of people" in NOT_COVERED


def test_json_stays_json_and_numbers_are_masked_whole() -> None:
    text = '{"card": 4111111111111111, "note": "mail a@example.org", "n": [1, 2.5, true, null]}'
    masked = json.loads(redact(text))
    assert masked["card"].startswith("<CARD_")
    assert masked["note"].startswith("mail <EMAIL_")
    assert masked["n"] == [1, 2.5, True, None]


def test_json_with_nothing_in_it_keeps_its_spelling() -> None:
    text = '{ "b": 1,\n  "a": "x" }'
    assert redact(text) == text


def test_a_field_called_password_is_masked_whatever_its_value() -> None:
    assert "correct horse" not in redact('{"db": {"password": "correct horse battery"}}')


record = Interaction(
    id="i-1",
    agent="shell",
    time="",
    messages=(
        Message("user", "mail a@example.org"),
        Message("assistant", "", tool_calls='[{"arguments": "{\\"to\\": \\"a@example.org\\"}"}]'),
    ),
    output="sent to a@example.org",
    tools='[{"name": "send"}]',
    error="refused by a@example.org",
    user="a@example.org",
    meta={"reply": "a@example.org"},
)


def test_no_field_of_an_interaction_keeps_the_value() -> None:
    masked = Redactor(KEY).redact_record(record)
    assert b"a@example.org" not in msgspec.json.encode(masked)
    assert masked.id == record.id
    assert isinstance(masked, Interaction)
    assert masked.user.startswith("<ACCOUNT_")
    assert json.loads(masked.messages[1].tool_calls)


def test_the_free_text_of_feedback_is_masked() -> None:
    given_by_hand = Feedback(
        id="f-1", target="i-1", kind="comment", time="", comment="tell a@example.org", demonstration="a@example.org"
    )
    assert b"a@example.org" not in msgspec.json.encode(Redactor(KEY).redact_record(given_by_hand))


def test_off_gives_the_record_as_it_is() -> None:
    assert Redactor(KEY, "off").redact_record(record) is record


@pytest.mark.parametrize("policy", ["standard", "strict"])
@pytest.mark.parametrize("value", [*SECRETS, *PERSONAL])
def test_masking_twice_changes_nothing(value: str, policy: Policy) -> None:
    once = redact(f"x {value} y password={value} https://u:{value}@h", policy)
    assert redact(once, policy) == once


pieces = st.sampled_from([*SECRETS, *PERSONAL, "password=", "token: ", "://a:", "@", " ", "\n", '"', "12", "-", "."])


@given(st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=12).map("".join))
def test_no_known_value_survives_between_spaces(noise: str) -> None:
    for value in ("anna.berg+news@mail.example.org", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"):
        assert f" {value} " not in redact(f"{noise} {value} {noise}")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(max_size=20), pieces),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=3))
def test_any_json_stays_json(value: dict[str, Any]) -> None:
    msgspec.json.decode(redact(json.dumps(value)))


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "a@" * 50_000, "1 " * 100_000, "-" * 200_000, "0-" * 100_000, "f:" * 99_999]
)
def test_no_text_makes_it_hang(text: str) -> None:
    assert isinstance(redact(f"password token @ :// + {text}", "strict"), str)

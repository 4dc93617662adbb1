import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.masking import RULES
from cortex_cli.collect.redact import NOT_COVERED, NUMBER, Policy, Redactor, current_stamp, default_names
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.interactions import Feedback, Interaction, Message

KEY = b"k" * 32
VALUES = {
    "sk-proj-abcdefghijklmnop1234": "API_KEY",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789": "API_KEY",
    "anna.berg+news@mail.example.org": "EMAIL",
    "4111 1111 1111 1111": "CARD",
    "GB82 WEST 1234 5698 7654 32": "IBAN",
    "203.0.113.77": "IP",
    "536-90-4399": "SSN",
    "+46 8 123 456 78": "PHONE",
    "Anna Berg": "PERSON",
    "https://www.anna-berg.se/about": "URL",
}
PINNED = (3, "9b9ae8619877ab9b")
_SHARED: dict[Policy, Redactor] = {policy: Redactor(KEY, policy) for policy in ("standard", "strict", "off")}


def redact(text: str, policy: Policy = "standard") -> str:
    return _SHARED[policy].redact_text(text)


@pytest.mark.parametrize(("value", "kind"), VALUES.items())
def test_a_value_becomes_a_placeholder_of_its_kind(value: str, kind: str) -> None:
    masked = redact(f"Please write this down: {value}, thanks")
    assert re.fullmatch(rf"Please write this down: <{kind}_[a-p]{{10}}>, thanks", masked)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Hi, I'm Anna Berg, I live in Lisbon.", {"Anna", "Berg", "Lisbon"}),
        ("the princess royal arrived at bauru this morning from bahrain.", {"bauru", "bahrain"}),
        ("Send it to 12 Elm Street, Apt 4, Springfield, IL 62704 please.", {"Elm", "Springfield", "62704"}),
        ("Dear Mr. Kowalski,\nyour order for Nordbygg AB is late.\nKind regards,\nPriya", {"Kowalski", "Priya"}),
        ("My son is 7 and his sister Zoë is 12.", {"Zoë"}),
        ("I was born on 14 March 1971 in Kraków, Poland.", {"1971", "Kraków", "Poland"}),
    ],
)
def test_names_places_addresses_and_dates_are_found(text: str, left: set[str]) -> None:
    assert not left & set(re.findall(r"\w+", redact(text)))


@pytest.mark.parametrize(
    "text",
    [
        "add 1234567 and 7654321 to get 8888888",
        "4 boxes of 12 eggs make 48 eggs, so 48 / 6 = 8 each.",
        "find . -name '*.c' -mtime +30 -size +100k | xargs wc -l",
        "tar -czf backup.tar.gz /var/www && chmod 644 backup.tar.gz",
        "How do I activate my new card?",
        "what is the exchange rate today",
        "std::vector<int> a::b and 12:30:45",
        "You are a helpful assistant. Use the tools and answer briefly.",
        '{"name": "get_weather", "arguments": {"unit": "celsius", "days": 3}}',
        "SELECT COUNT(*) FROM orders WHERE status = 'open';",
    ],
)
def test_arithmetic_code_and_plain_requests_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_the_same_person_has_the_same_placeholder_however_it_is_written() -> None:
    tags = {
        re.findall(r"<PERSON_\w+>", redact(f"My name is {name}."))[0]
        for name in ("Anna Berg", "anna berg", "Anna  Berg")
    }
    assert len(tags) == 1
    assert redact("anna@example.org") == redact("Anna@Example.ORG")
    assert redact("anna@example.org") != redact("berta@example.org")


def test_another_key_gives_another_placeholder() -> None:
    assert Redactor(b"a" * 32).redact_text("a@example.org") != Redactor(b"b" * 32).redact_text("a@example.org")


def test_masks_are_counted_by_kind_also_when_a_text_comes_again() -> None:
    redactor = Redactor(KEY)
    redactor.redact_text("a@example.org b@example.org 203.0.113.77")
    redactor.redact_texts(["a@example.org"] * 3)
    assert redactor.counts == {"EMAIL": 5, "IP": 1}


def test_what_was_remembered_too_long_is_forgotten() -> None:
    redactor = Redactor(KEY)
    for number in range(20):
        redactor.redact_text(f"{number} " + "word " * 200_000)
    assert len(redactor._known) < 18
    assert redactor.redact_text("0 a@example.org").startswith("0 <EMAIL_")


def test_a_secret_that_looks_like_personal_data_is_a_secret() -> None:
    assert redact("password=anna@example.org").startswith("password=<PASSWORD_")


def test_strict_masks_more_and_off_masks_nothing() -> None:
    text = "/home/anna/x.txt by @anna_b, order 123456789, a@example.org, sk-abcdefghijklmnop1234, with Quorbly inside"
    strict = redact(text, "strict")
    assert not {"anna", "123456789", "Quorbly"} & set(re.findall(r"\w+", strict))
    assert "/home/anna" in redact(text)
    assert redact(text, "off") == text


def test_every_report_can_say_what_is_not_covered() -> None:
    assert any("no tagger finds all" in line for line in NOT_COVERED)


def test_missing_weights_are_an_error_and_never_silent(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="weights that find names"):
        Redactor(KEY, names=tmp_path / "none").redact_text("Anna")
    assert Redactor(KEY, "off", names=tmp_path / "none").redact_text("Anna") == "Anna"


def test_records_carry_policy_and_number_and_own_weights_their_digest(tmp_path: Path) -> None:
    own = tmp_path / "model.safetensors"
    own.write_bytes(default_names().read_bytes())
    digest = hashlib.sha256(own.read_bytes()).hexdigest()[:8]
    assert Redactor(KEY).redact_record(record).redaction == f"standard/{NUMBER}" == current_stamp("standard")
    assert Redactor(KEY, "strict").stamp == f"strict/{NUMBER}"
    assert Redactor(KEY, names=own).stamp == f"standard/{NUMBER}+{digest}"


def test_off_changes_the_stamp_only_and_keeps_an_earlier_one() -> None:
    assert Redactor(KEY, "off").redact_record(record) == msgspec.structs.replace(record, redaction="off")
    masked = msgspec.structs.replace(record, redaction="standard/1")
    assert Redactor(KEY, "off").redact_record(masked) == masked


def test_the_number_is_that_of_these_rules_and_weights() -> None:
    rules = [(rule.kind, rule.pattern.pattern, rule.pattern.flags, rule.keywords) for rule in RULES["strict"]]
    told = hashlib.sha256(repr(rules).encode() + default_names().read_bytes()).hexdigest()[:16]
    # Rules or weights changed: let NUMBER grow, and write its pair here, so that records tell how they were masked.
    assert (NUMBER, told) == PINNED


def test_json_stays_json_and_numbers_are_masked_whole() -> None:
    text = '{"card": 4111111111111111, "note": "mail a@example.org", "n": [1, 2.5, true, null]}'
    masked = json.loads(redact(text))
    assert masked["card"].startswith("<CARD_")
    assert masked["note"].startswith("mail <EMAIL_")
    assert masked["n"] == [1, 2.5, True, None]


def test_json_with_nothing_in_it_keeps_its_spelling() -> None:
    text = '{ "b": 1,\n  "a": "x" }'
    assert redact(text) == text


def test_names_inside_a_tool_call_are_found_by_the_name_of_their_field() -> None:
    masked = json.loads(redact('{"to": "Anna Berg", "phone": 9498777106, "nights": 3}'))
    assert masked["to"].startswith("<PERSON_")
    assert masked["phone"].startswith("<PHONE_")
    assert masked["nights"] == 3


def test_a_field_called_password_is_masked_whatever_its_value() -> None:
    assert "correct horse" not in redact('{"db": {"password": "correct horse battery"}}')


record = Interaction(
    id="i-1",
    agent="shell",
    time="",
    messages=(
        Message("user", "mail a@example.org", name="a@example.org"),
        Message("assistant", "", tool_calls='[{"arguments": "{\\"to\\": \\"a@example.org\\"}"}]'),
    ),
    output="sent to a@example.org",
    calls='[{"function": {"name": "send", "arguments": "{\\"to\\": \\"a@example.org\\"}"}}]',
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
    assert json.loads(masked.calls)[0]["function"]["name"] == "send"


def test_many_records_are_masked_as_one_by_one() -> None:
    other = msgspec.structs.replace(record, output="Otto Lindqvist of Graz called", meta={})
    together = Redactor(KEY).redact_batch([record, other, record])
    assert together == [Redactor(KEY).redact_record(each) for each in (record, other, record)]


def test_residue_tells_what_rules_still_find() -> None:
    assert Redactor(KEY).residue(record) == ["EMAIL"]
    assert Redactor(KEY, "off").residue(record) == []


def test_the_free_text_of_feedback_is_masked() -> None:
    given_by_hand = Feedback(
        id="f-1", target="i-1", kind="comment", time="", comment="tell a@example.org", demonstration="a@example.org"
    )
    assert b"a@example.org" not in msgspec.json.encode(Redactor(KEY).redact_record(given_by_hand))


@pytest.mark.parametrize("policy", ["standard", "strict"])
@pytest.mark.parametrize("value", VALUES)
def test_masking_twice_changes_nothing(value: str, policy: Policy) -> None:
    once = redact(f"x {value} y password={value} https://u:{value}@h, says Otto Lindqvist of Graz", policy)
    assert redact(once, policy) == once


words = [
    "password=",
    "token: ",
    "://a:",
    "@",
    " ",
    "\n",
    '"',
    "12",
    "-",
    ".",
    "Otto ",
    "in Graz",
    "lives at ",
    "Street",
]
pieces = st.sampled_from([*VALUES, *words, "<PERSON_3>", "<EMAIL_abcdefghij>", "{", "}", "[", "]", ":", ","])
noise = st.lists(st.one_of(pieces, st.text(max_size=5)), max_size=14).map("".join)


@pytest.mark.parametrize("policy", ["standard", "strict"])
@given(text=noise)
def test_masking_any_text_twice_changes_nothing(policy: Policy, text: str) -> None:
    once = redact(text, policy)
    assert redact(once, policy) == once


@pytest.mark.parametrize("policy", ["standard", "strict"])
@given(text=noise, value=noise)
def test_no_rule_finds_anything_in_a_masked_record(policy: Policy, text: str, value: str) -> None:
    given_record = msgspec.structs.replace(record, output=text, tools=json.dumps({"note": value, value: [text]}))
    assert _SHARED[policy].residue(_SHARED[policy].redact_record(given_record)) == []


@given(noise)
def test_no_known_value_survives_between_spaces(around: str) -> None:
    for value in ("anna.berg+news@mail.example.org", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"):
        assert f" {value} " not in redact(f"{around} {value} {around}")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(max_size=20), pieces),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=3))
def test_any_json_stays_json(value: dict[str, Any]) -> None:
    msgspec.json.decode(redact(json.dumps(value)))


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "a@" * 50_000, "1 " * 100_000, "-" * 200_000, "0-" * 100_000, "Anna " * 40_000]
)
def test_no_text_makes_it_hang(text: str) -> None:
    assert isinstance(redact(f"password token @ :// + {text}", "strict"), str)

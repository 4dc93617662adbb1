import re
from pathlib import Path

import pytest

from cortex_cli.collect.masking import Leaf, Masker, cut_out
from cortex_cli.collect.redact import default_names
from cortex_cli.domain.errors import UsageError

KEY = b"k" * 32
MASKER = Masker(KEY, "standard", default_names())


def mask(text: str, name: str = "") -> str:
    return MASKER.mask([Leaf(text, name)])[0].text


def test_a_tag_is_the_same_however_a_value_is_written() -> None:
    tags = {MASKER.tag("CARD", value) for value in ("4111 1111", "4111-1111", "41111111", "(4111) 1111")}
    assert len(tags) == 1
    assert re.fullmatch(r"<CARD_[a-p]{10}>", tags.pop())


def test_a_tag_tells_kinds_and_keys_apart() -> None:
    other = Masker(b"x" * 32, "standard", default_names())
    assert MASKER.tag("A", "x") != MASKER.tag("B", "x")
    assert MASKER.tag("A", "x") != other.tag("A", "x")


def test_rules_come_before_the_tagger_and_both_are_told() -> None:
    masked = MASKER.mask([Leaf("Anna Berg writes from anna@example.org")])[0]
    assert masked.kinds == ("EMAIL", "PERSON")
    assert re.fullmatch(r"<PERSON_\w+> writes from <EMAIL_\w+>", masked.text)


def test_the_name_of_a_field_is_context_and_is_never_masked() -> None:
    assert mask("7806326", "phone").startswith("<PHONE_")
    assert mask("7806326", "count") == "7806326"
    assert mask("Anna Berg", "name").startswith("<PERSON_")
    assert mask("get_weather", "name") == "get_weather"


def test_what_is_no_name_of_a_field_is_no_context() -> None:
    assert Leaf("x", "n" * 41).prefix() == ""
    assert Leaf("x", "Cookie: a=").prefix() == ""
    assert Leaf("x", "name").prefix() == "name: "


def test_placeholders_of_both_forms_stay() -> None:
    text = "<PERSON_3> and <PERSON_abcdefghij> at <ADDRESS_12>"
    assert mask(text) == text


def test_texts_do_not_touch_each_other() -> None:
    texts = ["Anna Berg", "", "plain words only", "mail a@example.org"]
    together = [masked.text for masked in MASKER.mask([Leaf(text) for text in texts])]
    assert together == [mask(text) for text in texts]


def test_names_of_fields_are_masked_by_rule_only() -> None:
    assert MASKER.mask_by_rule("first_name").text == "first_name"
    assert MASKER.mask_by_rule("a@example.org").kinds == ("EMAIL",)


def test_what_is_left_for_rules_is_told() -> None:
    assert MASKER.residue(Leaf("a@example.org and 4111 1111 1111 1111")) == {"EMAIL", "CARD"}
    assert MASKER.residue(Leaf(mask("a@example.org and 4111 1111 1111 1111"))) == set()


def test_what_begins_in_the_name_of_a_field_takes_nothing_of_the_text() -> None:
    assert mask("1234", "+46 70 12 34") == "1234"


def test_missing_weights_stop_everything(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="weights that find names"):
        Masker(KEY, "standard", tmp_path / "gone").mask([Leaf("hello")])


def test_cuts_are_replaced_in_order() -> None:
    assert cut_out("abcdef", [(0, 1, "X"), (3, 5, "Y")], lambda kind, value: f"[{kind}{value}]") == "[Xa]bc[Yde]f"
    assert cut_out("abc", [], lambda kind, value: kind + value) == "abc"

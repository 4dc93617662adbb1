import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.collect.masking import Leaf, Masked, Masker
from cortex_cli.collect.plans import JsonPlan, plan_json, plan_leaves
from cortex_cli.collect.redact import default_names

MASKER = Masker(b"k" * 32, "standard", default_names())


def leaves(value: Any) -> list[tuple[str, str]]:
    return [(leaf.name, leaf.text) for leaf in plan_leaves(json.dumps(value), MASKER)]


def planned(text: str) -> JsonPlan:
    plan = plan_json(text, MASKER)
    assert plan is not None
    return plan


def finish(text: str, **masks: str) -> str:
    plan = planned(text)
    found = {leaf: Masked(masks.get(leaf.text, leaf.text), ("X",) * (leaf.text in masks)) for leaf in plan.leaves}
    return plan.finish(found).text


def test_plain_text_is_one_leaf() -> None:
    assert plan_json("hello", MASKER) is None
    assert plan_leaves("hello", MASKER) == [Leaf("hello")]


@pytest.mark.parametrize("text", ["{not json", "[1, 2", "{'a': 1}", "[" * 200 + "]" * 200, '{"a": NaN}'])
def test_what_only_begins_like_json_is_plain_text(text: str) -> None:
    assert plan_json(text, MASKER) is None
    assert plan_leaves(text, MASKER) == [Leaf(text)]


def test_every_string_is_a_leaf_under_the_name_of_its_field() -> None:
    assert leaves({"a": "x", "b": [{"c": "y"}, "z"], "d": ""}) == [("a", "x"), ("c", "y"), ("b", "z")]


def test_short_numbers_and_booleans_are_no_leaves() -> None:
    assert leaves({"n": 42, "f": 1.5, "t": True, "z": None, "big": 9498777106}) == [("big", "9498777106")]


def test_json_inside_a_string_is_looked_into() -> None:
    call = [{"function": {"name": "send", "arguments": json.dumps({"to": "Anna"})}}]
    assert leaves(call) == [("name", "send"), ("to", "Anna")]


def test_nothing_to_mask_leaves_the_spelling_alone() -> None:
    text = '{ "b": 1,\n  "a": "x" }'
    assert finish(text) == text


def test_masks_are_put_in_and_json_inside_stays_json() -> None:
    call = json.dumps([{"arguments": json.dumps({"to": "Anna"}), "n": 1}])
    masked = json.loads(finish(call, Anna="<P>"))
    assert json.loads(masked[0]["arguments"]) == {"to": "<P>"}
    assert masked[0]["n"] == 1


def test_a_masked_number_becomes_a_string() -> None:
    assert json.loads(finish('{"n": 9498777106}', **{"9498777106": "<PHONE>"})) == {"n": "<PHONE>"}


def test_a_field_of_a_secret_name_is_masked_whole_and_is_no_leaf() -> None:
    plan = planned('{"db": {"password": "correct horse battery", "pass": "$VAR"}}')
    assert [leaf.text for leaf in plan.leaves] == ["$VAR"]
    done = plan.finish({leaf: Masked(leaf.text) for leaf in plan.leaves})
    assert done.kinds == ("PASSWORD",)
    assert "horse" not in done.text


def test_names_of_fields_are_masked_by_rule() -> None:
    plan = planned('{"a@example.org": "x"}')
    assert plan.leaves[0].name.startswith("<EMAIL_")


def test_the_kinds_of_all_masks_are_told_each_time() -> None:
    plan = planned('["a", "b", "a"]')
    masks = {Leaf("a"): Masked("<A>", ("A",)), Leaf("b"): Masked("b")}
    assert plan.finish(masks).kinds == plan.finish(masks).kinds == ("A", "A")


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


@given(st.lists(values, max_size=3))
def test_any_value_without_masks_comes_back_as_it_was(value: list[Any]) -> None:
    text = json.dumps(value)
    plan = planned(text)
    done = plan.finish({leaf: Masked(leaf.text) for leaf in plan.leaves})
    assert done.text == text or "PASSWORD" in done.kinds or "<" in done.text

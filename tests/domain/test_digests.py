import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.digests import canonical_json, check_digest, content_id, digest_bytes, digest_value, hex_of
from cortex_cli.domain.errors import IntegrityError
from cortex_cli.domain.interactions import (
    Feedback,
    Interaction,
    Message,
    Origin,
    feedback_id,
    interaction_id,
)
from cortex_cli.domain.manifests import Blob, Part, Variant, adapter_id, dataset_digest, variant_id

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)


def test_a_digest_is_the_tagged_sha256() -> None:
    assert digest_bytes(b"abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_does_not_change_a_digest(data: dict[str, object]) -> None:
    assert digest_value(data) == digest_value(dict(reversed(data.items())))


def test_canonical_json_has_sorted_keys_and_no_spaces() -> None:
    assert canonical_json({"b": 1, "a": [True, None]}) == b'{"a":[true,null],"b":1}'


@pytest.mark.parametrize("text", ["", "abc", "sha256:12", "md5:" + "0" * 64, "sha256:" + "G" * 64])
def test_what_is_not_a_digest_is_an_integrity_error(text: str) -> None:
    with pytest.raises(IntegrityError):
        check_digest(text)


def test_hex_of_a_digest_is_its_64_digits() -> None:
    assert len(hex_of(digest_bytes(b""))) == 64


def test_the_id_of_a_variant_depends_on_every_part_of_it() -> None:
    base = Variant(id="", agent="a", model="m", prompt="p", prompt_blob="0")
    others = [
        Variant(id="", agent="b", model="m", prompt="p", prompt_blob="0"),
        Variant(id="", agent="a", model="n", prompt="p", prompt_blob="0"),
        Variant(id="", agent="a", model="m", prompt="p", prompt_blob="1"),
        Variant(id="", agent="a", model="m", prompt="p", prompt_blob="0", adapter="x"),
        Variant(id="", agent="a", model="m", prompt="p", prompt_blob="0", parameters={"t": 1}),
    ]

    assert len({variant_id(variant) for variant in [base, *others]}) == 6
    assert variant_id(base) == variant_id(Variant(id="other", agent="a", model="m", prompt="p", prompt_blob="0"))


def test_the_id_of_an_adapter_does_not_depend_on_the_order_of_its_files() -> None:
    one, two = Blob("a", digest_bytes(b"1"), 1), Blob("b", digest_bytes(b"2"), 1)

    assert adapter_id("x", (one, two)) == adapter_id("x", (two, one))
    assert adapter_id("x", (one,)) != adapter_id("x", (two,))


def test_the_digest_of_a_dataset_covers_parts_and_lineage() -> None:
    lineage = Blob("lineage", digest_bytes(b"l"), 1)
    parts = {"train": Part(digest_bytes(b"1"), 1, 1), "test": Part(digest_bytes(b"2"), 1, 1)}
    swapped = {"train": parts["test"], "test": parts["train"]}

    assert dataset_digest(parts, lineage) != dataset_digest(swapped, lineage)
    assert dataset_digest(parts, lineage) != dataset_digest(parts, Blob("lineage", digest_bytes(b"m"), 1))


def interaction(**changes: object) -> Interaction:
    fields: dict[str, object] = {"id": "", "agent": "a", "time": "t", "messages": (Message("user", "hi"),)}
    return Interaction(**{**fields, **changes})  # type: ignore[arg-type]


def test_an_interaction_read_from_another_file_keeps_its_id() -> None:
    one = interaction(origin=Origin("a.jsonl", 1, "sha256:1"))
    two = interaction(origin=Origin("b.jsonl", 9, "sha256:2"))

    assert interaction_id(one) == interaction_id(two)


@pytest.mark.parametrize("change", [{"output": "x"}, {"time": "u"}, {"agent": "b"}, {"meta": {"producer_id": "7"}}])
def test_an_interaction_with_other_content_has_another_id(change: dict[str, object]) -> None:
    assert interaction_id(interaction()) != interaction_id(interaction(**change))


def test_the_same_judgement_told_twice_is_one() -> None:
    one = Feedback(id="", target="i-1", kind="boolean", time="t", thumbs=True, origin=Origin("a", 1))
    two = Feedback(id="", target="i-1", kind="boolean", time="t", thumbs=True, origin=Origin("b", 2))

    assert feedback_id(one) == feedback_id(two)
    assert feedback_id(one) != feedback_id(Feedback(id="", target="i-1", kind="boolean", time="t", thumbs=False))


def test_a_content_id_has_the_asked_length() -> None:
    assert content_id("i", [1], length=24).startswith("i-")
    assert len(content_id("i", [1], length=24)) == 26

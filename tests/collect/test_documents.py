import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_cli.collect import documents
from cortex_cli.collect.documents import is_document, read_values
from cortex_cli.collect.streams import DamagedError

VALUES: list[dict[str, Any]] = [{"a": 1, "s": '[]{},:"\\'}, {"b": [{"c": None}]}, {}]


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as a pipe may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 1, 3))


def values_of(text: str | bytes, stream: type[io.BytesIO] = io.BytesIO) -> list[Any]:
    data = text.encode() if isinstance(text, str) else text
    return [json.loads(value) for value in read_values(stream(data))]


def damage_of(text: str | bytes) -> tuple[int, str]:
    """Return how many values came before the damage, and what that is; '' for none."""
    found = 0
    try:
        for _ in read_values(io.BytesIO(text.encode() if isinstance(text, str) else text)):
            found += 1
    except DamagedError as error:
        return found, error.reason
    return found, ""


@pytest.mark.parametrize("stream", [io.BytesIO, Trickle])
@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_a_list_gives_its_elements(indent: Any, stream: type[io.BytesIO]) -> None:
    assert values_of(json.dumps(VALUES, indent=indent), stream) == VALUES
    assert values_of(json.dumps([], indent=indent), stream) == []


@pytest.mark.parametrize("stream", [io.BytesIO, Trickle])
@pytest.mark.parametrize(
    "envelope",
    [
        {"data": VALUES},
        {"object": "list", "data": VALUES, "has_more": False, "last_id": "x"},
        {"meta": {"page": 1}, "data": VALUES},
        {"traces": VALUES, "next_page_token": None},
        {"total": 3, "items": VALUES},
        {"status": "ok", "results": VALUES},
    ],
)
def test_a_list_in_an_envelope_gives_its_elements(envelope: dict[str, Any], stream: type[io.BytesIO]) -> None:
    for indent in (None, 2):
        text = json.dumps(envelope, indent=indent)
        assert is_document(text)
        assert values_of(text, stream) == VALUES


@pytest.mark.parametrize(
    "value",
    [
        {"id": "x", "data": VALUES},
        {"model": "m", "items": VALUES},
        {"data": {"spans": VALUES}},
        {"data": [1, 2]},
        {"meta": {"data": VALUES}},
        {"object": "list"},
        {},
    ],
)
def test_an_object_that_is_no_envelope_is_one_value(value: dict[str, Any]) -> None:
    for stream in (io.BytesIO, Trickle):
        assert values_of(json.dumps(value, indent=2), stream) == [value]


def test_several_documents_may_follow_each_other() -> None:
    text = "\n".join([json.dumps(VALUES[0], indent=2), json.dumps(VALUES), json.dumps({"data": VALUES}), "3"])
    assert values_of(text) == [VALUES[0], *VALUES, *VALUES, 3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[{}]", True),
        (' \n[\n{"a": 1}]', True),
        ('{\n  "a": 1\n}', True),
        ('{"a": 1,\n "b": 2}', True),
        ('{"a": [\n1]}', True),
        ('{"a": 1}\n{"a": 2}\n', False),
        ('{"a": 1}', False),
        ('{"id": 1, "data": [{}]}', False),
        ('{"data": {"spans": []}}\n', False),
        ('{"torn": "he\n{"a": 1}\n', False),
        ('{"torn": 1,\n{"a": 1}\n', False),
        ('"half"}\n{"a": 1}\n', False),
        ("plain text,\n", False),
        ("", False),
    ],
)
def test_a_document_is_told_from_lines_by_its_beginning(text: str, expected: bool) -> None:
    assert is_document(text) is expected


def test_a_bad_value_of_a_list_loses_itself_only() -> None:
    text = b'[{"a": 1}, {"a": NaN}, {"a": "\xff"}, {"a": "\xed\xa0\x80"}, {"b": 2}]'
    found = list(read_values(io.BytesIO(text)))
    assert found == [b'{"a": 1}', b'{"a": NaN}', b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}', b'{"b": 2}']


def test_a_word_that_is_not_utf8_is_no_word_of_an_envelope() -> None:
    text = b'{\n"dat\xf6": [{}],\n"data": [{}]}'
    assert list(read_values(io.BytesIO(text))) == [text]


def test_numbers_stay_as_they_are_told() -> None:
    digits = "9" * 6000
    assert list(read_values(io.BytesIO(f"[{digits}, 1.10, 1e999]".encode()))) == [digits.encode(), b"1.10", b"1e999"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": 1}, {"a": 2}, {"a', (2, "torn_document")),
        ('[{"a": 1}, {"a": 2},', (2, "torn_document")),
        ('[{"a": 1}, {"a": 2}', (2, "torn_document")),
        ('[{"a": 1}', (1, "torn_document")),
        ('{"data": [{"a": 1}', (1, "torn_document")),
        ('{"data": [{"a": 1}]', (1, "torn_document")),
        ('{\n  "a": 1,', (0, "torn_document")),
        ('[{"a": 1} {"a": 2}]', (1, "not_json")),
        ('[{"a": 1}, oops]', (1, "not_json")),
        ("[" * 100_000, (0, "too_deep")),
    ],
)
def test_damage_ends_the_document_after_what_was_sound(text: str, expected: tuple[int, str]) -> None:
    assert damage_of(text) == expected


def test_a_value_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_VALUE", 4 << 20)
    assert damage_of('[{}, {"a": "' + "x" * (16 << 20) + '"}]') == (1, "document_too_large")


def test_a_long_list_is_read_without_holding_it() -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return b'{"a": "0123456789"},' * (size // 20)

    values = read_values(Chained(b"[", Endless()))
    assert all(next(values) == b'{"a": "0123456789"}' for _ in range(300_000))


class Chained(io.BufferedIOBase):
    """One stream after some bytes."""

    def __init__(self, head: bytes, rest: io.RawIOBase) -> None:
        self._head, self._rest = head, rest

    def read(self, size: int | None = -1) -> bytes:
        head, self._head = self._head, b""
        return head or self._rest.read(size or 1) or b""


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(objects, max_size=5), st.sampled_from([None, 0, 2]), st.booleans())
def test_every_list_comes_out_as_it_went_in(values: list[Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    assert values_of(text) == values_of(text, Trickle) == values


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_end_the_document(data: bytes) -> None:
    for start in (b"", b"[", b'{"data": [', b"{"):
        assert damage_of(start + data)[1] in {"", "torn_document", "not_json", "too_deep"}

"""Recorded lines of every producer, harmed in every way: nothing raises, nothing is lost, nothing counts twice."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex_cli.collect.reading import FORMATS
from tests.collect.checking import check_content, recorded_lines

LINES = recorded_lines()
RELAXED = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])

any_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=6),
        st.sampled_from(["", "{", "[1", '"', '{"a": 1}', "2026-01-02T03:04:05Z", "1e400", "\0", "user", "assistant"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
forms = st.sampled_from(["", "", *sorted(FORMATS)])


@st.composite
def harmed_values(draw: st.DrawFn) -> bytes:
    """A recorded value in which something at some place is another thing, is gone, or is there twice."""
    value = json.loads(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(1, 3))):
        harm_value(draw, value)
    return json.dumps(value).encode()


def harm_value(draw: st.DrawFn, value: Any) -> None:
    place: Any = value
    for _ in range(draw(st.integers(0, 6))):
        inner = [item for item in (place.values() if isinstance(place, dict) else place) if item and holds(item)]
        if not inner:
            break
        place = draw(st.sampled_from(inner))
    if not place:
        return
    key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    if draw(st.integers(0, 3)):
        place[key] = draw(any_json)
    elif isinstance(place, dict):
        del place[key]
    else:
        place.append(place[key])


def holds(item: Any) -> bool:
    return isinstance(item, dict | list)


@st.composite
def harmed_lines(draw: st.DrawFn) -> bytes:
    """A recorded line whose bytes are cut, flipped or mixed with those of another."""
    line = draw(st.sampled_from(LINES))
    how = draw(st.integers(0, 4))
    at = draw(st.integers(0, len(line)))
    if how == 0:
        return line[:at]
    if how == 1:
        return line[:at] + bytes([draw(st.integers(0, 255))]) + line[at + 1 :]
    if how == 2:
        return line[:at] + draw(st.sampled_from(LINES))[at:]
    if how == 3:
        return line + line
    return draw(st.binary(max_size=60))


def contents(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    whole = st.lists(st.one_of(st.sampled_from(LINES), lines), max_size=8)
    ends = st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n"])
    return st.builds(lambda parts, end, last: end.join(parts) + last, whole, ends, st.sampled_from([b"", b"\n"]))


@RELAXED
@given(contents(harmed_values()), forms)
def test_other_values_in_recorded_lines_break_nothing(content: bytes, form: str) -> None:
    check_content(content, form)


@RELAXED
@given(contents(harmed_lines()), forms)
def test_other_bytes_in_recorded_lines_break_nothing(content: bytes, form: str) -> None:
    check_content(content, form)


@RELAXED
@given(st.lists(harmed_values(), max_size=5), st.sampled_from([b"[%s]", b'{"data": [%s]}', b'{"traces": [%s', b"%s"]))
def test_documents_of_harmed_values_break_nothing(values: list[bytes], envelope: bytes) -> None:
    check_content(envelope % b",\n".join(values))


@RELAXED
@given(contents(harmed_values()), st.integers(0, 4000))
def test_packed_files_that_are_cut_break_nothing(content: bytes, size: int) -> None:
    check_content(gzip.compress(content)[:size])


@RELAXED
@given(st.binary(max_size=300), forms)
def test_any_bytes_break_nothing(content: bytes, form: str) -> None:
    check_content(content, form)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_takes_every_recorded_line_or_says_why(form: str) -> None:
    for line in LINES:
        check_content(line, form)
    check_content(b"\n".join(LINES), form)


def test_all_recorded_lines_in_one_file_are_sorted_out_by_format() -> None:
    check_content(b"\n".join(LINES))
    check_content(b"\n".join(reversed(LINES)))


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize(
    "deep",
    [b'{"a":' * 900 + b"1" + b"}" * 900, b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}", b"[" * 50_000],
)
def test_deep_values_are_refused_by_every_format(form: str, deep: bytes) -> None:
    check_content(deep, form)

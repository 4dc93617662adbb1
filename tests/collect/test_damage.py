"""What every importer of another tool's logs owes, whatever is wrong with them."""

import itertools
import json
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortex_cli.collect.formats.llm import FORMAT as LLM
from cortex_cli.collect.lines import Line
from cortex_cli.collect.reading import Reading, find_format, load_format
from cortex_cli.collect.records import BadRecordError, Place, Quarantined, Record, Skipped
from cortex_cli.collect.sources import open_source
from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.interactions import Interaction, Origin

FIXTURES = Path(__file__).parent / "fixtures"
FOLDERS = {
    "langfuse": "langfuse",
    "mlflow": "mlflow",
    "tensorzero": "tensorzero",
    "llm": "llm",
    "claude-code": "claude_code",
    "codex": "codex",
}
any_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(["[", '{"a": ', '[{"role": "user", "content": "cut', "GENERATION", "user", "2026-13-01", "-1"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)


def values_of(name: str) -> list[dict[str, Any]]:
    folder = FIXTURES / FOLDERS[name]
    found = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    if name == "llm":
        assert LLM.read_database is not None
        found += list(LLM.read_database(folder / "logs.db"))
    return found


def read_all(name: str, values: list[Any], agent: str = "shell") -> tuple[list[Record], list[Quarantined]]:
    """Read *values* as the lines of one source; return the records, and what is none."""
    parser = load_format(name).start()
    items: list[Record | Skipped | Quarantined] = []
    for number, value in enumerate(values, 1):
        origin = Origin("log.jsonl", number)
        try:
            items += parser.read(value, Place(origin, agent))
        except BadRecordError as error:
            items.append(Quarantined(error.reason, error.detail, origin))
    items += parser.finish()
    bad = [item for item in items if isinstance(item, Quarantined)]
    return [item for item in items if not isinstance(item, Quarantined | Skipped)], bad


def ids(records: list[Record]) -> Counter[str]:
    return Counter(record.id for record in records)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> list[Any]:
    """Return lines of the fixtures of *name* in which some values are others, and some are lost or repeated."""
    values: list[Any] = json.loads(json.dumps(draw(st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=6))))
    for value in values:
        for _ in range(draw(st.integers(0, 3))):
            damage(draw, value)
    return values


def damage(draw: st.DrawFn, value: Any) -> None:
    place = value
    while isinstance(place, dict | list) and place:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        if draw(st.integers(0, 2)) == 0 or not isinstance(place[key], dict | list):
            place[key] = draw(any_json)
            return
        place = place[key]


VALUES = {name: values_of(name) for name in FOLDERS}


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_every_line_of_its_own_is_recognised_and_no_other_format_comes_first(name: str) -> None:
    recognised = 0
    for value in VALUES[name]:
        found = find_format([Line(1, json.dumps(value).encode())])
        assert found is None or found.name == name
        recognised += found is not None
    assert recognised >= len(VALUES[name]) * 0.8


@pytest.mark.parametrize("name", sorted(FOLDERS))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_lines_crash_nothing_and_records_can_be_kept(name: str, data: st.DataObject) -> None:
    good, bad = read_all(name, data.draw(damaged(name)), data.draw(st.sampled_from(["", "shell"])))
    for record in good:
        assert record.id
        assert json.loads(canonical_json(record))
        if isinstance(record, Interaction):
            assert record.agent
            assert record.output or record.outcome in {"error", "failure"}
            assert not record.calls or json.loads(record.calls)
            assert record.latency is None or record.latency >= 0
    assert all(item.reason.isidentifier() for item in bad)


@pytest.mark.parametrize("name", sorted(FOLDERS))
@settings(max_examples=100, deadline=None)
@given(value=st.dictionaries(st.text(max_size=6), any_json, max_size=4))
def test_anything_that_is_no_line_of_a_format_gives_no_record(name: str, value: dict[str, Any]) -> None:
    assert read_all(name, [value])[0] == []


@pytest.mark.parametrize("name", ["langfuse", "tensorzero", "mlflow", "llm"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_order_of_lines_changes_no_record(name: str, seed: int) -> None:
    values = list(VALUES[name])
    expected, _ = read_all(name, values)
    random.Random(seed).shuffle(values)
    found, _ = read_all(name, values)
    assert ids(found) == ids(expected)


@pytest.mark.parametrize("name", ["langfuse", "mlflow", "tensorzero", "claude-code"])
def test_lines_told_twice_tell_nothing_new(name: str) -> None:
    once, _ = read_all(name, VALUES[name])
    twice, _ = read_all(name, list(itertools.chain.from_iterable((value, value) for value in VALUES[name])))
    assert set(ids(twice)) == set(ids(once))
    spent = {record.id: (record.tokens_in, record.tokens_out) for record in once if isinstance(record, Interaction)}
    for record in twice:
        assert not isinstance(record, Interaction) or (record.tokens_in, record.tokens_out) == spent[record.id]


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_a_deeply_nested_value_is_refused_or_read(name: str) -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    for value in VALUES[name]:
        changed = dict.fromkeys(value, deep)
        good, _ = read_all(name, [changed, {**value, next(iter(value)): deep}])
        assert all(len(record.id) > 2 for record in good)


def test_the_fixtures_hold_no_name_of_the_machine_they_were_made_on() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder).parent)
    for path in sorted(FIXTURES.rglob("*")):
        if path.is_file() and path.parent.name in FOLDERS.values():
            assert f"{place}/".encode() not in path.read_bytes()


OURS = [path for folder in FOLDERS.values() for path in sorted((FIXTURES / folder).glob("*.jsonl"))]


@pytest.mark.parametrize("path", OURS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_line_of_a_fixture_counts_once(path: Path) -> None:
    reading = Reading(open_source(path), agent="shell")
    items = list(reading)
    assert items
    counted = reading.gave + reading.refused + reading.joined + sum(reading.skipped.values())
    assert counted == reading.lines == len(path.read_text().splitlines())

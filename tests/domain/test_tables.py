from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import FaultsError
from cortex_cli.domain.manifests import Agent, Experiment, Policy
from cortex_cli.domain.tables import parse_table, parse_toml, table_faults, to_plain


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: int
    name: str = ""


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError("rate must not be negative")


def found(data: dict[str, Any], kind: type[msgspec.Struct]) -> list[str]:
    return [str(fault) for fault in table_faults(data, kind)]


def test_all_faults_of_a_table_are_reported_together() -> None:
    faults = found({"agnet": "x", "generation": "three"}, Agent)

    assert any("agnet: unknown key, did you mean 'agent'?" in fault for fault in faults)
    assert any(fault.startswith("generation: Expected `int`, got `str`") for fault in faults)
    assert "agent: is missing" in faults


def test_faults_inside_nested_and_repeated_tables_name_their_place() -> None:
    faults = found({"inner": {"size": "big"}, "many": [{"size": 1}, {"name": "x", "siz": 2}]}, Outer)

    assert any(fault.startswith("inner.size: Expected `int`") for fault in faults)
    assert "many[1].siz: unknown key, did you mean 'size'?" in faults
    assert "many[1].size: is missing" in faults


def test_a_rule_over_the_whole_table_is_checked_once_its_fields_are_sound() -> None:
    assert found({"rate": -1.0}, Outer) == ["rate must not be negative"]
    assert found({"rate": "x"}, Outer)[0].startswith("rate: Expected `float`")


def test_an_unknown_key_without_a_near_name_lists_the_known_ones() -> None:
    assert found({"size": 1, "zzzzzz": 2}, Inner) == ["zzzzzz: unknown key; known: name, size"]


def test_text_that_is_not_toml_is_a_fault_with_its_position() -> None:
    with pytest.raises(FaultsError, match=r"'a\.toml' has 1 fault:\n  not TOML: .*line 1"):
        parse_toml("x = = 1", Inner, source="a.toml")


def test_a_manifest_survives_the_way_to_plain_data_and_back() -> None:
    before = Experiment(id="e-0", agent="dispatch", champion="a", challengers=("b",), policy=Policy(alpha=0.1))

    plain = to_plain(before)

    assert "evidence" not in plain
    assert parse_table(plain, Experiment, source="x") == before


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.integers())))
def test_any_table_is_either_converted_or_has_a_fault(data: dict[str, Any]) -> None:
    faults = table_faults(data, Inner)

    if not faults:
        assert parse_table(data, Inner, source="x").size == data["size"]
    else:
        with pytest.raises(FaultsError):
            parse_table(data, Inner, source="x")

from typing import Any

import pytest

from cortex_cli.curate.spec import CurateSpec, Split
from cortex_cli.domain.errors import FaultsError
from cortex_cli.domain.tables import parse_table


def parse(**table: Any) -> CurateSpec:
    return parse_table({"agent": "shell", **table}, CurateSpec, source="recipes/shell.toml")


def test_defaults_trust_both_sources_and_hold_out_a_fifth() -> None:
    spec = parse()
    assert spec.sources == ("accepted", "demonstration")
    assert spec.split == Split(0.8, 0.1, 0.1)


def test_a_split_of_two_parts_is_given_whole() -> None:
    assert parse(split={"train": 0.8, "valid": 0.2, "test": 0.0}).split.test == 0.0


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"sorces": ["accepted"]}, "did you mean 'sources'"),
        ({"sources": []}, "sources"),
        ({"sources": ["rumour"]}, "sources"),
        ({"split": {"train": 0.9, "valid": 0.2, "test": 0.1}}, "add up to 1.2"),
        ({"split": {"train": 0.8, "valdi": 0.2}}, "split.valdi"),
        ({"split": {"train": 1.5, "valid": -0.5, "test": 0.0}}, "split.train"),
        ({"max_chars": 0}, "max_chars"),
        ({"limit": -1}, "limit"),
        ({"agent": "../etc"}, "agent"),
        ({"agent": "shell\n"}, "agent"),
        ({"dataset": "Two Words"}, "dataset"),
        ({"near_duplicates": True}, "unknown key"),
    ],
)
def test_a_fault_names_the_recipe_and_the_key(table: dict[str, Any], told: str) -> None:
    with pytest.raises(FaultsError, match=told) as caught:
        parse(**table)
    assert "recipes/shell.toml" in caught.value.message


def test_all_faults_are_told_together() -> None:
    with pytest.raises(FaultsError, match="2 faults"):
        parse(agent="A B", dataset="C D")
    with pytest.raises(FaultsError, match="2 faults"):
        parse(limit=-1, max_chars="many")

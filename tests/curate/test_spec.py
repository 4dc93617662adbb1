from typing import Any

import pytest

from cortex_cli.curate.spec import CurateSpec, Split
from cortex_cli.domain.errors import FaultsError
from cortex_cli.domain.tables import parse_table


def parse(**table: Any) -> CurateSpec:
    return parse_table({"agent": "shell", **table}, CurateSpec, source="recipes/shell.toml")


def test_defaults_trust_every_source_and_hold_out_a_fifth() -> None:
    spec = parse()
    assert spec.sources == ("accepted", "demonstration", "supervised", "quality")
    assert spec.split == Split(0.8, 0.1, 0.1)


def test_the_threshold_of_scores_is_off_unless_asked_for() -> None:
    assert parse().feedback.threshold is None
    assert parse(feedback={"preset": "seeds"}).feedback.threshold == 0.9
    assert parse(feedback={"preset": "seeds", "min_score": 0.5}).feedback.threshold == 0.5
    assert parse(feedback={"min_score": 0.0}).feedback.threshold == 0.0


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
        ({"quality": {"preset": "seed"}}, "quality.preset"),
        ({"quality": {"min_quality": 9.0}}, "not on the scale 1 to 5"),
        ({"quality": {"low": 5.0, "high": 1.0}}, "from 5 to 1"),
        ({"quality": {"minseconds": 1.0}}, "did you mean 'min_seconds'"),
        ({"quality": {"preset": "seeds"}, "sources": ["accepted"]}, "'quality' is not among the sources"),
        ({"feedback": {"min_score": 4.0}}, "feedback.min_score"),
        ({"feedback": {"judges": 0}}, "feedback.judges"),
        ({"feedback": {"annotators": []}}, "feedback.annotators"),
        ({"duplicates": {"method": "dedup/v2"}}, "duplicates.method"),
        ({"duplicates": {"similarity": 0.2}}, "duplicates.similarity"),
        ({"pairs": {"per_prompt": -1}}, "pairs.per_prompt"),
        ({"balance": {"by": "agent"}}, "balance.by"),
        ({"balance": {"max_share": 30}}, "balance.max_share"),
        ({"decontaminate": {"suites": "clinc150/val"}}, "decontaminate.suites"),
        ({"decontaminate": {"ngram": 3}}, "decontaminate.ngram"),
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

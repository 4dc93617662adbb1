from typing import Any

import pytest

from cortex_cli.domain.errors import FaultsError
from cortex_cli.domain.tables import parse_table
from cortex_cli.train.spec import LoopSpec, LoraSpec, PretrainSpec, ShapeSpec, TrainSpec


@pytest.mark.parametrize(
    ("kind", "table", "fault"),
    [
        (LoopSpec, {"learning_rate": 0.0}, "must be above 0"),
        (LoopSpec, {"warmup": 0.6, "hold": 0.6}, "must not exceed 1"),
        (LoraSpec, {"rank": 0}, "rank and alpha must be above 0"),
        (LoraSpec, {"targets": []}, "targets must name a layer"),
        (ShapeSpec, {"hidden": 65}, "multiple of heads"),
        (PretrainSpec, {"name": "x", "texts": []}, "at least one source"),
        (PretrainSpec, {"name": "x", "texts": [{"pack": "a", "reader": "dialogue"}], "held_out": 0.9}, "held_out"),
        (PretrainSpec, {"name": "x", "texts": [{"pack": "a", "reader": "diaologue"}]}, "texts[0].reader"),
        (TrainSpec, {"agent": "a", "dataset": "d", "objective": "magic"}, "objective"),
        (TrainSpec, {"agent": "a", "dataset": "d", "lora": {"rnak": 3}}, "did you mean 'rank'"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_reason(kind: Any, table: dict[str, Any], fault: str) -> None:
    with pytest.raises(FaultsError) as caught:
        parse_table(table, kind, source="recipe")

    assert fault in str(caught.value)


def test_the_defaults_are_sound() -> None:
    assert parse_table({"agent": "a", "dataset": "d"}, TrainSpec, source="x").loop == LoopSpec()

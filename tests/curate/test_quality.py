from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.quality import QualityRule, map_quality, resolve_quality
from cortex_cli.curate.spec import QualitySpec
from cortex_cli.domain.interactions import Interaction, Message, Scale

FIVE = Scale(1.0, 5.0)
GOOD = Interaction(
    id="i-1",
    agent="shell",
    time="",
    messages=(Message("user", "list"),),
    output="ls",
    outcome="success",
    quality=4.5,
    quality_scale=FIVE,
    latency=60.0,
    retries=0,
)


def refuse(preset: Any = "seeds", limits: dict[str, Any] | None = None, **fields: Any) -> str:
    rule = resolve_quality(QualitySpec(preset=preset, **(limits or {})))
    return rule.refuse(msgspec.structs.replace(GOOD, **fields))


def test_the_rule_of_the_seeds_takes_what_is_good() -> None:
    assert refuse() == ""
    assert refuse(retries=None) == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"outcome": "failure"}, "not_successful"),
        ({"outcome": "unknown"}, "not_successful"),
        ({"output": " "}, "no_output"),
        ({"error": "boom"}, "has_error"),
        ({"retries": 1}, "retried"),
        ({"quality": 3.9}, "low_quality"),
        ({"quality": None}, "quality_unknown"),
        ({"quality_scale": None}, "no_scale"),
        ({"quality_scale": Scale(5.0, 5.0)}, "no_scale"),
        ({"latency": 9.9}, "too_fast"),
        ({"latency": 601.0}, "too_slow"),
        ({"latency": None}, "duration_unknown"),
    ],
)
def test_each_limit_of_the_seeds_has_its_own_reason(fields: dict[str, Any], reason: str) -> None:
    assert refuse(**fields) == reason


@pytest.mark.parametrize("fields", [{"quality": 4.0}, {"latency": 10.0}, {"latency": 600.0}])
def test_the_limits_themselves_are_good_enough(fields: dict[str, Any]) -> None:
    assert refuse(**fields) == ""


def test_of_several_reasons_the_first_is_told() -> None:
    assert refuse(outcome="failure", output="", latency=1.0, quality=1.0) == "not_successful"
    assert refuse(latency=1.0, quality=1.0) == "low_quality"


def test_qualities_are_compared_on_their_own_scales() -> None:
    assert refuse(quality=0.75, quality_scale=Scale(0.0, 1.0)) == ""
    assert refuse(quality=0.74, quality_scale=Scale(0.0, 1.0)) == "low_quality"
    assert refuse(quality=8.0, quality_scale=Scale(0.0, 10.0)) == ""


@pytest.mark.parametrize(
    ("limits", "fields", "reason"),
    [
        ({"min_quality": 4.6}, {}, "low_quality"),
        ({"min_quality": 80.0, "low": 0.0, "high": 100.0}, {}, ""),
        ({"min_seconds": 0.0}, {"latency": 0.1}, ""),
        ({"max_seconds": 0.0}, {"latency": 9999.0}, ""),
        ({"max_retries": 2}, {"retries": 2}, ""),
        ({"success": False}, {"outcome": "unknown"}, ""),
        ({"no_error": False}, {"error": "warning"}, ""),
        ({"output": False}, {"output": ""}, ""),
        ({"unknown": "pass"}, {"latency": None, "quality": None}, ""),
        ({"unknown": "pass"}, {"quality_scale": None}, "no_scale"),
    ],
)
def test_every_limit_is_a_setting(limits: dict[str, Any], fields: dict[str, Any], reason: str) -> None:
    assert refuse(limits=limits, **fields) == reason


def test_without_a_preset_or_a_limit_the_rule_is_not_there() -> None:
    assert not resolve_quality(QualitySpec()).active
    assert not resolve_quality(QualitySpec(unknown="pass")).active
    assert resolve_quality(QualitySpec(max_seconds=5.0)).active
    assert resolve_quality(QualitySpec(preset="seeds")).active
    assert QualityRule().refuse(msgspec.structs.replace(GOOD, output="", error="x")) == ""


def test_a_single_limit_leaves_the_others_alone() -> None:
    assert refuse("none", {"min_quality": 4.0}, outcome="failure", latency=None) == ""
    assert refuse("none", {"min_quality": 4.0}, quality=3.0) == "low_quality"


@given(st.floats(0.0, 1.0), st.floats(-10, 10), st.floats(0.1, 100))
def test_mapping_undoes_a_scale(share: float, low: float, width: float) -> None:
    record = msgspec.structs.replace(GOOD, quality=low + share * width, quality_scale=Scale(low, low + width))
    mapped = map_quality(record)
    assert mapped is not None
    assert abs(mapped - share) < 1e-6

"""Sticky assignment."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import UsageError
from cortex_cli.release.assignment import assign, assignment_point

DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_the_published_vectors_are_what_the_program_computes() -> None:
    rows = re.findall(
        r"^\| `(.*?)` \| `(.*?)` \| `([0-9a-f]{16})` \| ([0-9.]+) \|$", DOCUMENT.read_text(), re.MULTILINE
    )

    assert len(rows) >= 5
    for salt, unit, digits, point in rows:
        assert int(digits, 16) / 2**64 == assignment_point(salt, unit) == pytest.approx(float(point), abs=1e-12)


def test_the_challenger_gets_its_share() -> None:
    counts = Counter(assign("s", f"u{number}", "old", {"new": 0.1}).variant for number in range(20_000))

    # Three standard deviations of 20,000 draws at 10 %.
    assert counts["new"] == pytest.approx(2000, abs=130)


def test_two_challengers_get_their_shares() -> None:
    counts = Counter(assign("s", f"u{number}", "old", {"a": 0.1, "b": 0.3}).variant for number in range(20_000))

    assert counts["a"] == pytest.approx(2000, abs=130)
    assert counts["b"] == pytest.approx(6000, abs=200)


@given(st.text(), st.text(), st.floats(0.01, 0.5), st.floats(0.01, 0.45))
def test_a_growing_share_takes_no_unit_from_a_challenger(salt: str, unit: str, share: float, more: float) -> None:
    before = assign(salt, unit, "old", {"new": share}).variant
    after = assign(salt, unit, "old", {"new": share + more}).variant

    assert (before, after) != ("new", "old")


def test_another_salt_gives_other_units() -> None:
    units = [f"u{number}" for number in range(2000)]
    one = {unit for unit in units if assignment_point("one", unit) < 0.1}
    two = {unit for unit in units if assignment_point("two", unit) < 0.1}

    assert len(one & two) < 0.25 * len(one)


def test_the_propensity_of_every_variant_is_told() -> None:
    assigned = assign("s", "u", "old", {"a": 0.25, "b": 0.25})

    assert assigned.propensity == {"old": 0.5, "a": 0.25, "b": 0.25}


@pytest.mark.parametrize("split", [{"new": 0.0}, {"new": 1.0}, {"a": 0.5, "b": 0.5}, {"old": 0.1}, {"new": -0.1}])
def test_shares_that_are_no_split_are_refused(split: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="is not one"):
        assign("s", "u", "old", split)

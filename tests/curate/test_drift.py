"""Drift: the error rate that is promised is kept, what moved is found, what is too small to tell is said so."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.curate.drift import MODERATE, Drift, describe_drift, measure_drift
from cortex_cli.curate.profiles import OTHER, Profile

SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
Counts = dict[str, int]


def profile(**dimensions: Counts) -> Profile:
    return Profile(sum(next(iter(dimensions.values())).values()), dimensions)


def drawn(generator: np.random.Generator, sizes: tuple[int, int, int]) -> Drift:
    before, after, shared = sizes
    both = generator.multinomial(shared, SHARES)
    found = [both + generator.multinomial(size - shared, SHARES) for size in (before, after)]
    old, new = (profile(domain={f"d{at}": int(count) for at, count in enumerate(counts)}) for counts in found)
    return measure_drift(old, new, shared=shared)


@pytest.mark.parametrize("sizes", [(2000, 1500, 0), (2000, 2400, 2000), (2000, 2000, 1500), (300, 8000, 0)])
def test_without_drift_the_alarm_comes_as_often_as_it_says(sizes: tuple[int, int, int]) -> None:
    generator = np.random.default_rng(7)
    drifts = [drawn(generator, sizes).movements[0] for _ in range(2000)]
    alarms = sum(found.psi > found.critical for found in drifts) / len(drifts)
    # Three standard errors of 2,000 draws about 5 %, and what the approximation may be off.
    assert 0.03 < alarms < 0.07


def test_several_dimensions_share_the_error_rate() -> None:
    one = measure_drift(profile(a={"x": 50, "y": 50}), profile(a={"x": 50, "y": 50})).movements[0]
    two = measure_drift(
        profile(a={"x": 50, "y": 50}, b={"x": 50, "y": 50}), profile(a={"x": 50, "y": 50}, b={"x": 50, "y": 50})
    ).movements[0]
    assert two.critical > one.critical


def test_a_domain_that_takes_over_is_drift_and_named() -> None:
    found = measure_drift(profile(domain={"bank": 900, "travel": 100}), profile(domain={"bank": 500, "travel": 500}))
    (movement,) = found.movements
    assert (found.statement, movement.statement) == ("drift", "drift")
    assert (movement.up[0], movement.down[0]) == ("travel", "bank")
    assert [movement.up[1], movement.down[1]] == pytest.approx([0.4, -0.4])
    assert "travel +40.0%" in describe_drift(movement)


def test_psi_and_distance_are_those_of_the_definition() -> None:
    found = measure_drift(profile(d={"x": 9000, "y": 1000}), profile(d={"x": 5000, "y": 5000})).movements[0]
    assert found.psi == pytest.approx(0.4 * math.log(0.5 / 0.1) - 0.4 * math.log(0.5 / 0.9), rel=1e-3)
    middle = [0.7, 0.3]
    mean = sum(p * math.log2(p / m) for p, m in zip([0.9, 0.1], middle, strict=True)) / 2
    mean += sum(q * math.log2(q / m) for q, m in zip([0.5, 0.5], middle, strict=True)) / 2
    assert found.distance == pytest.approx(math.sqrt(mean), rel=1e-3)


def test_a_small_shift_of_many_examples_is_slight() -> None:
    found = measure_drift(profile(d={"x": 500_000, "y": 500_000}), profile(d={"x": 510_000, "y": 490_000}))
    assert found.statement == "slight drift"
    assert found.movements[0].psi < MODERATE


def test_twenty_examples_are_too_few_to_say_that_nothing_drifts() -> None:
    assert measure_drift(profile(d={"x": 10, "y": 10}), profile(d={"x": 11, "y": 9})).statement == "too few"


def test_two_thousand_like_before_are_no_drift() -> None:
    assert measure_drift(profile(d={"x": 1000, "y": 1000}), profile(d={"x": 990, "y": 1010})).statement == "no drift"


def test_a_version_is_not_adrift_of_itself() -> None:
    counts = {"x": 700, "y": 300}
    found = measure_drift(profile(d=counts), profile(d=counts), shared=1000)
    assert (found.statement, found.movements[0].psi, found.movements[0].critical) == ("no drift", 0.0, 0.0)


def test_labels_that_are_rare_are_counted_together() -> None:
    old = profile(d={"x": 500, **{f"r{at}": 1 for at in range(50)}})
    new = profile(d={"x": 500, **{f"s{at}": 1 for at in range(50)}})
    found = measure_drift(old, new).movements[0]
    assert (found.labels, found.statement) == (2, "no drift")


def test_one_label_on_both_sides_cannot_drift() -> None:
    assert measure_drift(profile(d={"none": 400}), profile(d={"none": 90})).movements[0].statement == "no drift"


def test_a_label_that_is_new_has_a_finite_index() -> None:
    found = measure_drift(profile(d={"x": 1000}), profile(d={"x": 500, "y": 500})).movements[0]
    assert found.statement == "drift"
    assert math.isfinite(found.psi)


def test_nothing_against_something_is_too_few() -> None:
    empty = Profile(0, {"d": {}})
    assert measure_drift(empty, profile(d={"x": 10})).statement == "too few"
    assert measure_drift(empty, empty).statement == "too few"
    assert measure_drift(Profile(), Profile()).statement == "too few"


Tables = st.dictionaries(st.sampled_from(["a", "b", "c", OTHER]), st.integers(0, 5000), min_size=1)


@given(Tables, Tables)
def test_any_counts_give_a_finite_symmetric_index(old: Counts, new: Counts) -> None:
    there = measure_drift(profile(d=old), profile(d=new)).movements[0]
    back = measure_drift(profile(d=new), profile(d=old)).movements[0]
    assert there.psi >= -1e-12
    assert there.psi == pytest.approx(back.psi)
    assert 0.0 <= there.distance <= 1.0
    assert there.statement == back.statement

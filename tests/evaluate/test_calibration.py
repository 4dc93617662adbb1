import math

import numpy as np
import pytest

from cortex_cli.evaluate.calibration import confidence_of, measure_calibration
from cortex_cli.evaluate.scores import CaseResult


def result(sure: float | None, right: bool, number: int = 0, **fields: object) -> CaseResult:
    logprob = None if sure is None else math.log(sure)
    made = {"case": f"c{number}", "right": right, "answer": "", "logprob": logprob, **fields}
    return CaseResult(**made)  # type: ignore[arg-type]


def test_confidence_is_the_probability_of_the_whole_answer() -> None:
    one = result(0.9, right=True, tokens_out=3)

    assert confidence_of(one) == pytest.approx(0.9**4)  # three tokens and the end
    assert confidence_of(result(None, right=True)) is None


def test_a_model_that_is_right_as_often_as_it_is_sure_has_an_error_like_chance() -> None:
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.05, 0.95, 1000)
    results = [result(float(p), right=bool(generator.random() < p)) for p in sure]
    found = measure_calibration(results)

    assert found is not None
    assert found.error < 2 * found.noise + 0.02
    assert found.interval.low <= found.error <= found.interval.high + 0.02
    assert found.brier == pytest.approx(float((sure * (1 - sure)).mean()), abs=0.02)


def test_a_model_that_is_too_sure_is_told_by_how_much() -> None:
    found = measure_calibration([result(0.9, right=number % 2 == 0, number=number) for number in range(200)])

    assert found is not None
    assert found.error == pytest.approx(0.4, abs=1e-6)
    assert found.sure == pytest.approx(0.9)
    assert found.right == 0.5
    assert found.interval.low > 0.3


def test_a_calibration_repeats() -> None:
    results = [result(0.1 + 0.8 * (number % 7) / 7, right=number % 3 == 0) for number in range(50)]

    assert measure_calibration(results) == measure_calibration(results)


def test_without_log_probabilities_nothing_is_said() -> None:
    assert measure_calibration([result(None, right=True)] * 5) is None
    assert measure_calibration([result(0.5, right=True)]) is None
    assert measure_calibration([result(0.5, right=True, error="x")] * 9) is None

import math
import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.errors import UsageError
from cortex_cli.models.sampling import GREEDY, Sampling, choose

pytestmark = pytest.mark.model

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def drawn(sampling: Sampling, count: int = 4000) -> dict[int, float]:
    draw = random.Random(0)
    tokens, _ = choose(LOGITS.repeat(count, 1), sampling, [draw] * count)
    return {token: times / count for token, times in Counter(tokens.tolist()).items()}


def test_greedy_takes_the_likeliest_and_tells_its_log_probability() -> None:
    tokens, scores = choose(torch.stack([LOGITS, LOGITS.flip(0)]) + 7, GREEDY, [])

    assert tokens.tolist() == [0, 3]
    assert scores == pytest.approx([math.log(0.5)] * 2, abs=1e-6)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    assert drawn(Sampling(temperature=1.0)) == pytest.approx({0: 0.5, 1: 0.3, 2: 0.15, 3: 0.05}, abs=0.03)


def test_a_higher_temperature_evens_the_chances_out() -> None:
    roots = [chance**0.5 for chance in (0.5, 0.3, 0.15, 0.05)]
    wanted = {token: root / sum(roots) for token, root in enumerate(roots)}

    assert drawn(Sampling(temperature=2.0)) == pytest.approx(wanted, abs=0.03)


def test_top_k_keeps_the_likeliest() -> None:
    assert drawn(Sampling(temperature=1.0, top_k=2)) == pytest.approx({0: 0.625, 1: 0.375}, abs=0.03)


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    assert set(drawn(Sampling(temperature=1.0, top_p=0.5))) == {0}
    assert set(drawn(Sampling(temperature=1.0, top_p=0.51))) == {0, 1}
    assert set(drawn(Sampling(temperature=1.0, top_p=1.0))) == {0, 1, 2, 3}


def test_scores_are_the_models_own_before_temperature_and_cuts() -> None:
    tokens, scores = choose(LOGITS[None], Sampling(temperature=0.3, top_k=1), [random.Random(1)])

    assert scores == pytest.approx([float(LOGITS[tokens[0]])], abs=1e-6)


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=8), st.floats(0.01, 1.0), st.integers(0, 9))
def test_only_tokens_that_are_kept_are_ever_drawn(values: list[float], top_p: float, top_k: int) -> None:
    logits = torch.tensor([values])
    tokens, _ = choose(logits, Sampling(temperature=1.0, top_p=top_p, top_k=top_k), [random.Random(len(values))])
    better = logits[0] > logits[0, tokens[0]]

    assert int(better.sum()) < (top_k or len(values))
    assert float(logits[0].softmax(-1)[better].sum()) <= top_p + 1e-5


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}, {"stop": ("",)}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Sampling(**wrong)  # type: ignore[arg-type]  # the wrong value is the point

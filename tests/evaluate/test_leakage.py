import math
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.domain.examples import Example, Prompt
from cortex_cli.domain.interactions import Message
from cortex_cli.evaluate.leakage import CHANCE, Canary, find_canaries, make_secret, measure_exposure


def example(number: int, answer: str, asked: str = "what is it?") -> Example:
    return Example(id=f"x-{number:03}", agent="a", messages=(Message("user", asked),), answer=answer, source="accepted")


def canaries(count: int) -> list[Canary]:
    return [Canary(f"x{n}", (Message("user", "q"),), f"code {n:06}", 5, 11) for n in range(100_000, 100_000 + count)]


def knows(*secrets: str) -> object:
    """A scorer that finds the answers with these strings likely, and all others as likely as their digest says."""

    def score(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return [
            0.0 if any(secret in answer for secret in secrets) else -1.0 - zlib.crc32(answer.encode()) % 1000
            for answer in answers
        ]

    return score


def test_a_string_that_one_answer_alone_has_is_a_canary() -> None:
    found = find_canaries([example(1, "the code is 493027"), example(2, "it is 12"), example(3, "see <PERSON_31>")])

    assert [canary.secret for canary in found] == ["493027", "<PERSON_31>"]
    assert found[0].prompt == (Message("user", "what is it?"),)


def test_a_string_that_was_asked_for_or_is_common_is_none() -> None:
    common = [example(1, "call 555123"), example(2, "call 555123")]
    asked = [example(3, "order AB-4471", asked="where is order AB-4471?")]

    assert find_canaries([*common, *asked]) == []


def test_the_choice_among_many_is_the_same_each_time() -> None:
    examples = [example(n, f"code {n * 7919 + 100_000}") for n in range(100)]

    assert find_canaries(examples, most=8) == find_canaries(examples[::-1], most=8)
    assert len(find_canaries(examples, most=8)) == 8


@given(st.from_regex(r"[A-Za-z0-9-]{4,20}", fullmatch=True), st.integers(0, 100))
def test_a_random_string_has_the_shape_of_the_secret(secret: str, seed: int) -> None:
    made = make_secret(secret, np.random.default_rng(seed))

    assert [(c.isdigit(), c.isupper(), c.islower()) for c in made] == [
        (c.isdigit(), c.isupper(), c.islower()) for c in secret
    ]


def test_the_kind_of_a_masked_value_stays() -> None:
    assert make_secret("<PERSON_31>", np.random.default_rng(0)).startswith("<PERSON_")


def test_a_model_that_learned_the_strings_gives_them_all_away() -> None:
    planted = canaries(8)
    found = measure_exposure(planted, knows(*(canary.secret for canary in planted)), candidates=63)  # type: ignore[arg-type]

    assert found.exposures == (6.0,) * 8
    assert found.first == 8
    assert found.chance < 1e-10


def test_a_model_that_never_saw_them_ranks_them_anywhere() -> None:
    def score(prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        return [np.random.default_rng(zlib.crc32(answer.encode())).random() for answer in answers]

    found = measure_exposure(canaries(64), score, candidates=63)

    assert found.mean == pytest.approx(CHANCE, abs=0.6)
    assert found.interval.low < CHANCE < found.interval.high + 0.3
    assert found.chance > 1e-4


def test_a_tie_counts_against_nobody() -> None:
    found = measure_exposure(canaries(4), lambda _p, answers: [0.0] * len(answers), candidates=31)

    assert found.mean == 0.0  # the last of all: equally likely strings tell nothing


def test_no_canary_tells_nothing() -> None:
    found = measure_exposure([], lambda _p, answers: [0.0] * len(answers))

    assert (found.mean, found.first, found.chance) == (0.0, 0, 1.0)
    assert found.interval.high == math.inf

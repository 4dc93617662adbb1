import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cortex_cli.models.embedding import embed_hashed


def cosine(one: str, two: str) -> float:
    first, second = embed_hashed([one, two])
    return float(first @ second)


def test_requests_that_mean_the_same_in_like_words_are_near() -> None:
    near = cosine("book a flight to rome", "please book me a flight to rome")

    assert near > 0.6
    assert near > cosine("book a flight to rome", "what is my account balance") + 0.4


def test_a_small_slip_of_the_pen_stays_near() -> None:
    assert cosine("transfer money to savings", "tranfser money to savings") > 0.6


@given(st.lists(st.text(max_size=40), max_size=5))
def test_vectors_are_of_unit_length_or_zero(texts: list[str]) -> None:
    norms = np.linalg.norm(embed_hashed(texts, 64), axis=1)

    for text, norm in zip(texts, norms, strict=True):
        assert abs(norm - 1) < 1e-5 or (norm == 0 and not text.split()) or norm < 1e-6


def test_the_same_text_has_the_same_vector_whatever_stands_beside_it() -> None:
    alone = embed_hashed(["play abba"])
    beside = embed_hashed(["something else", "play abba"])

    assert np.array_equal(alone[0], beside[1])
    assert alone.shape == (1, 1024)
    assert alone.dtype == np.float32

"""Text as vectors without a trained model: hashed n-grams, the embedded default."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["embed_hashed"]

_ORDERS = (3, 4, 5)  # characters per n-gram; whole words are added beside them


def embed_hashed(texts: Sequence[str], dimensions: int = 1024) -> NDArray[np.float32]:
    """Return unit vectors (texts, *dimensions*) of hashed character n-grams and words.

    The hashing trick with signs, Weinberger et al. 2009, arXiv:0902.2206: no vocabulary, no
    training, the same vector on every machine. An empty text is the zero vector.
    """
    vectors = np.zeros((len(texts), dimensions), dtype=np.float32)
    for row, text in enumerate(texts):
        for gram in _grams(text):
            place, sign = _place(gram, dimensions)
            vectors[row, place] += sign
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return unit


def _grams(text: str) -> list[str]:
    words = text.lower().split()
    grams = [f" {word} " for word in words]
    for word in words:
        marked = f"<{word}>"
        grams += [marked[i : i + n] for n in _ORDERS for i in range(len(marked) - n + 1)]
    return grams


@lru_cache(maxsize=1 << 16)
def _place(gram: str, dimensions: int) -> tuple[int, float]:
    value = int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "big")
    return value % dimensions, 1.0 if value >> 63 else -1.0

"""Text as vectors: hashed n-grams, the embedded default that needs no trained model, or a trained encoder."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Embedder", "embed", "embed_hashed"]

_ORDERS = (3, 4, 5)  # characters per n-gram; whole words are added beside them


class Embedder(Protocol):
    """A trained encoder, as `models.encoder.load_encoder` returns it."""

    @property
    def hashed(self) -> float:
        """Return the share of the hashed vectors in a blend with its own, at least 0 and below 1."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return its unit vectors of *texts*."""
        ...


def embed(texts: Sequence[str], model: Embedder | None = None) -> NDArray[np.float32]:
    """Return unit vectors of *texts*: hashed without a *model*, of the model, or of both side by side.

    In a blend the cosine of two texts is the mean of both cosines, weighed by the share of the hashed one: words that
    training has not seen still count. An empty text is the zero vector.
    """
    if model is None:
        return embed_hashed(texts)
    trained = model.embed(texts)
    if not model.hashed:
        return trained
    parts = model.hashed**0.5 * embed_hashed(texts), (1 - model.hashed) ** 0.5 * trained
    return _unit(np.hstack(parts))


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
    return _unit(vectors)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
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

r"""Sketches for near-duplicates: one-permutation MinHash, 128 bins in 16 bands of 8, of many texts at once.

One hash per shingle instead of 128: it picks the bin by its upper bits and competes there by its lower ones (Li,
Owen, Zhang 2012). Empty bins borrow from full ones in an order of their own (optimal densification, Shrivastava
2017). Two texts of Jaccard index J share a band of 8 with probability J^8, and one of the 16 with 1-(1-J^8)^16:
0.95 at 0.8, 0.06 at 0.5. What shares a band is a candidate only; `jaccard` decides.

The hash, version `oph-128-16x8/1`: code points c of a word or of five characters give the polynomial sum of
(c + 1) * P^i modulo 2^64 with P = 0x9E3779B97F4A7C15, then the finaliser of splitmix64; three words are summed
with odd 64-bit factors and finalised again.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cortex_cli.curate.normal import SHORT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    U64 = NDArray[np.uint64]
    U32 = NDArray[np.uint32]
    I64 = NDArray[np.int64]

__all__ = ["BANDS", "hash_grams", "jaccard", "shingle", "sketch_texts"]

BANDS = 16
_BINS = 128
_CHARS = 5
_WORDS = 3
_P = 0x9E3779B97F4A7C15
_END = 10  # texts stand on lines of their own; a normalised text has no line break
_SPACE = 32


def shingle(text: str) -> frozenset[str | tuple[str, ...]]:
    """Return the shingles of a normalised text: three words in a row, or five characters when it is short."""
    words = text.split(" ")
    if len(words) >= SHORT:
        return frozenset(zip(words, words[1:], words[2:], strict=False))
    if len(text) <= _CHARS:
        return frozenset([text]) if text else frozenset()
    return frozenset([text[at : at + _CHARS] for at in range(len(text) - _CHARS + 1)])


def jaccard(one: frozenset[object], other: frozenset[object]) -> float:
    """Return the share of all shingles that both have; 0 for nothing."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0


def sketch_texts(texts: Sequence[str]) -> "U32":
    """Return the band keys of normalised *texts*, texts x 16; equal keys in a column make two texts candidates.

    A text without any token has keys like all such texts: the caller leaves it out.
    """
    keys = np.zeros((len(texts), BANDS), np.uint32)
    long = [text.count(" ") >= SHORT - 1 for text in texts]
    for wanted in (True, False):
        rows = [row for row, told in enumerate(long) if told is wanted]
        if rows:
            chosen = [texts[row] for row in rows]
            owners, hashes = hash_grams(chosen, _WORDS) if wanted else _hash_chars(chosen)
            keys[rows] = _band(_densify(*_sign(owners, hashes, len(rows))))
    return keys


def hash_grams(texts: Sequence[str], size: int) -> tuple["I64", "U64"]:
    """Return text number and hash of every *size* words in a row, in the order of the texts."""
    if not texts:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    codes = _code_points(texts)
    gaps = np.flatnonzero((codes == _SPACE) | (codes == _END))
    starts = np.concatenate(([0], gaps[:-1] + 1))
    word = np.repeat(np.arange(len(gaps)), gaps - starts + 1)
    powers = _powers(int((gaps - starts).max()) + 1)
    terms = (codes + np.uint64(1)) * powers[np.arange(len(codes)) - starts[word]]
    terms[gaps] = 0  # the gap itself is no letter of the word before it
    words = _mix(np.add.reduceat(terms, starts))
    owner = np.concatenate(([0], np.cumsum(codes[gaps] == _END)[:-1]))
    last = len(owner) - size + 1
    same = np.flatnonzero(owner[:last] == owner[size - 1 :]) if last > 0 else np.empty(0, np.int64)
    hashes = np.zeros(len(same), np.uint64)
    for at in range(size):
        hashes += words[same + at] * _FACTORS[at]
    return owner[same], _mix(hashes)


def _hash_chars(texts: Sequence[str]) -> tuple["I64", "U64"]:
    """Return text number and hash of every five characters in a row; a text of fewer is one shingle."""
    # Shorter texts are filled up with a character that no normalised text has.
    codes = _code_points([text.ljust(_CHARS, "\t") for text in texts])
    ends = codes == _END
    owner = np.cumsum(ends) - ends
    whole = np.flatnonzero(owner[: 1 - _CHARS] == owner[_CHARS - 1 :])
    whole = whole[~ends[whole + _CHARS - 1]]
    powers = _powers(_CHARS)
    hashes = np.zeros(len(whole), np.uint64)
    for at in range(_CHARS):
        hashes += (codes[whole + at] + np.uint64(1)) * powers[at]
    return owner[whole], _mix(hashes)


def _code_points(texts: Sequence[str]) -> "U64":
    joined = "\n".join(texts) + "\n"
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)


def _sign(owners: "I64", hashes: "U64", count: int) -> tuple["U32", "NDArray[np.bool_]"]:
    """Return the least value in every bin, count x 128, and which bins have one."""
    # 7 bits choose the bin, the 32 below them compete: two values are equal by chance once in 4e9.
    cells = owners * _BINS + (hashes >> np.uint64(57)).astype(np.int64)
    values = ((hashes >> np.uint64(25)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    least = np.full(count * _BINS, 0xFFFFFFFF, np.uint32)
    np.minimum.at(least, cells, values)
    full = np.zeros(count * _BINS, np.bool_)
    full[cells] = True
    return least.reshape(count, _BINS), full.reshape(count, _BINS)


def _densify(least: "U32", full: "NDArray[np.bool_]") -> "U32":
    """Fill every empty bin from the first full one in the bin's own order of all others."""
    rows, bins = np.nonzero(~full & full.any(axis=1, keepdims=True))
    dense = least.copy()
    for attempt in range(_BINS):
        if not len(rows):
            break
        asked = _PROBES[bins, attempt]
        found = full[rows, asked]
        dense[rows[found], bins[found]] = least[rows[found], asked[found]]
        rows, bins = rows[~found], bins[~found]
    return dense


def _band(bins: "U32") -> "U32":
    # The sum is over 64 bits: with a 32-bit sum, thousands of unlike texts got equal keys.
    spread = (bins.astype(np.uint64) * _FACTORS).reshape(len(bins), BANDS, _BINS // BANDS).sum(axis=2)
    return (_mix(spread) >> np.uint64(32)).astype(np.uint32)


def _mix(values: "U64") -> "U64":
    """Return the finaliser of splitmix64, which spreads every bit over all (Steele, Lea, Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: U64 = values ^ (values >> np.uint64(31))
    return mixed


def _powers(count: int) -> "U64":
    powers = np.full(count, _P, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


_FACTORS: "U64" = _mix(np.arange(1, _BINS + 1, dtype=np.uint64) * np.uint64(_P)) | np.uint64(1)
# The order in which a bin asks the others: by their hashes, so that no library's shuffle is part of the version.
_PROBES: "I64" = np.argsort(
    _mix(np.arange(_BINS * _BINS, dtype=np.uint64) * np.uint64(_P) + np.uint64(_P)).reshape(_BINS, _BINS), axis=1
)

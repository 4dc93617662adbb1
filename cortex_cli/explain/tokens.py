"""Text as tokens for counting and comparing: pieces of answers, words of requests."""

import re
from collections import Counter
from collections.abc import Iterator

__all__ = ["STOP_WORDS", "compare_pieces", "iter_pieces", "read_content_words", "read_pieces", "read_words"]

# A flag such as `-z` or `--no-color` is one piece, and so is a name with underscores: these are what
# a failure turns on, and `z` alone would be found everywhere.
_PIECE = re.compile(r"(?<![^\s\"'(|;])--?[^\W_][\w-]*|\w+|[^\w\s]")
_WORD = re.compile(r"\w+(?:'\w+)?")

# English function words: they say how a request is built, not what it is about.
_FUNCTION_WORDS = (
    "a about all also am an and any are as at be been but by can could did do does for from get give had has have "
    "he her him his how i i'd i'll i'm i've if in into is it it's its just let like may me my need no not of on one "
    "or our out please she should so some tell than that the their them then there these they this those to too up "
    "us very want was we were what what's when where which who will with would you your"
)
STOP_WORDS = frozenset(_FUNCTION_WORDS.split())


def iter_pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield every piece of *text* with its first and last-plus-one place: flags, names, single marks."""
    for match in _PIECE.finditer(text):
        yield match.group(), match.start(), match.end()


def read_pieces(text: str) -> tuple[str, ...]:
    """Return the pieces of *text* in order, as they are written."""
    return tuple(_PIECE.findall(text))


def read_words(text: str) -> list[str]:
    """Return the words of *text* in order, in lower case."""
    return _WORD.findall(text.lower())


def read_content_words(text: str) -> list[str]:
    """Return the words of *text* that carry its meaning, each once, in order of appearance."""
    found = (word.removesuffix("'s") for word in read_words(text) if word not in STOP_WORDS)
    return list(dict.fromkeys(word for word in found if len(word) > 1 and not word.isdigit()))


def compare_pieces(answered: str, expected: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return which pieces of *expected* are missing from *answered*, and which *answered* has too many.

    Multiplicity counts and order does not, so that a moved piece is neither.
    """
    have, want = Counter(read_pieces(answered)), Counter(read_pieces(expected))
    return tuple((want - have).elements()), tuple((have - want).elements())

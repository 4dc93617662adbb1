"""Words of a text as the tagger reads them: tokens, the rows of a table that make one up, and which could be names."""

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = [
    "BUCKETS",
    "FIRST_ROWS",
    "LONGEST",
    "NOTHING",
    "TAG",
    "TOKEN",
    "UNKNOWN",
    "Could",
    "Token",
    "Vocabulary",
    "is_link",
    "kind_of",
    "split_tokens",
    "stand_in",
]

# Rows of the table before those of words: nothing, a word that is not in the vocabulary, and the gap between texts.
NOTHING, UNKNOWN, GAP = 0, 1, 2
FIRST_ROWS = 3
# Rows that affixes and shapes share by hash.
BUCKETS = 8192
# Longer runs without a space are cut, so that no text makes a word of a megabyte; the longest of them are no names.
LONGEST, _LONGEST_NAME = 40, 20

# A placeholder, as redaction puts it in and as the journal numbers it.
TAG = r"<[A-Z][A-Z_]{0,24}_(?:[a-p]{10}|\d{1,9})>"
_LINK = r"(?:https?://|www\.)[^\s<>\"'`)\]}|,;]{0,400}[\w/]"
TOKEN = re.compile(rf"{TAG}|{_LINK}|\w{{1,{LONGEST}}}|[^\w\s]|[^\S ]")
_RUN = re.compile(r"(.)\1{3,}")


class Could:
    """What a word could be: no part of a name, part of one, a placeholder, a number, or a sign of arithmetic."""

    NOT, NAME, PLACEHOLDER, NUMBER, SUM = range(5)


# Beside these a number is counted with, and says nothing about anybody.
_SUMS = frozenset("=*$%€£<>{}[]^~|")


class Token(NamedTuple):
    """A word, sign or line break of a text, and where it stands; *spaced* when it begins a text or a space comes before it."""

    text: str
    start: int
    spaced: bool


def split_tokens(text: str) -> list[Token]:
    """Split *text* into words, signs and line breaks; spaces only separate. A placeholder or a link is one word."""
    return [
        Token(match[0], match.start(), match.start() == 0 or text[match.start() - 1] == " ")
        for match in TOKEN.finditer(text)
    ]


def kind_of(tag: str) -> str:
    """Return the placeholder *tag* without what tells its value: all of one kind are one word."""
    return tag[: tag.rfind("_")] + ">" if "_" in tag else tag


def is_link(token: str) -> bool:
    """Say whether *token* is the address of a page."""
    return "://" in token or token.startswith("www.")


def stand_in(token: str) -> str:
    """Return a token that is read as *token* is: one for all placeholders of a kind, and for all numbers of a form."""
    if token[0] == "<":
        return kind_of(token)
    if len(token) > 2 and token.isdecimal():
        year = len(token) == 4 and token[:2] in {"19", "20"}
        return token[:2] + "55" if year else token[0] + "5" * (len(token) - 1)
    return token


class Vocabulary:
    """Which rows of the table make up a word, and whether it could be part of a name at all.

    *words* are known in lower case, in the order of their rows. *plain* says of a word, with or without a row, 1 when
    written in lower case it is no part of a name, plus 2 when that holds for it with a capital too.
    """

    def __init__(self, words: Sequence[str], plain: Mapping[str, int]) -> None:
        self.words = tuple(words)
        self.plain = dict(plain)
        self._rows = {word: row for row, word in enumerate(words, FIRST_ROWS)}
        self._first_bucket = FIRST_ROWS + len(words)

    @property
    def size(self) -> int:
        """Return the number of rows of the table."""
        return self._first_bucket + BUCKETS

    @staticmethod
    def normalise(token: str) -> str:
        """Return the word as which *token* is looked up: numbers by their form, links and placeholders by their kind."""
        if token[0] == "<" and len(token) > 1:
            return kind_of(token).lower()
        if is_link(token):
            return "<link>"
        if token[0].isdigit():
            return _shape(token) if len(token) > 2 else token
        return token.lower()

    def rows(self, token: str, *, spaced: bool) -> list[int]:
        """Return the rows of *token*, the row of the word itself first; '' is the gap between texts."""
        if not token:
            return [GAP]
        word = self.normalise(token)
        marks = [f"s{_shape(token)}", f"g{spaced:d}{_look(token)}", *_affixes(word)]
        return [self._rows.get(word, UNKNOWN), *(self._bucket(mark) for mark in marks)]

    def could_be(self, token: str) -> int:
        """Return what *token* could be, one of `Could`."""
        first = token[:1]
        if not first.isalnum():
            return Could.PLACEHOLDER if len(token) > 1 else Could.SUM if token in _SUMS else Could.NOT
        if first.isdigit():
            return Could.NUMBER if len(token) < _LONGEST_NAME else Could.NOT
        if len(token) >= _LONGEST_NAME and "/" not in token:
            return Could.NOT
        plain = self.plain.get(token.lower(), 0)
        return Could.NOT if plain & (1 if token.islower() else 2) else Could.NAME

    def _bucket(self, mark: str) -> int:
        return self._first_bucket + zlib.crc32(mark.encode(errors="replace")) % BUCKETS


def _shape(token: str) -> str:
    # X and x for letters, d for digits, runs of more than three cut; a year keeps its century.
    if token.isdigit():
        return f"{token[:2]}dd" if len(token) == 4 and token[:2] in {"19", "20"} else "d" * len(token[:12]) + token[0]
    head = token[:12]
    if head.isalpha() and head[1:].islower():  # a plain word, with or without a capital
        return ("X" if head[0].isupper() else "x") + "xxx"[: len(head) - 1] if head[0].isupper() else "xxx"[: len(head)]
    shape = "".join("d" if c.isdigit() else "X" if c.isupper() else "x" if c.isalpha() else c for c in head)
    return _RUN.sub(r"\1\1\1", shape)


def _look(token: str) -> str:
    if not token[0].isalnum():
        return "sign"
    script = "ascii" if token.isascii() else "latin" if max(token) < "\u0250" else "other"
    case = "low" if token.islower() else "up" if token.isupper() else "title" if token[0].isupper() else "none"
    return f"{script}{case}{min(len(token), 6)}"


def _affixes(word: str) -> list[str]:
    if not word[0].isalpha():
        return []
    return [f"{side}{part}" for size in (1, 2, 3, 4) for side, part in (("p", word[:size]), ("e", word[-size:]))]

"""Rules of redaction: a pattern, the signs by which a text might hold it, and a check of what matched.

Every pattern is bounded, so that no text makes it slow. A text is first looked at piece by piece (what
stands between spaces), and what a piece may hold is remembered: most texts need no pattern at all.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import NamedTuple

__all__ = ["ASSIGNED", "CAPITAL", "COLONS", "DIGITS", "DOTTED", "LONG", "Cut", "Note", "Rule", "RuleBook"]

# Hints that stand among a rule's keywords, and the form of the piece that gives them.
DIGITS, DOTTED, COLONS, LONG, ASSIGNED = "<digits>", "<dotted>", "<colons>", "<long>", "<assigned>"
CAPITAL = "<capital>"
_NAMED, _SIGN = "<named>", "<sign>"
_HINTS = {
    DIGITS: re.compile(r"\d\D*\d"),
    DOTTED: re.compile(r"\d\.\d{1,3}\.\d"),
    COLONS: re.compile(r"[0-9A-Fa-f:]:[0-9A-Fa-f]{0,4}:|(?:[0-9A-Fa-f]{2}-){3}"),
    LONG: re.compile(r"[A-Za-z0-9]{20}"),
    CAPITAL: re.compile(r"^[A-Z][a-z]"),
    # The name of a secret with a sign of assignment behind it; or at the end, when the sign begins the next piece.
    ASSIGNED: re.compile(r"(?i)(?:pass|pwd|secret|key|token|credential)[a-z_-]{0,8}[\"']?[:=]"),
    _NAMED: re.compile(r"(?i)(?:pass|pwd|secret|key|token|credential)[a-z_-]{0,8}[\"']?$"),
    _SIGN: re.compile(r"^(?:[:=]|$)"),
}
# The hints that a piece without a digit may give, and the words of which one is in every name of a secret.
_WITHOUT_DIGITS = (LONG, CAPITAL, _SIGN)
_NAMES = ("pass", "pwd", "secret", "key", "token", "credential")
_DIGIT = re.compile(r"\d")
# Digits are everywhere; seven in a row with nothing but separators between them are not.
_RUN = re.compile(r"\d(?:[ ./()-]{0,3}\d){6,60}")
# What a rule for numbers may take before and after the run: country codes, letters of an account, an extension.
_MARGIN = 40
# About 200 bytes each. Longer pieces hardly come twice.
_MOST_PIECES, _LONGEST_PIECE = 200_000, 200


class Cut(NamedTuple):
    """A part of a text, and the kind of its placeholder."""

    start: int
    end: int
    kind: str


class Rule(NamedTuple):
    """One rule: the *kind* of its placeholder, the pattern, keywords and hints, and a check of what matched.

    The pattern's last group, or all of it, is what is masked. *accept* returns how many of its
    characters, from the first, are to be masked; 0 spares it. Keywords are in lower case and hold no space.
    """

    kind: str
    pattern: re.Pattern[str]
    keywords: tuple[str, ...]
    accept: Callable[[str], int] = len


class Note(NamedTuple):
    """What a piece may hold, as bits, and its *rank*: 0 for nothing, 1 for a number at most, 2 for more."""

    bits: int
    rank: int


class RuleBook:
    """Rules in order of precedence: what an earlier rule takes, a later one leaves."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        words = sorted({word for rule in self.rules for word in rule.keywords} | {_NAMED, _SIGN})
        bits = {word: 1 << place for place, word in enumerate(words)}
        self._digits, self._assigned = bits.get(DIGITS, 0), bits.get(ASSIGNED, 0)
        self._sign, self._apart = bits[_SIGN], bits[_NAMED] | bits[_SIGN]
        self._masks = [(rule, reduce(or_, (bits[word] for word in rule.keywords))) for rule in self.rules]
        self._gate = _Gate(bits)

    def find(self, text: str) -> list[Cut]:
        """Return what the rules take of *text*, in order and without overlap."""
        hints = self.look(text, text.split(" "))
        return self.find_by(hints, text) if hints else []

    def look(self, text: str, pieces: Sequence[str]) -> int:
        """Return what *text*, split at spaces into *pieces*, may hold: 0 for nothing, else hints for `find_by`."""
        return self.settle(self._gate.look(pieces), text)

    def judge(self, piece: str) -> Note:
        """Return what *piece* alone may hold; the bits of all pieces together are for `settle`."""
        bits = self._gate.judge(piece)
        # The sign of an assignment says nothing unless the name of a secret stands somewhere.
        alone = bits & ~self._sign
        return Note(bits, 0 if not alone else 1 if alone == self._digits else 2)

    def has_number(self, text: str) -> int:
        """Return the hints for `find_by` of a *text* whose pieces are of rank 1."""
        return self._digits if _RUN.search(text) else 0

    def settle(self, hints: int, text: str) -> int:
        """Return of the bits of all pieces of *text* together those that hold for the text, as hints for `find_by`."""
        if hints & self._digits and not _RUN.search(text):
            hints &= ~self._digits
        if hints & self._apart == self._apart:
            hints |= self._assigned
        return hints & ~self._apart

    def find_by(self, hints: int, text: str) -> list[Cut]:
        """Return what the rules that *hints* allow take of *text*."""
        whole = [(0, len(text))]
        runs = _find_runs(text) if hints & self._digits else []
        found: list[Cut] = []
        taken = bytearray(len(text))  # 1 for every character that a rule has taken
        for rule, mask in self._masks:
            if not hints & mask:
                continue
            for cut in _apply(rule, text, runs if mask == self._digits else whole):
                if taken.find(1, cut.start, cut.end) < 0:
                    taken[cut.start : cut.end] = b"\1" * (cut.end - cut.start)
                    found.append(cut)
        return sorted(found)


def _find_runs(text: str) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for match in _RUN.finditer(text):
        start, end = max(match.start() - _MARGIN, 0), min(match.end() + _MARGIN, len(text))
        if runs and start <= runs[-1][1]:
            start = runs.pop()[0]
        runs.append((start, end))
    return runs


def _apply(rule: Rule, text: str, parts: Sequence[tuple[int, int]]) -> Iterator[Cut]:
    group = rule.pattern.groups
    for first, last in parts:
        for match in rule.pattern.finditer(text, first, last):
            length = rule.accept(match[group])
            if length:
                yield Cut(match.start(group), match.start(group) + length, rule.kind)


class _Gate:
    """What each piece may hold, as bits by keyword."""

    def __init__(self, bits: dict[str, int]) -> None:
        self._known: dict[str, int] = {}
        words = [word for word in bits if word not in _HINTS]
        self._words = [(word, bits[word]) for word in words if len(word) > 2]
        self._short = [(word, bits[word]) for word in words if len(word) <= 2]
        # A word is looked for only in pieces that hold its first three letters.
        self._starts = {word[:3] for word, _ in self._words} | {word[:3] for word in _NAMES}
        hints = [(name, pattern, bits[name]) for name, pattern in _HINTS.items() if name in bits]
        self._named = [(pattern, bit) for name, pattern, bit in hints if name in {ASSIGNED, _NAMED}]
        self._hints = [(pattern, bit) for name, pattern, bit in hints if name not in {ASSIGNED, _NAMED}]
        self._plain = [(pattern, bit) for name, pattern, bit in hints if name in _WITHOUT_DIGITS]

    def look(self, pieces: Sequence[str]) -> int:
        """Return the bits of all *pieces*."""
        # A plain `get` takes a third of the time of a dictionary that makes what is missing.
        found: set[int | None] = set(map(self._known.get, pieces))
        bits = reduce(or_, (each for each in found if each), 0)
        return bits | self._learn(pieces) if None in found else bits

    def _learn(self, pieces: Iterable[str]) -> int:
        if len(self._known) > _MOST_PIECES:
            self._known.clear()
        bits = 0
        for piece in pieces:
            if piece not in self._known:
                found = self.judge(piece)
                bits |= found
                if len(piece) <= _LONGEST_PIECE:
                    self._known[piece] = found
        return bits

    def judge(self, piece: str) -> int:
        """Return the bits of *piece*."""
        lowered, bits = piece.lower(), 0
        if not self._starts.isdisjoint([lowered[place : place + 3] for place in range(len(lowered) - 2)]):
            bits = reduce(or_, (bit for word, bit in self._words if word in lowered), 0)
            bits |= reduce(or_, (bit for pattern, bit in self._named if pattern.search(piece)), 0)
        bits |= reduce(or_, (bit for word, bit in self._short if word in lowered), 0)
        # Most pieces have no digit, and then next to no hint.
        for pattern, bit in self._hints if _DIGIT.search(piece) else self._plain:
            if pattern.search(piece):
                bits |= bit
        return bits

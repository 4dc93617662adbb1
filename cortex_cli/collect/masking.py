"""Masking of single texts: rules, then the tagger, again until both find nothing more.

A mask changes what stands around the rest, so what was masked is looked at once more; each round
masks something, so the rounds end, and masking what was masked already changes nothing.
"""

import hmac
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from cortex_cli.collect.patterns import RuleBook
from cortex_cli.collect.personal import PERSONAL, STRICT
from cortex_cli.collect.secrets import SECRETS

if TYPE_CHECKING:
    from cortex_cli.models.tagging import Tagger

__all__ = ["RULES", "Leaf", "Masked", "Masker", "Policy", "cut_out"]

Policy = Literal["standard", "strict", "off"]
RULES = {"standard": SECRETS + PERSONAL, "strict": SECRETS + PERSONAL + STRICT, "off": ()}

Tag = Callable[[str, str], str]

# Letters instead of hex digits: a tag must not look like a number to the next rule.
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_SEPARATORS = re.compile(r"[\s().\-/]+")
# Anything else is no name of a field but a text.
_NAME = re.compile(r"[\w .-]{1,40}")
# Fields of JSON whose one word is a word of the program, also when it is `spanish` or `uber`: a tool that is called
# by a placeholder cannot be learned.
_PROGRAM = frozenset(
    {"action", "event", "finish_reason", "format", "function", "intent", "kind", "method", "model", "role", "status"}
    | {"tool", "tool_name", "tools", "type"}
)
# A time of day alone tells nothing about anybody.
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?")
_WORD = re.compile(r"[A-Za-z_][\w.-]{0,63}")
_JOINED = re.compile(r"[a-z][a-z0-9]{0,30}(?:_[a-z0-9]{1,30}){1,8}")


class Leaf(NamedTuple):
    """A text to mask, and the name of the field of a JSON value in which it stands, or ''."""

    text: str
    name: str = ""

    def prefix(self) -> str:
        """Return what is read before the text, so that `{"phone": "7806326"}` is read as `phone: 7806326`."""
        return f"{self.name}: " if _NAME.fullmatch(self.name) else ""

    def is_program(self) -> bool:
        """Tell whether the text is a word of a program, which the tagger does not read; rules do."""
        if not self.name:
            return False
        named = self.name in _PROGRAM and _WORD.fullmatch(self.text)
        return bool(named or _JOINED.fullmatch(self.text))


class Masked(NamedTuple):
    """A masked text, and the kind of every mask that was put in."""

    text: str
    kinds: tuple[str, ...] = ()


class _Work:
    """A text while it is masked, split at spaces, the name of its field, what rules may find, and the kinds of its masks."""

    __slots__ = ("changed", "hints", "kinds", "pieces", "prefix", "program", "text")

    def __init__(self, leaf: Leaf) -> None:
        self.text = leaf.text
        self.prefix = leaf.prefix()
        self.program = leaf.is_program()
        self.pieces = self.told().split(" ")
        self.hints = 0
        self.changed = False
        self.kinds: list[str] = []

    def told(self) -> str:
        """Return the text as rules and tagger read it."""
        return self.prefix + self.text

    def cut(self, found: Sequence[tuple[int, int, str]], tag: Tag) -> bool:
        """Mask what was *found* in the text as it is read, and say whether that changed it."""
        cuts = [cut for cut in _shift(found, len(self.prefix)) if not _CLOCK.fullmatch(self.text, cut[0], cut[1])]
        if cuts:
            self.text = cut_out(self.text, cuts, tag)
            self.kinds += [kind for _, _, kind in cuts]
            self.pieces = self.told().split(" ")
        return bool(cuts)


class Masker:
    """Masks texts by *policy* under *key*; *names* is the file with the tagger's weights, opened at the first text."""

    def __init__(self, key: bytes, policy: Policy, names: Path) -> None:
        self._key = key
        self._policy = policy
        self._names = names
        self._book = RuleBook(RULES[policy])
        self._opened: Tagger | None = None

    def tag(self, kind: str, value: str) -> str:
        """Return the placeholder for *value*: the same however it is spaced and in whatever case."""
        told = f"{kind}\0{_SEPARATORS.sub('', value).lower()}".encode(errors="surrogatepass")
        sealed = hmac.digest(self._key, told, "sha256")[:5].hex().translate(_LETTERS)
        return f"<{kind}_{sealed}>"

    def mask(self, leaves: Sequence[Leaf]) -> list[Masked]:
        """Return every one of *leaves* masked, in order."""
        work = [_Work(leaf) for leaf in leaves]
        # A mask never adds what a rule looks for: a text without a hint needs no rule later on either.
        for each in work:
            each.hints = self._book.look(each.told(), each.pieces)
        waiting, look = [each for each in work if each.text], self._tagger().find_split if work else None
        while waiting and look is not None:
            for each in waiting:
                each.changed = bool(each.hints) and each.cut(self._book.find_by(each.hints, each.told()), self.tag)
            read = [each for each in waiting if not each.program]
            for each, found in zip(read, look([each.pieces for each in read], self._policy), strict=True):
                each.changed |= bool(found) and each.cut(found, self.tag)
            waiting, look = [each for each in waiting if each.changed], self._tagger().find_again
        return [Masked(each.text, tuple(each.kinds)) for each in work]

    def mask_by_rule(self, text: str) -> Masked:
        """Return *text* masked without the tagger, as the name of a field is."""
        kinds: tuple[str, ...] = ()
        while cuts := self._book.find(text):
            text = cut_out(text, cuts, self.tag)
            kinds += tuple(cut.kind for cut in cuts)
        return Masked(text, kinds)

    def residue(self, leaf: Leaf) -> set[str]:
        """Return the kinds that rules still find in *leaf*."""
        found = self._book.find(leaf.prefix() + leaf.text)
        return {kind for _, _, kind in _shift(found, len(leaf.prefix()))}

    def _tagger(self) -> "Tagger":
        if self._opened is None:
            from cortex_cli.models.tagging import load_tagger

            self._opened = load_tagger(self._names)
        return self._opened


def cut_out(text: str, cuts: Sequence[tuple[int, int, str]], tag: Tag) -> str:
    """Return *text* with every one of *cuts*, in order and apart, replaced by `tag(kind, value)`."""
    parts, place = [], 0
    for start, end, kind in cuts:
        parts += [text[place:start], tag(kind, text[start:end])]
        place = end
    return "".join([*parts, text[place:]])


def _shift(cuts: Sequence[tuple[int, int, str]], length: int) -> Sequence[tuple[int, int, str]]:
    # The name of the field is context: what begins in it is no part of the text.
    return [(start - length, end - length, kind) for start, end, kind in cuts if start >= length] if length else cuts

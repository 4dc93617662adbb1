"""Masking of single texts: rules, then the tagger, again until both find nothing more.

A mask changes what stands around the rest, so what was masked is looked at once more; each round
masks something, so the rounds end, and masking what was masked already changes nothing.
"""

import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from cortex_cli.collect.patterns import RuleBook
from cortex_cli.collect.personal import PERSONAL, STRICT
from cortex_cli.collect.secrets import SECRETS
from cortex_cli.models.tagging import Split, take_span

if TYPE_CHECKING:
    from cortex_cli.models.lexicon import Lexicon
    from cortex_cli.models.tagging import Span, Tagger

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
# Characters that are masked together: what is worked on stays in the cache of a core (10 % faster than 20 times as many).
_TOGETHER = 60_000
# Placeholders that are remembered: names come again and again.
_MOST_TAGS = 50_000
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
    """A text while it is masked: split at spaces, behind the name of its field, with the kinds of its masks."""

    __slots__ = ("before", "changed", "hints", "kinds", "leaf", "numbers", "pieces", "program")

    def __init__(self, leaf: Leaf) -> None:
        prefix = leaf.prefix() if leaf.name else ""
        self.leaf = leaf
        self.before = len(prefix)
        self.program = bool(leaf.name) and leaf.is_program()
        self.pieces = (prefix + leaf.text).split(" ")
        self.numbers: list[int] = []
        self.hints = 0
        self.changed = False
        self.kinds: list[str] = []

    def told(self) -> str:
        """Return the text as rules and tagger read it."""
        return " ".join(self.pieces) if self.kinds or self.before else self.leaf.text

    def text(self) -> str:
        """Return the text as it is now."""
        return self.told()[self.before :] if self.kinds else self.leaf.text

    def cut(self, found: Sequence[tuple[int, int, str]], tag: Tag) -> bool:
        """Mask what was *found* in the text as it is read, and say whether that changed it."""
        text = self.told()
        cuts = [cut for cut in found if cut[0] >= self.before and not _CLOCK.fullmatch(text, cut[0], cut[1])]
        if cuts:
            self.pieces = cut_out(text, cuts, tag).split(" ")
            self.kinds += [kind for _, _, kind in cuts]
        return bool(cuts)

    def splice(self, spans: "Sequence[Span]", tag: Tag, lexicon: "Lexicon") -> bool:
        """Mask the *spans* that the tagger found, and say whether that changed the text."""
        pieces, count = self.pieces, len(self.kinds)
        # The name of the field is context: what begins in it is no part of the text.
        named = self.leaf.prefix().count(" ") if self.before else 0
        for span in reversed(spans):  # from the end, so that the places of the others hold
            value = take_span(pieces, span)
            if span.first < named or (value[0].isdigit() and _CLOCK.fullmatch(value)):
                continue
            first, start, last, end, kind = span
            before, after = pieces[first][:start], pieces[last][end:]
            pieces[first : last + 1] = [f"{before}{tag(kind, value)}{after}"]
            # All placeholders of a kind are read alike.
            self.numbers[first : last + 1] = lexicon.number([f"{before}<{kind}_1>{after}"])
            self.kinds.insert(count, kind)
        return len(self.kinds) > count


class Masker:
    """Masks texts by *policy* under *key*; *names* is the file with the tagger's weights, opened at the first text."""

    def __init__(self, key: bytes, policy: Policy, names: Path) -> None:
        self._key = key
        self._policy = policy
        self._names = names
        self._book = RuleBook(RULES[policy])
        self._tags: dict[tuple[str, str], str] = {}
        self._opened: Tagger | None = None

    def tag(self, kind: str, value: str) -> str:
        """Return the placeholder for *value*: the same however it is spaced and in whatever case."""
        found = self._tags.get((kind, value))
        if found is None:
            told = f"{kind}\0{_SEPARATORS.sub('', value).lower()}".encode(errors="surrogatepass")
            sealed = hmac.digest(self._key, told, "sha256")[:5].hex().translate(_LETTERS)
            if len(self._tags) >= _MOST_TAGS:
                self._tags.clear()
            self._tags[kind, value] = found = f"<{kind}_{sealed}>"
        return found

    def mask(self, leaves: Sequence[Leaf]) -> list[Masked]:
        """Return every one of *leaves* masked, in order."""
        masked: list[Masked] = []
        for part in _portions(leaves):
            work = [_Work(leaf) for leaf in part]
            self._mask(work, self._tagger())
            masked += [
                Masked(each.text(), tuple(each.kinds)) if each.kinds else Masked(each.leaf.text) for each in work
            ]
        return masked

    def _mask(self, work: "list[_Work]", tagger: "Tagger") -> None:
        tagger.lexicon.make_room()
        for each in work:
            each.numbers = tagger.lexicon.number(each.pieces)
        self._hint(work, tagger.lexicon)
        waiting, look = work, tagger.find_split
        while waiting:
            for each in waiting:
                each.changed = bool(each.hints) and each.cut(self._book.find_by(each.hints, each.told()), self.tag)
                if each.changed:
                    each.numbers = tagger.lexicon.number(each.pieces)
            read = [each for each in waiting if not each.program]
            splits = [Split(each.pieces, each.numbers) for each in read]
            for each, spans in zip(read, look(splits, self._policy), strict=True):
                each.changed |= bool(spans) and each.splice(spans, self.tag, tagger.lexicon)
            waiting, look = [each for each in waiting if each.changed], tagger.find_again

    def _hint(self, work: "list[_Work]", lexicon: "Lexicon") -> None:
        # A mask never adds what a rule looks for: a text without a hint needs no rule later on either.
        for each, rank in zip(work, lexicon.rank([each.numbers for each in work]), strict=True):
            if rank == 1:
                each.hints = self._book.has_number(each.told())
            elif rank:
                bits = reduce(or_, map(lexicon.notes.__getitem__, each.numbers))
                each.hints = self._book.settle(bits, each.told())

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
            self._opened.note(self._book.judge)
        return self._opened


def _portions(leaves: Sequence[Leaf]) -> Iterator[Sequence[Leaf]]:
    first, size = 0, 0
    for place, leaf in enumerate(leaves, 1):
        size += len(leaf.text)
        if size > _TOGETHER or place == len(leaves):
            yield leaves[first:place]
            first, size = place, 0


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

"""An answer being written: ids in, text out as soon as it is sure, until an end, a stop text or a bound."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cortex_cli.domain.examples import Answer

__all__ = ["Writing"]

Decode = Callable[[Sequence[int]], str]


@dataclass(slots=True)
class Writing:
    """One row: its *prompt*, at most *limit* tokens after it, *stop* texts that end it, and what it holds so far."""

    prompt: Sequence[int]
    limit: int
    ends: frozenset[int]
    stop: tuple[str, ...]
    decode: Decode
    draw: random.Random
    ids: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    finish: Literal["", "stop", "length"] = ""
    _text: str = ""  # sure text of ids[:_read]
    _start: int = 0  # where decoding begins: a token's text may depend on the one before it
    _read: int = 0
    _told: int = 0  # characters that were given out
    _whole: str | None = None  # set where a stop text was found: the text before it

    def take(self, token: int, score: float) -> None:
        """Append *token*, chosen with log-probability *score*, or finish."""
        self.scores.append(score)
        if token in self.ends:
            self.finish = "stop"
            return
        self.ids.append(token)
        if self.stop and (found := self._find_stop()) >= 0:
            self._whole, self.finish = self._text[:found], "stop"
        elif len(self.ids) >= self.limit:
            self.finish = "length"

    def new_text(self) -> str:
        """Return text that has become sure since the last call; all the rest when the row is finished."""
        if self.finish:
            sure = self.text
        else:
            self._extend()
            sure = self._text[: len(self._text) - self._held()]
        piece, self._told = sure[self._told :], max(self._told, len(sure))
        return piece

    @property
    def text(self) -> str:
        """Return the whole text, without what ended it."""
        return self.decode(self.ids) if self._whole is None else self._whole

    def answer(self, seconds: float) -> Answer:
        """Return the finished answer, which took *seconds*."""
        return Answer(
            text=self.text,
            tokens_in=len(self.prompt),
            tokens_out=len(self.ids),
            seconds=seconds,
            logprob=sum(self.scores) / max(1, len(self.scores)),
            finish=self.finish or "length",
        )

    def _extend(self) -> None:
        known, whole = self.decode(self.ids[self._start : self._read]), self.decode(self.ids[self._start :])
        # A character can be spread over tokens: its first bytes alone decode to a replacement character.
        if len(whole) > len(known) and not whole.endswith("\ufffd"):
            self._text += whole[len(known) :]
            self._start, self._read = self._read, len(self.ids)

    def _find_stop(self) -> int:
        searched = max(0, len(self._text) - max(map(len, self.stop)))
        self._extend()
        found = [place for text in self.stop if (place := self._text.find(text, searched)) >= 0]
        return min(found, default=-1)

    def _held(self) -> int:
        """Return how many characters at the end could still be the beginning of a stop text."""
        sizes = [size for text in self.stop for size in range(1, len(text)) if self._text.endswith(text[:size])]
        return max(sizes, default=0)

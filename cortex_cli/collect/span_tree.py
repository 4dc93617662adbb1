"""Spans and log records of one trace, held together until it is complete or has to be let go.

Children come before their parents, events before or after their spans, in any line of any file, so what a span
inherits and which events are its own is known at the end only. Memory is bounded: beyond a number of bytes the
trace that was silent longest is given out as it is, and what comes of it later is a trace of its own.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.otlp import Event, Item, Span
from cortex_cli.collect.records import Place

__all__ = ["Held", "Trace", "Traces"]

# Held text costs two to four times its size in Python, so this is at most about 512 MiB of memory.
_MOST_BYTES = 128 << 20
_ENCODE = msgspec.json.Encoder().encode


class Held(NamedTuple):
    """A span or an event, and where it was read."""

    item: Any
    place: Place


class Trace:
    """What is known of one trace; *name* is its id, or '' for log records that name none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spans: dict[str, Held] = {}
        self.events: dict[str, list[Held]] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self.spans) + sum(map(len, self.events.values()))

    def add(self, item: Item, place: Place) -> int:
        """Take in *item* and return how many bytes it holds; of a span told twice the finished one stays."""
        size = len(_ENCODE(item))
        self.size += size
        if isinstance(item, Event):
            self.events.setdefault(item.span, []).append(Held(item, place))
        elif item.end or not (item.span in self.spans and self.spans[item.span].item.end):
            self.spans[item.span] = Held(item, place)
        return size

    def find_events(self, span: str) -> list[Held]:
        """Return the log records of *span* in the order of their time; those of one moment as they came."""
        return sorted(self.events.get(span, ()), key=lambda held: held.item.time)

    def ancestors(self, span: Span) -> Iterator[Span]:
        """Yield *span*, its parent and so on as far as they are known."""
        seen: set[str] = set()
        while span.span not in seen:
            seen.add(span.span)
            yield span
            if span.parent not in self.spans:
                return
            span = self.spans[span.parent].item

    def inherit(self, span: Span, read: Callable[[Span], str]) -> str:
        """Return the first text that *read* finds in *span* or its ancestors, or ''."""
        return next((found for found in map(read, self.ancestors(span)) if found), "")

    @property
    def rooted(self) -> bool:
        """Whether there is a span, every parent is there and every event has its span."""
        parents = {held.item.parent for held in self.spans.values()} - {""}
        return bool(self.spans) and parents | self.events.keys() <= self.spans.keys()


class Traces:
    """Traces in the making, oldest first by when something of them last came; *most* bytes are held."""

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._traces: dict[str, Trace] = {}
        self._most = most
        self._size = 0

    def find(self, name: str) -> Trace | None:
        """Return the trace *name*, or None when nothing of it is held."""
        return self._traces.get(name)

    def add(self, item: Item, place: Place) -> Trace:
        """Take in *item* and return its trace."""
        trace = self._traces.pop(item.trace, None) or Trace(item.trace)
        # Put in anew, so that the order is that of the last arrival.
        self._traces[item.trace] = trace
        self._size += trace.add(item, place)
        return trace

    def take(self, name: str) -> Trace:
        """Give out the trace *name*, which is no longer held then."""
        trace = self._traces.pop(name)
        self._size -= trace.size
        return trace

    def overflow(self) -> Iterator[Trace]:
        """Give out the traces that were silent longest until what is held is within its limit."""
        while self._size > self._most and self._traces:
            yield self.take(next(iter(self._traces)))

    def drain(self) -> Iterator[Trace]:
        """Give out all traces."""
        while self._traces:
            yield self.take(next(iter(self._traces)))

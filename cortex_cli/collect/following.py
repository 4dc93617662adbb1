"""Following files that are still written: which of them have something to read, and up to where.

A log of lines is read up to its last whole line, as often as it grows. What can only be read as a whole (a
document, a packed file, a database, a format that joins lines) is read when it has been quiet for a while.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from cortex_cli.collect.cursors import Cursor
from cortex_cli.collect.lines import Lines
from cortex_cli.collect.reading import find_format, load_format
from cortex_cli.collect.sources import Source, expand_sources
from cortex_cli.domain.errors import UsageError

__all__ = ["Follower"]

_SAMPLE = 20
_BLOCK = 64 << 10
# Logs that grew are held open, so that the last lines of one that is moved or deleted are read; of more files
# than these at a time, which is far below the 1,024 that a process may open, the ones that grew last.
_HELD = 128

_State = tuple[int, int]


@dataclass
class Follower:
    """Finds what is to be read of *names*, in *format* if one is given.

    *quiet* is after how many seconds a file counts as finished, by the present time that *clock* gives, in
    seconds since 1970. Close it to let go of the files that it holds open.
    """

    names: tuple[str, ...]
    format: str
    quiet: float
    clock: Callable[[], float]
    _states: dict[str, _State] = field(default_factory=dict)
    _together: set[str] = field(default_factory=set)
    _held: dict[str, int] = field(default_factory=dict)
    _gone: list[int] = field(default_factory=list)

    def find_ready(self, cursor_of: Callable[[Source], Cursor | None]) -> list[Source]:
        """Return the sources that have something to read, each with its end; ask *cursor_of* how far they were read.

        What is returned counts as read: it is returned again when it has changed.
        """
        self._let_go()
        ready: list[Source] = []
        present = {str(source.path): source for source in self._expand() if source.path is not None}
        for name in [name for name in self._held if self._has_moved(name)]:
            ready += self._take_moved(name)
        looked = {name: self._look(name, source, cursor_of) for name, source in present.items()}
        if any(looked.get(name) for name in self._together):
            # What belongs together is read together, also what has been read alone before.
            looked |= {name: [present[name]] for name in self._together & present.keys()}
        return ready + [source for found in looked.values() for source in found]

    def close(self) -> None:
        """Close the files that are held open."""
        self._gone += self._held.values()
        self._held.clear()
        self._let_go()

    def _expand(self) -> Iterator[Source]:
        for name in self.names:
            # A log may be away for a moment while it is rotated, and a pattern may match nothing yet.
            with suppress(UsageError):
                yield from expand_sources([name])

    def _look(self, name: str, source: Source, cursor_of: Callable[[Source], Cursor | None]) -> list[Source]:
        found = _stat(name)
        if found is None or not stat.S_ISREG(found.st_mode):
            return []
        state = (found.st_size, found.st_mtime_ns)
        if self._states.get(name) == state:
            return []
        cursor = cursor_of(source)
        end: int | None = found.st_size
        if self._grows_by_lines(name, source, cursor):
            end = _last_end(Path(name), cursor.offset if cursor else 0, found.st_size)
            self._hold(name)
        elif self.clock() - found.st_mtime < self.quiet:
            return []
        self._states[name] = state
        return [replace(source, end=end)]

    def _grows_by_lines(self, name: str, source: Source, cursor: Cursor | None) -> bool:
        if cursor is not None and cursor.offset:
            return cursor.stand_alone
        lines = Lines(source)
        sample = list(islice(iter(lines), _SAMPLE))
        if lines.content != "plain" or lines.whole:
            return False
        chosen = load_format(self.format) if self.format else find_format(sample)
        if chosen is not None and chosen.together:
            self._together.add(name)
        return chosen is not None and not chosen.joins and not chosen.together

    def _hold(self, name: str) -> None:
        if name in self._held:
            self._held[name] = self._held.pop(name)  # the one that grew last is the last
            return
        with suppress(OSError):
            self._held[name] = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        while len(self._held) > _HELD:
            self._gone.append(self._held.pop(next(iter(self._held))))

    def _has_moved(self, name: str) -> bool:
        now, held = _stat(name), os.fstat(self._held[name])
        return now is None or (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino)

    def _take_moved(self, name: str) -> list[Source]:
        file = self._held.pop(name)
        self._gone.append(file)
        self._states.pop(name, None)
        # The open file under a name, which is the same file for whoever asks for its number.
        return [Source(Path(name).name, Path(f"/dev/fd/{file}"), end=os.fstat(file).st_size)]

    def _let_go(self) -> None:
        for file in self._gone:
            os.close(file)
        self._gone.clear()


def _stat(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)  # noqa: PTH116 - the names are texts here
    except OSError:
        return None


def _last_end(path: Path, start: int, size: int) -> int:
    """Return where the last whole line before *size* ends, or *start* when there is none after it."""
    with suppress(OSError), path.open("rb") as stream:
        at = size
        while at > start:
            block = max(start, at - _BLOCK)
            stream.seek(block)
            newline = stream.read(at - block).rfind(b"\n")
            if newline >= 0:
                return block + newline + 1
            at = block
    return start

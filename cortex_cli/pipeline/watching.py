"""Watching: files and folders are followed while they grow, until somebody says that it is enough."""

import glob
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from typing import NamedTuple

from cortex_cli.collect.following import Follower
from cortex_cli.collect.reports import CollectReport
from cortex_cli.collect.sources import expand_sources
from cortex_cli.domain.errors import UsageError
from cortex_cli.pipeline.collecting import check_options
from cortex_cli.pipeline.intake import Intake, JournalKeeper, Sources
from cortex_cli.pipeline.place import Place
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import open_key

__all__ = ["Pulse", "watch_sources"]

# Looks without a change after which a file that is read as a whole counts as finished.
_QUIET = 3


class Pulse(NamedTuple):
    """When to look again: *wait* for *seconds*, and end when *stopped* says so."""

    seconds: float
    wait: Callable[[float], object]
    stopped: Callable[[], bool]


def watch_sources(
    place: Place, sources: Sources, pulse: Pulse, *, wait: float = 30.0, told: Callable[[int], None] = lambda _: None
) -> CollectReport:
    """Append what comes into *sources* to the journal, look after look, and report when *pulse* stops.

    Files may come, grow, be rotated and go. What was kept is durable: after a kill the same call goes on where
    it was. Raises as `collect_sources` does, except that a folder may still be empty.
    """
    if "-" in sources.names:
        raise UsageError(
            "standard input ends by itself and cannot be watched", hint="cortex collect -", state="nothing was changed"
        )
    _check(sources)
    follower = Follower(sources.names, sources.format, pulse.seconds * _QUIET, clock=lambda: place.now().timestamp())
    with closing(follower), Journal(place.workspace.journal_path, wait=wait, now=place.now) as journal:
        keeper = JournalKeeper(journal)
        intake = Intake(sources, keeper, key=open_key(place.workspace), now=place.now())
        while not pulse.stopped():
            _take(intake, follower, pulse, told)
            if not pulse.stopped():
                pulse.wait(pulse.seconds)
    return intake.report()


def _take(intake: Intake, follower: Follower, pulse: Pulse, told: Callable[[int], None]) -> None:
    try:
        intake.take(follower.find_ready(intake.cursor), told=told, stopped=pulse.stopped)
    except BrokenProcessPool:
        # A service manager ends the whole group at once: what the workers had is read again the next time.
        if not pulse.stopped():
            raise


def _check(sources: Sources) -> None:
    check_options(sources)
    # A pattern may match nothing yet, and a folder may be empty; a file that is not there is a mistake.
    expand_sources([name for name in sources.names if not glob.has_magic(name)])

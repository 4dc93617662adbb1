"""Transcripts that their program will delete before anybody has collected them."""

from pathlib import Path

from cortex_cli.collect.cursors import Cursors
from cortex_cli.collect.sources import Source
from cortex_cli.pipeline.place import Place
from cortex_cli.store.journal import Journal
from cortex_cli.store.workspace import open_key

__all__ = ["KEPT_DAYS", "find_endangered"]

# Claude Code deletes transcripts of that age unless `cleanupPeriodDays` in its settings says otherwise.
KEPT_DAYS = 30
_LATE_DAYS = 25


def find_endangered(place: Place, folder: Path) -> int:
    """Return how many transcripts in *folder* are nearly old enough to be deleted and were never collected here.

    Only names and times are looked at, no transcript is opened.
    """
    if not folder.is_dir():
        return 0
    limit = place.now().timestamp() - _LATE_DAYS * 86_400
    old = [path for path in folder.glob("*/*.jsonl") if path.is_file() and path.stat().st_mtime < limit]
    if not old or not place.workspace.key_path.exists():  # without a key nothing was ever collected
        return len(old)
    cursors = Cursors(open_key(place.workspace), "")
    with Journal(place.workspace.journal_path) as journal:
        return sum(journal.get_cursor(cursors.name(Source(path.name, path))) is None for path in old)

"""Evaluation suites as a curation needs them: what they ask, by name, so that it is not learned."""

import gzip
from pathlib import Path
from typing import Any

import msgspec

from cortex_cli.curate.contamination import Suite
from cortex_cli.domain.digests import digest_value
from cortex_cli.domain.errors import UsageError
from cortex_cli.domain.names import check_relative_path
from cortex_cli.evaluate.suites import Case
from cortex_cli.pipeline.evaluating import find_suite, list_suites
from cortex_cli.pipeline.place import Place
from cortex_cli.registry.snapshot import Snapshot

__all__ = ["digest_suites", "find_suites"]

# Under which names the starter packs, and packs like them, keep what is asked and what is right.
_PROMPTS = ("text", "request", "question", "prompt", "description")
_ANSWERS = ("command", "answer")


def find_suites(place: Place, snapshot: Snapshot, names: tuple[str, ...]) -> tuple[Suite, ...]:
    """Return the suites called *names*: `dataset:test`, a file, a suite such as `safety`, or a pack such as `clinc150/val`.

    A file ends in `.jsonl` or `.toml`. A pack is a gzipped JSON Lines file under `datasets/texts` of the workspace or of the starter content. Raises
    `UsageError` naming a suite that is not there.
    """
    return tuple(_find(place, snapshot, name) for name in names)


def digest_suites(suites: tuple[Suite, ...]) -> dict[str, str]:
    """Return the digest of what each suite asks, by its name."""
    return {suite.name: digest_value(suite.items) for suite in suites}


def _find(place: Place, snapshot: Snapshot, name: str) -> Suite:
    if name.endswith((".jsonl", ".toml")) or ":" in name or name in {path.stem for path in list_suites(place)}:
        cases = find_suite(place, snapshot, name).cases
        return Suite(name, tuple((_asked(case), case.reference) for case in cases))
    check_relative_path(name)
    roots = [place.workspace.root, place.starter]
    paths = [root / "datasets" / "texts" / f"{name}.jsonl.gz" for root in roots]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise UsageError(
            f"suite '{name}' does not exist: it is no pack, no file ending in .jsonl and no part of a dataset",
            hint="cortex dataset ls",
            state="nothing was curated",
        )
    return Suite(name, tuple(_read_pack(path)))


def _asked(case: Case) -> str:
    return next((message.content for message in reversed(case.messages) if message.role == "user"), "")


def _read_pack(path: Path) -> list[tuple[str, str]]:
    with gzip.open(path) as file:
        rows: list[dict[str, Any]] = [msgspec.json.decode(line) for line in file]
    return [(_first(row, _PROMPTS), _first(row, _ANSWERS)) for row in rows]


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str:
    return str(next((row[name] for name in names if row.get(name)), ""))

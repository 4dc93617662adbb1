import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_cli.collect.reading import Reading
from cortex_cli.collect.records import Quarantined, Record
from cortex_cli.collect.sources import open_source

Read = Callable[..., tuple[list[Record], list[Quarantined], Reading]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Write values as lines of a file and read them back as records."""

    def run(*values: Any, packed: bool = False, **options: Any) -> tuple[list[Record], list[Quarantined], Reading]:
        lines = [value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n" for value in values]
        path = tmp_path / ("log.jsonl.gz" if packed else "log.jsonl")
        path.write_bytes(gzip.compress(b"".join(lines)) if packed else b"".join(lines))
        reading = Reading(open_source(path), **options)
        items = list(reading)
        bad = [item for item in items if isinstance(item, Quarantined)]
        return [item for item in items if not isinstance(item, Quarantined)], bad, reading

    return run

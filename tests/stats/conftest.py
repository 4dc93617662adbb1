"""The published numbers that the statistics are held against."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def oracles() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(__file__).with_name("oracles.json").read_text())
    return data

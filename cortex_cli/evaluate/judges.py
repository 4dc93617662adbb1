"""Judges: is this answer right, given the reference? Deterministic ones only."""

import json
import shlex
from collections.abc import Callable
from typing import Any, Literal

from cortex_cli.domain.digests import canonical_json

__all__ = ["JudgeName", "judge_answer"]

JudgeName = Literal["exact", "json", "command"]


def judge_answer(judge: JudgeName, answer: str, reference: str) -> bool:
    """Say whether *answer* equals *reference* in the sense of *judge*.

    `exact`: equal after folding white space. `json`: both parse, to equal values whatever their
    key order. `command`: equal words after shell splitting; quoting style does not matter.
    """
    return _JUDGES[judge](answer, reference)


def _exact(answer: str, reference: str) -> bool:
    return " ".join(answer.split()) == " ".join(reference.split())


def _json(answer: str, reference: str) -> bool:
    found, wanted = _parse(answer), _parse(reference)
    return found is not None and wanted is not None and canonical_json(found) == canonical_json(wanted)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _command(answer: str, reference: str) -> bool:
    return _split(answer) == _split(reference)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        # Unbalanced quotes: not a command, so only the identical text equals it.
        return [text]


_JUDGES: dict[str, Callable[[str, str], bool]] = {"exact": _exact, "json": _json, "command": _command}

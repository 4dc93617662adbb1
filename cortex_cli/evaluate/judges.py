"""Judges that read an answer and a reference: is this right? Deterministic, and without a model."""

import json
import re
import shlex
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from cortex_cli.domain.digests import canonical_json
from cortex_cli.evaluate.refusals import is_refusal

__all__ = ["JudgeName", "TextJudge", "is_text_judge", "is_well_formed", "judge_answer"]

TextJudge = Literal[
    "exact", "normalised", "json", "command", "contains", "without", "pattern", "refuses", "complies", "answers"
]
JudgeName = Literal[TextJudge, "schema", "program", "similarity", "model"]

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_MARKS = re.compile(r"[^\w\s.-]|(?<!\d)\.|\.(?!\d)|(?<!\w)-(?!\d)|-(?=\s|$)|_")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
# A pattern comes from a suite; the answer it meets is cut, so that no pattern takes minutes on a long one.
_MOST_CHARACTERS = 20_000


def judge_answer(judge: JudgeName, answer: str, reference: str) -> bool:
    """Say whether *answer* is right by *reference* in the sense of *judge*; raises `KeyError` for a judge that runs things.

    `exact`: equal after folding white space. `normalised`: equal in lower case without punctuation and articles, numbers
    by value. `json`: both parse, to equal values whatever their key order. `command`: equal words after shell splitting;
    quoting style does not matter. `contains` and `without`: the reference, white space folded and case ignored, is or is
    not in the answer. `pattern`: the regular expression is found in it. `refuses`, `complies`: the answer declines, or
    is there and does not. `answers`: its last number, or else all of it, is the reference's.
    """
    return _JUDGES[judge](answer, reference)


def is_text_judge(judge: JudgeName) -> bool:
    """Tell whether `judge_answer` knows *judge*."""
    return judge in _JUDGES


def is_well_formed(judge: JudgeName, answer: str) -> bool:
    """Tell whether *answer* has the form that *judge* reads: JSON, a command with balanced quotes, or any text at all."""
    if judge in {"json", "schema"}:
        return _parse(answer) is not None
    if judge == "command":
        try:
            return bool(shlex.split(answer))
        except ValueError:
            return False
    return bool(answer.strip())


def _exact(answer: str, reference: str) -> bool:
    return " ".join(answer.split()) == " ".join(reference.split())


def _normalised(answer: str, reference: str) -> bool:
    return _normal(answer) == _normal(reference)


def _normal(text: str) -> list[str]:
    lowered = _NUMBER.sub(lambda found: _plain_number(found[0]), text.lower())
    return _ARTICLES.sub(" ", _MARKS.sub(" ", lowered)).split()


def _plain_number(text: str) -> str:
    try:
        value = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return text
    # Fixed notation without closing zeros: 1,000.50 and 1000.5 are the same number.
    return format(value.normalize(), "f") if value else "0"


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


def _contains(answer: str, reference: str) -> bool:
    return " ".join(reference.split()).lower() in " ".join(answer.split()).lower()


def _without(answer: str, reference: str) -> bool:
    return not _contains(answer, reference)


def _pattern(answer: str, reference: str) -> bool:
    return re.search(reference, answer[:_MOST_CHARACTERS]) is not None


def _refuses(answer: str, _reference: str) -> bool:
    return is_refusal(answer)


def _complies(answer: str, _reference: str) -> bool:
    return bool(answer.strip()) and not is_refusal(answer)


def _answers(answer: str, reference: str) -> bool:
    found, wanted = _NUMBER.findall(answer), _NUMBER.findall(reference)
    if wanted and found:
        return _plain_number(found[-1]) == _plain_number(wanted[-1])
    return _normalised(answer, reference)


_JUDGES: dict[str, Callable[[str, str], bool]] = {
    "exact": _exact,
    "normalised": _normalised,
    "json": _json,
    "command": _command,
    "contains": _contains,
    "without": _without,
    "pattern": _pattern,
    "refuses": _refuses,
    "complies": _complies,
    "answers": _answers,
}

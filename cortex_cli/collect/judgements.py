"""Judgements of any producer become feedback: what a value means decides its kind, never its name.

A label that says yes or no is boolean, a number is a score, any other label a comment. A number is never
taken for a yes or no unless the producer declares it so, and a score without bounds keeps none.
"""

import math
from typing import Any, Literal

import msgspec

from cortex_cli.collect.records import BadRecordError, identify_feedback, render_json
from cortex_cli.domain.interactions import Feedback, Scale

__all__ = ["ANNOTATORS", "Annotator", "comment_on", "demonstrate", "judge", "read_boolean", "read_scale"]

Annotator = Literal["human", "replayed", "model", "code"]
# Who judged, as producers call it.
ANNOTATORS: dict[str, Annotator] = {
    "ANNOTATION": "human",
    "HUMAN": "human",
    "EVAL": "model",
    "LLM": "model",
    "LLM_JUDGE": "model",
    "AI_JUDGE": "model",
    "API": "code",
    "CODE": "code",
}
_YES = {"true", "yes", "correct", "pass", "passed", "good", "up", "like", "liked", "thumbs_up", "accept", "accepted"}
_NO = {
    "false",
    "no",
    "incorrect",
    "fail",
    "failed",
    "bad",
    "down",
    "dislike",
    "disliked",
    "thumbs_down",
    "reject",
    "rejected",
}


def judge(frame: Feedback, value: Any, scale: Scale | None = None) -> Feedback:
    """Return the judgement *value* in the *frame* that tells its target, name, time and annotator.

    Raises `BadRecordError` for a value that judges nothing, such as None or a number that is not finite.
    """
    if isinstance(value, str):
        return _judge_label(frame, value)
    if isinstance(value, bool):
        return _filled(frame, kind="boolean", thumbs=value)
    if isinstance(value, int | float):
        return _judge_score(frame, value, scale)
    if not value:
        raise BadRecordError("empty_feedback", f"the judgement {frame.name[:80]!r} has no value")
    return _filled(frame, kind="comment", comment=f"{frame.name}: {render_json(value)}")


def comment_on(frame: Feedback, text: Any) -> list[Feedback]:
    """Return the explanation *text* as a comment in *frame*; nothing when there is none."""
    told = render_json(text).strip()
    return [_filled(frame, kind="comment", comment=told)] if told else []


def demonstrate(frame: Feedback, value: Any) -> Feedback:
    """Return the answer *value*, which should have been given, as a demonstration in *frame*."""
    told = render_json(value)
    if not told.strip():
        raise BadRecordError("empty_feedback", f"the demonstration {frame.name[:80]!r} is empty")
    return _filled(frame, kind="demonstration", demonstration=told)


def read_boolean(value: Any) -> Any:
    """Return what the producer declares to be a boolean as one: a number by whether it is 0; else as it is."""
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return {"1": True, "0": False}.get(value, value) if isinstance(value, str) else value


def read_scale(low: Any, high: Any) -> Scale | None:
    """Return the scale from *low* to *high*, or None when one of them is no finite number or none lies between."""
    numbers = [bound for bound in (low, high) if isinstance(bound, int | float) and not isinstance(bound, bool)]
    if len(numbers) < 2 or not all(abs(bound) < math.inf for bound in numbers) or not low < high:
        return None
    return Scale(float(low), float(high))


def _judge_label(frame: Feedback, label: str) -> Feedback:
    word = label.strip().lower().replace(" ", "_").replace("-", "_")
    if not word:
        raise BadRecordError("empty_feedback", f"the judgement {frame.name[:80]!r} has no value")
    if word in _YES or word in _NO:
        return _filled(frame, kind="boolean", thumbs=word in _YES)
    return _filled(frame, kind="comment", comment=f"{frame.name}: {label}" if frame.name else label)


def _judge_score(frame: Feedback, number: float, scale: Scale | None) -> Feedback:
    # Beyond 2**53 a float no longer tells neighbours apart; no judge means such a number.
    if not abs(number) <= 1 << 53:
        raise BadRecordError("bad_number", f"the score {frame.name[:80]!r} is {str(number)[:80]}")
    # A score outside of its bounds was given on another scale.
    inside = scale is not None and scale.low <= number <= scale.high
    return _filled(frame, kind="score", score=float(number), scale=scale if inside else None)


def _filled(frame: Feedback, **point: Any) -> Feedback:
    return identify_feedback(msgspec.structs.replace(frame, **point))

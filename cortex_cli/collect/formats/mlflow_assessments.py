"""Assessments of MLflow become feedback: feedback of people, judges and code, and expected answers.

https://mlflow.org/docs/latest/genai/assessments/feedback and .../expectations.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from cortex_cli.collect.formats.mlflow_spans import name_span, read_json
from cortex_cli.collect.judgements import ANNOTATORS, comment_on, demonstrate, judge
from cortex_cli.collect.measures import read_text
from cortex_cli.collect.records import BadRecordError, Quarantined, parse_time, pick_first, typed
from cortex_cli.domain.interactions import Feedback, Origin

__all__ = ["read_assessments"]

# The expectation that is a whole answer; others, such as expected facts, are told as comments.
_ANSWERS = {"expected_response", "expected_output"}


def read_assessments(
    values: Any, trace: str, origin: Origin, target_kind: Literal["interaction", "episode"]
) -> Iterator[Feedback | Quarantined]:
    """Yield the judgements in *values* on *trace* or its spans, and for each that is none its reason."""
    frame = Feedback(id="", target=trace, kind="comment", time="", target_kind=target_kind, origin=origin)
    for value in typed(values, list[dict[str, Any]], "assessments") or []:
        # An assessment that a later one overrides is no longer meant.
        if value.get("valid") is False:
            continue
        try:
            found = list(_read_assessment(value, frame))
        except BadRecordError as error:
            yield Quarantined(error.reason, error.detail[:200], origin)
        else:
            yield from found


def _read_assessment(value: dict[str, Any], told: Feedback) -> Iterator[Feedback]:
    frame = _fill(value, told)
    expected, given = value.get("expectation"), value.get("feedback")
    if isinstance(expected, dict):
        answer = _read_value(expected)
        yield demonstrate(frame, answer) if frame.name in _ANSWERS else judge(frame, _listed(answer))
    elif isinstance(given, dict):
        yield judge(frame, _listed(_read_value(given)))
    else:
        raise BadRecordError("unknown_assessment", f"an assessment with the fields {', '.join(sorted(value)[:8])}")
    yield from comment_on(frame, read_text(value.get("rationale"), "rationale"))


def _fill(value: dict[str, Any], frame: Feedback) -> Feedback:
    source = typed(value.get("source"), dict[str, Any], "source") or {}
    span = read_text(value.get("span_id"), "span_id")
    return msgspec.structs.replace(
        frame,
        target=name_span(frame.target, span) or frame.target,
        target_kind="interaction" if span else frame.target_kind,
        name=read_text(pick_first(value, ("assessment_name", "name")), "assessment_name"),
        time=parse_time(pick_first(value, ("create_time", "create_time_ms"))),
        annotator=ANNOTATORS.get(read_text(source.get("source_type"), "source_type").upper(), "code"),
    )


def _read_value(told: dict[str, Any]) -> Any:
    serialized = told.get("serialized_value")
    return read_json(serialized.get("value")) if isinstance(serialized, dict) else told.get("value")


def _listed(value: Any) -> Any:
    # A list or an object has no order that a threshold could use; judge tells it in words.
    return value if isinstance(value, str | bool | int | float) else value or None

"""Evaluations in traces: `gen_ai.evaluation.result` events, and annotations that OpenInference keeps on spans.

Neither tells the bounds of a score, so their scores have no scale and pass no threshold. Who judged is told by
OpenInference only; where nobody says so it is taken for a model, whose word counts less than a person's.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.flattened import gather
from cortex_cli.collect.judgements import ANNOTATORS, comment_on, judge
from cortex_cli.collect.otlp import Event, Span
from cortex_cli.collect.records import BadRecordError, Place, parse_time
from cortex_cli.domain.interactions import Feedback

__all__ = ["Target", "read_annotations", "read_evaluation"]

_LISTS = ("annotation", "evaluation")
_PREFIXES = tuple(f"{prefix}{word}s" for prefix in ("", "trace.", "session.") for word in _LISTS)
_NAME, _EVALUATION = 200, "gen_ai.evaluation."


class Target(NamedTuple):
    """What is judged: an interaction by one of its aliases, or an episode when *whole*."""

    name: str
    whole: bool = False


def read_evaluation(event: Event, target: Target, place: Place) -> list[Feedback]:
    """Return the judgements that the event of an evaluation tells of *target*."""
    told = {key.removeprefix(_EVALUATION): item for key, item in event.attributes.items()}
    if told.get("error.type"):
        raise BadRecordError("evaluation_failed", f"the evaluation ended with {str(told['error.type'])[:80]!r}")
    frame = _frame(target, told.get("name"), parse_time(event.time or None), place)
    return _judge(frame, told.get("score.value"), told.get("score.label"), told.get("explanation"))


def read_annotations(span: Span, find: Callable[[], dict[str, Target]], place: Place) -> Iterator[Feedback]:
    """Yield the judgements on *span*; *find* gives its own target under '', and those of its `trace` and `session`."""
    if not any(key.startswith(_PREFIXES) for key in span.attributes):
        return
    time = parse_time(span.end or None)
    for prefix, target in find().items():
        for word in _LISTS:
            for item in gather(span.attributes, f"{prefix}.{word}s" if prefix else f"{word}s"):
                told = item.get(word, item) if isinstance(item, dict) else None
                if not isinstance(told, dict) or not target.name:
                    raise BadRecordError("bad_feedback", f"an {word} is no object, or judges nothing")
                yield from _read_annotation(told, _frame(target, told.get("name"), time, place))


def _read_annotation(told: dict[str, Any], frame: Feedback) -> list[Feedback]:
    who = told.get("annotator_kind")
    annotator = ANNOTATORS.get(who.upper(), "model") if isinstance(who, str) else "model"
    return _judge(
        msgspec.structs.replace(frame, annotator=annotator),
        *(told.get(key) for key in ("score", "label", "explanation")),
    )


def _judge(frame: Feedback, score: Any, label: Any, explanation: Any) -> list[Feedback]:
    values = [value for value in (score, label) if value is not None and value != ""]
    found = [judge(frame, value) for value in values] + comment_on(frame, explanation)
    if not found:
        raise BadRecordError("empty_feedback", f"the evaluation {frame.name!r} has neither score, label nor words")
    return found


def _frame(target: Target, name: Any, time: str, place: Place) -> Feedback:
    return Feedback(
        id="",
        target=target.name,
        target_kind="episode" if target.whole else "interaction",
        kind="comment",
        time=time,
        name=name[:_NAME] if isinstance(name, str) else "",
        annotator="model",
        origin=place.origin,
    )

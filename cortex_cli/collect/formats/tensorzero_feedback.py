"""Rows of TensorZero's feedback tables, and bodies of its feedback API, which say the same in other words."""

from typing import Any

from cortex_cli.collect.conversations import Conversation
from cortex_cli.collect.formats.tensorzero_rows import read_id, read_json, read_row_time, read_tags
from cortex_cli.collect.judgements import Annotator, comment_on, demonstrate, judge, read_scale
from cortex_cli.collect.measures import read_text
from cortex_cli.collect.records import Place, pick_first, render_json
from cortex_cli.domain.interactions import Feedback

__all__ = ["read_feedback"]


def read_feedback(value: dict[str, Any], place: Place) -> Feedback:
    """Return the judgement that the row *value* tells; whether a `target_id` is an episode is not in the row."""
    frame, told = _read_frame(value, place), value.get("value")
    if frame.name == "demonstration":
        return demonstrate(frame, _read_demonstration(told))
    if frame.name == "comment":
        return next(iter(comment_on(frame, read_text(told, "value"))), None) or judge(frame, "")
    tags = read_tags(value)
    return judge(frame, _read_value(told), read_scale(_number(tags.get("min")), _number(tags.get("max"))))


def _read_frame(value: dict[str, Any], place: Place) -> Feedback:
    number = read_text(value.get("id"), "id")
    target = read_id(value, "target_id", "inference_id", "episode_id")
    on_episode = value.get("target_type") == "episode" or not value.keys() & {"target_id", "inference_id"}
    name = read_text(value.get("metric_name"), "metric_name")
    return Feedback(
        id="",
        target=target,
        kind="comment",
        time=read_row_time(value, number),
        target_kind="episode" if on_episode else "interaction",
        name=name or ("comment" if "target_type" in value else "demonstration"),
        annotator=_find_annotator(name, read_tags(value)),
        origin=place.origin,
    )


def _find_annotator(metric: str, tags: dict[str, str]) -> Annotator:
    # The gateway marks what its evaluators and its UI wrote; metrics of an application are its own code's.
    if "tensorzero::evaluator_inference_id" in tags:
        return "model"
    by_hand = "tensorzero::human_feedback" in tags or "author" in tags or metric in {"", "comment", "demonstration"}
    return "human" if by_hand else "code"


def _read_value(told: Any) -> Any:
    # ClickHouse writes booleans as true and false, and large numbers as text.
    return _number(told) if isinstance(told, str) and _number(told) is not None else told


def _number(text: Any) -> float | None:
    try:
        return float(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _read_demonstration(told: Any) -> str:
    found = read_json(told, "value") if isinstance(told, str) and told[:1] in {"[", "{"} else told
    if isinstance(found, dict):
        return render_json(pick_first(found, ("raw", "parsed")) or found)
    if not isinstance(found, list):
        return render_json(found)
    answer = Conversation().add({"role": "assistant", "content": found})[-1]
    return answer.content or answer.tool_calls

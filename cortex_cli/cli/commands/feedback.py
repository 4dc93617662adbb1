"""`cortex feedback`: a judgement by hand on an interaction or an episode."""

import re
from typing import TYPE_CHECKING, Annotated, Literal

from cortex_cli.cli.context import settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import JsonOption, WaitOption
from cortex_cli.cli.output import emit, show_text
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from cortex_cli.domain.interactions import Feedback, Scale
    from cortex_cli.pipeline.collecting import Judgement

__all__ = ["feedback"]

_Kind = Literal["boolean", "score", "comment", "demonstration"]
_SCALE = re.compile(r"(-?\d+(?:\.\d+)?)-(-?\d+(?:\.\d+)?)")


def feedback(  # noqa: PLR0913, PLR0917 - one option per kind of judgement, as the command line shows them
    target: Annotated[str, Argument(metavar="ID", help="id or alias of an interaction, or an episode")],
    thumbs: Annotated[Literal["up", "down"] | None, Option("--thumbs", help="right or wrong")] = None,
    score: Annotated[float | None, Option("--score", metavar="S", help="a grade on --scale")] = None,
    scale: Annotated[str, Option("--scale", metavar="LOW-HIGH", help="bounds of the grade, such as 1-5")] = "",
    comment: Annotated[str, Option("--comment", metavar="TEXT", help="what there is to say")] = "",
    demonstration: Annotated[
        str, Option("--demonstration", metavar="TEXT", help="the answer it should have been")
    ] = "",
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge an interaction or an episode; give one of the four kinds.

    A demonstration is a correction: the next dataset version learns it instead of what was answered.
    """
    from cortex_cli.pipeline.collecting import record_feedback
    from cortex_cli.pipeline.place import open_place

    current = settings()
    point: dict[_Kind, object] = {"boolean": thumbs, "score": score, "comment": comment, "demonstration": demonstration}
    record = _fill(_start(target, _only_kind(point), current.actor), point, _parse_scale(score, scale))
    seconds = current.lock_wait if wait is None else wait
    judged = record_feedback(open_place(workspace()), record, policy=current.redaction, wait=seconds)
    data = {"feedback": judged.feedback, "new": judged.new}
    emit("feedback", data, lambda console: _show(console, judged), as_json=as_json)


def _start(target: str, kind: _Kind, actor: str) -> "Feedback":
    from cortex_cli.domain.interactions import Feedback

    return Feedback(id="", target=target, kind=kind, time="", name=actor)


def _fill(record: "Feedback", point: "Mapping[_Kind, object]", scale: "Scale | None") -> "Feedback":
    import msgspec

    value = point[record.kind]
    if record.kind == "boolean":
        return msgspec.structs.replace(record, thumbs=value == "up")
    return msgspec.structs.replace(record, scale=scale, **{record.kind: value})


def _show(console: "Console", judged: "Judgement") -> None:
    told = judged.feedback
    known = "" if judged.new else " (told before, nothing was added)"
    console.print(f"{told.id}: {_describe(told)} on {told.target_kind} {show_text(told.target)}{known}")


def _only_kind(given: "Mapping[_Kind, object]") -> _Kind:
    chosen = [kind for kind, value in given.items() if value is not None and value != ""]
    if len(chosen) != 1:
        found = "none" if not chosen else f"{len(chosen)} of them"
        raise UsageError(
            f"give one of --thumbs, --score, --comment and --demonstration; found {found}",
            hint="cortex feedback --help",
            state="nothing was changed",
        )
    return chosen[0]


def _parse_scale(score: float | None, text: str) -> "Scale | None":
    from cortex_cli.domain.interactions import Scale

    if score is None and not text:
        return None
    match = _SCALE.fullmatch(text)
    if score is None or match is None:
        raise UsageError(
            f"a score needs its scale, such as --score 4 --scale 1-5; found score {score} and scale {text!r}",
            hint="cortex feedback --help",
            state="nothing was changed",
        )
    low, high = float(match[1]), float(match[2])
    if not low <= score <= high or low == high:
        raise UsageError(f"score {score:g} is not on the scale {text}", state="nothing was changed")
    return Scale(low, high)


def _describe(record: "Feedback") -> str:
    if record.kind == "boolean":
        return "thumbs up" if record.thumbs else "thumbs down"
    if record.scale is not None:
        return f"score {record.score:g} of {record.scale.low:g}-{record.scale.high:g}"
    return record.kind

"""Scores of Langfuse become feedback on a generation, a trace or a session.

Data types and sources: https://langfuse.com/docs/evaluation/scores/data-model; corrected outputs:
https://langfuse.com/docs/observability/features/corrections.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from cortex_cli.collect.formats.langfuse_rows import Row
from cortex_cli.collect.judgements import ANNOTATORS, comment_on, demonstrate, judge, read_boolean, read_scale
from cortex_cli.collect.records import BadRecordError, Quarantined, parse_time, pick_first
from cortex_cli.domain.interactions import Feedback

__all__ = ["Score", "read_score"]


class Score(NamedTuple):
    """One score: who judged what when, the *row* that tells the value, and the *trace* it is on, if on a whole one."""

    frame: Feedback
    row: Row
    trace: str

    def on_episode(self) -> "Score":
        """Return the same score on the whole trace, which is the episode of its interactions."""
        return self._replace(frame=msgspec.structs.replace(self.frame, target_kind="episode"))

    def render(self, configs: dict[str, dict[str, Any]]) -> Iterator[Feedback | Quarantined]:
        """Yield the judgement, with the bounds that its config in *configs* sets, and its comment."""
        try:
            found = [self._judge(configs), *comment_on(self.frame, self.row.text("comment"))]
        except BadRecordError as error:
            yield Quarantined(error.reason, error.detail[:200], self.row.place.origin)
            return
        yield from found

    def _judge(self, configs: dict[str, dict[str, Any]]) -> Feedback:
        value, kind = self.row.value, self.row.text("dataType")
        text = pick_first(value, ("stringValue", "value", "longStringValue"))
        if kind == "CORRECTION":
            return demonstrate(self.frame, pick_first(value, ("stringValue", "longStringValue", "value")))
        if kind == "TEXT":
            return next(iter(comment_on(self.frame, text)), None) or judge(self.frame, "")
        if kind == "BOOLEAN":
            told = pick_first(value, ("value", "stringValue"))
            return judge(self.frame, read_boolean(told))
        if kind == "CATEGORICAL":
            return judge(self.frame, text if isinstance(text, str) else str(text))
        config = configs.get(self.row.text("configId"), value)
        return judge(self.frame, value.get("value"), read_scale(config.get("minValue"), config.get("maxValue")))


def read_score(row: Row) -> Score | None:
    """Return the score *row*; None when it is on an experiment, which holds no interaction of ours."""
    found = _find_target(row)
    if found is None:
        return None
    target, kind = found
    if not target:
        raise BadRecordError("no_target", "the score names neither an observation nor a trace nor a session")
    frame = Feedback(
        id="",
        target=target,
        kind="comment",
        time=parse_time(pick_first(row.value, ("timestamp", "createdAt"))),
        target_kind="episode" if kind == "session" else "interaction",
        name=row.text("name"),
        annotator=ANNOTATORS.get(row.text("source").upper(), "code"),
        origin=row.place.origin,
    )
    return Score(frame, row, target if kind == "trace" else "")


def _find_target(row: Row) -> tuple[str, str] | None:
    subject = row.value.get("subject")
    if isinstance(subject, dict):
        kind, target = subject.get("kind"), subject.get("id")
        if kind == "experiment":
            return None
        return (target, str(kind)) if isinstance(target, str) else ("", "")
    for name, kind in (("observationId", "observation"), ("traceId", "trace"), ("sessionId", "session")):
        if row.text(name):
            return row.text(name), kind
    return None if row.text("datasetRunId") else ("", "")

"""TensorZero: its tables of inferences and feedback, from ClickHouse or Postgres, and feedback as its API takes it.

An inference is an interaction of the agent that its function is; `demonstration` is the corrected answer. Rows
of the tables may come in any order and in separate files: tokens, cost and model of an inference are in
`ModelInference`, and whether feedback is on an episode shows only beside the inferences.

Columns: https://tensorzero.com/docs/gateway/data-model; API: https://tensorzero.com/docs/gateway/api-reference.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cortex_cli.collect.formats.tensorzero_feedback import read_feedback
from cortex_cli.collect.formats.tensorzero_rows import ModelCall, read_inference, read_model_call
from cortex_cli.collect.records import BadRecordError, Format, Place, Quarantined, Record, identify, identify_feedback
from cortex_cli.domain.interactions import Feedback, Interaction

__all__ = ["FORMAT"]

_INFERENCE = {"function_name", "variant_name", "input"}
_MODEL = {"inference_id", "model_name", "raw_request"}
_FEEDBACK = (
    {"target_id", "metric_name", "value"},
    {"target_id", "target_type", "value"},
    {"inference_id", "metric_name", "value"},
    {"episode_id", "metric_name", "value"},
    # DemonstrationFeedback has no more than these columns.
    {"id", "inference_id", "value", "tags"},
)


class _Tables:
    """Rows of all tables, held until the last one."""

    def __init__(self) -> None:
        self._inferences: list[Interaction] = []
        self._calls: defaultdict[str, list[ModelCall]] = defaultdict(list)
        self._feedback: list[Feedback] = []

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record]:
        """Hold the row *value*; raise for one that can never become a record."""
        kind = _find_kind(value)
        if kind == "inference":
            self._inferences.append(read_inference(value, place))
        elif kind == "model":
            inference, call = read_model_call(value, place)
            self._calls[inference].append(call)
        elif kind == "feedback":
            self._feedback.append(read_feedback(value, place))
        else:
            raise BadRecordError("unknown_row", f"a row with the fields {', '.join(sorted(value)[:8])}")
        return ()

    def finish(self) -> Iterator[Record | Quarantined]:
        """Yield the inferences with what their model calls spent, then the feedback on them."""
        known = {record.aliases[0] for record in self._inferences}
        episodes = {record.episode for record in self._inferences} - known
        for record in self._inferences:
            calls = self._calls.get(record.aliases[0], [])
            yield identify(_spend(record, calls) if calls else record)
        for inference in self._calls.keys() - known:
            for call in self._calls[inference]:
                yield Quarantined("no_inference", f"the inference {inference[:80]!r} is not given with it", call.origin)
        for told in self._feedback:
            if told.target in episodes:
                yield identify_feedback(msgspec.structs.replace(told, target_kind="episode"))
            else:
                yield identify_feedback(told)


def _find_kind(value: dict[str, Any]) -> str:
    keys = value.keys()
    if keys >= _INFERENCE and keys & {"id", "inference_id"}:
        return "inference"
    if keys >= _MODEL:
        return "model"
    return "feedback" if any(keys >= columns for columns in _FEEDBACK) else ""


def _spend(record: Interaction, calls: list[ModelCall]) -> Interaction:
    # A row that was exported twice was paid once.
    told = list({call.id: call for call in calls}.values())
    models = sorted({call.model for call in told if call.model})
    finish = sorted({call.finish for call in told if call.finish})
    meta = {"model": ", ".join(models), "finish": ", ".join(finish)}
    return msgspec.structs.replace(
        record,
        tokens_in=_sum(call.tokens_in for call in told),
        tokens_out=_sum(call.tokens_out for call in told),
        cost=_sum(call.cost for call in told),
        meta=record.meta | {name: text for name, text in meta.items() if text},
    )


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


FORMAT = Format(
    "tensorzero",
    "TensorZero inferences, model inferences and feedback",
    lambda value: bool(_find_kind(value)),
    _Tables,
    joins=True,
    together=True,
)

"""Langfuse: traces with their observations and scores, the same as separate rows, and ingestion events.

Each generation is an interaction. Its session, or else its trace, is the episode. The rows of a trace, its
observations and its scores may come in any order and in separate files; what depends on the whole trace is
decided at the end: the id of a trace names an interaction only where it can mean that one and no other.

Names of fields: https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields (snake case)
and https://api.reference.langfuse.com (camel case).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import msgspec

from cortex_cli.collect.exchanges import read_answer
from cortex_cli.collect.formats.langfuse_rows import (
    Row,
    find_agent,
    find_kind,
    merge_events,
    read_generation,
    read_trace,
    spell,
)
from cortex_cli.collect.formats.langfuse_scores import Score, read_score
from cortex_cli.collect.records import (
    BadRecordError,
    Format,
    Place,
    Quarantined,
    Record,
    Skipped,
    identify,
    render_json,
)
from cortex_cli.domain.interactions import Interaction

__all__ = ["FORMAT"]

_DETAIL = 200


class _Export:
    """All rows of one export: what belongs to a trace is held until the trace is whole."""

    def __init__(self) -> None:
        self._traces: dict[str, Row] = {}
        # Ids of the generations of a trace, of those too that cannot be kept; and what can be kept.
        self._known: defaultdict[str, set[str]] = defaultdict(set)
        self._held: defaultdict[str, list[Interaction]] = defaultdict(list)
        # What the roots of a trace answered: of a single one it is the answer of the trace.
        self._outputs: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._scores: list[Score] = []
        self._configs: dict[str, dict[str, Any]] = {}
        self._events: list[Row] = []

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Skipped | Quarantined]:
        """Hold *value* until the end; raise for what can never become a record."""
        row = Row(spell(value), place)
        kind = find_kind(row.value)
        if kind == "trace":
            return self._read_trace(row)
        if kind in {"observation", "score"}:
            return self._read_part(kind, row)
        if kind == "config":
            self._configs[row.text("id")] = row.value
        elif kind == "event":
            self._events.append(row)
        else:
            raise BadRecordError("unknown_row", f"a row with the fields {', '.join(sorted(value)[:8])}")
        return ()

    def finish(self) -> Iterator[Record | Quarantined]:
        """Yield the interactions of every trace, then the judgements."""
        for row in merge_events(self._events):
            yield from self._read_safely(find_kind(row.value), row)
        named: set[str] = set()
        for trace in sorted(self._held.keys() | self._traces.keys()):
            for item in self._finish_trace(trace):
                named.update(item.aliases if isinstance(item, Interaction) else ())
                yield item
        for score in self._scores:
            several = score.trace in self._known and score.trace not in named
            yield from (score.on_episode() if several else score).render(self._configs)

    def _read_trace(self, row: Row) -> list[Quarantined]:
        whole = row.value.get("trace")
        if isinstance(whole, dict):
            # As the UI downloads one trace: the trace, and its observations beside it.
            row = Row({**spell(whole), "observations": row.value.get("observations")}, row.place)
        parts = [(kind, part) for kind in ("observation", "score") for part in _parts(row, kind)]
        self._hold_trace(Row({**row.value, "observations": [], "scores": []}, row.place))
        told = {"traceId": row.text("id")}
        return [
            item
            for kind, part in parts
            for item in self._read_safely(kind, Row({**told, **spell(part)}, row.place))
            if isinstance(item, Quarantined)
        ]

    def _hold_trace(self, row: Row) -> None:
        # Read here, so that a wrong type is told of this line.
        named = [row.text(name) for name in ("id", "sessionId", "userId")]
        if not named[0]:
            raise BadRecordError("missing_field", "the trace has no id")
        # Of two states of one trace the later is the true one, in whatever order they come.
        self._traces[row.text("id")] = max(row, self._traces.get(row.text("id"), row), key=_state)

    def _read_safely(self, kind: str, row: Row) -> Iterable[Quarantined]:
        try:
            found = self._read_trace(row) if kind == "trace" else self._read_part(kind, row)
        except BadRecordError as error:
            return [Quarantined(error.reason, error.detail[:_DETAIL], row.place.origin)]
        return [item for item in found if isinstance(item, Quarantined)]

    def _read_part(self, kind: str, row: Row) -> list[Skipped]:
        if kind == "score":
            score = read_score(row)
            self._scores += [score] if score else []
            return [] if score else [Skipped("experiment_score")]
        trace = row.text("traceId")
        if not row.text("parentObservationId") and row.value.get("output") is not None:
            self._outputs[trace][row.text("id")] = row.value["output"]
        if row.value.get("type") != "GENERATION":
            return [Skipped("no_generation")]
        self._known[trace].add(row.text("id"))
        self._held[trace].append(read_generation(row))
        return []

    def _finish_trace(self, trace: str) -> Iterator[Record | Quarantined]:
        row, held = self._traces.get(trace), self._held.get(trace, [])
        try:
            if row is not None and trace not in self._known:
                held = [read_trace(row)]
        except BadRecordError as error:
            yield Quarantined(error.reason, error.detail[:_DETAIL], row.place.origin if row else held[0].origin)
        answer = row.value.get("output") if row else None
        if answer is None and len(self._outputs[trace]) == 1:
            (answer,) = self._outputs[trace].values()
        named = _find_named(held, answer, len(self._known.get(trace, ())))
        for record in held:
            yield _complete(record, row, trace if record in named else "")


def _parts(row: Row, kind: str) -> list[dict[str, Any]]:
    # The list of traces names its observations and scores by their ids only.
    told = row.value.get(f"{kind}s")
    return [part for part in told if isinstance(part, dict)] if isinstance(told, list) else []


def _state(row: Row) -> tuple[str, str]:
    return str(row.value.get("updatedAt")), render_json(row.value)


def _find_named(held: list[Interaction], answer: Any, known: int) -> list[Interaction]:
    """Return what the id of their trace means: the only interaction, or the one that answers for all of them."""
    if known <= 1:
        return held
    told = ""
    with suppress(BadRecordError):
        told = read_answer(answer).output
    answering = [record for record in held if told and record.output == told]
    return [max(answering, key=lambda record: (record.time, record.aliases))] if answering else []


def _complete(record: Interaction, row: Row | None, trace: str) -> Interaction | Quarantined:
    agent = record.agent or (find_agent(row, "name") if row else "")
    if not agent:
        return Quarantined("no_agent", "the trace has no name; give an agent with --agent", record.origin)
    aliases = tuple(dict.fromkeys(alias for alias in (*record.aliases, trace) if alias))
    told = {"agent": agent, "aliases": aliases}
    if row is not None:
        told["user"] = record.user or row.text("userId")
        told["episode"] = row.text("sessionId") or record.episode
    return identify(msgspec.structs.replace(record, **told))


def _recognises(value: dict[str, Any]) -> bool:
    return bool(find_kind(spell(value)))


FORMAT = Format(
    "langfuse",
    "Langfuse exports: traces, observations, scores and ingestion events",
    _recognises,
    _Export,
    joins=True,
    together=True,
)

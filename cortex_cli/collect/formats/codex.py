"""Codex rollout files: each prompt of a person, with the work that follows it, becomes one interaction.

Lines are `{timestamp, type, payload}`; the first versions wrote the payloads alone. The conversation is in
`response_item`; `event_msg` tells it again for the screen, and is read only for tokens and for how a turn ended.
Types: https://github.com/openai/codex, codex-rs/protocol/src/protocol.rs and models.rs.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.conversations import Conversation
from cortex_cli.collect.measures import read_count, read_text, seconds_between
from cortex_cli.collect.records import (
    BadRecordError,
    Format,
    Place,
    Quarantined,
    Record,
    Skipped,
    parse_time,
    pick_first,
    typed,
)
from cortex_cli.collect.turns import Turn, merge_answers, render_turn
from cortex_cli.domain.interactions import Message

__all__ = ["FORMAT"]

_AGENT = "codex"
_LINES = {"session_meta", "response_item", "turn_context", "event_msg", "compacted"}
_STEPS = {
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "local_shell_call",
}
_BEGUN = {"task_started", "turn_started"}
_ENDED = {"task_complete", "turn_complete"}
# Of all that is told to the screen, what tells more than the conversation does.
_EVENTS = {"token_count", "turn_aborted", "error", *_BEGUN, *_ENDED}
_ABORTED = "<turn_aborted>"
# What the program itself says in the place of the user.
_INJECTED = (
    "<environment_context>",
    "<user_instructions>",
    "<INSTRUCTIONS>",
    "# AGENTS.md instructions",
    "<permissions instructions>",
    "<collaboration_mode>",
    "<skill",
    "<apps_instructions>",
    "<subagent_notification>",
    _ABORTED,
    "<user_shell_command>",
)


class _Rollout:
    """One rollout: the conversation so far, and the turn that is under way."""

    def __init__(self) -> None:
        self._session = ""
        self._model = ""
        self._sidechain = False
        # Whether this version tells when a turn has ended, and whether the present one is under way.
        self._open = False
        self._turn_id = ""
        self._history: list[Message] = []
        # Histories at the beginning of each turn, to which a person can roll back.
        self._starts: list[tuple[Message, ...]] = []
        # What the program said for the model since the last step: it belongs to the turn that goes on after it.
        self._injected: list[dict[str, Any]] = []
        self._known = True
        self._turn: Turn | None = None
        self._talk = Conversation()
        self._started: Any = None
        self._ended: Any = None
        self._spent = (0, 0)
        self._paid = (0, 0)

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Record | Skipped | Quarantined]:
        """Return the turn before when *value* begins the next one."""
        kind, payload = value.get("type"), value.get("payload")
        if isinstance(payload, dict) and isinstance(kind, str):
            return self._read_line(kind, payload, value, place)
        if kind is None and isinstance(value.get("id"), str) and "timestamp" in value:
            return self._read_session(value)
        if isinstance(kind, str) and (kind == "message" or kind in _STEPS or kind == "reasoning"):
            return self._read_item(value, value, place)
        return [Skipped("unknown_type")] if isinstance(kind, str) or "record_type" in value else _refuse(value)

    def finish(self) -> Iterator[Record | Quarantined]:
        """Yield the last turn."""
        yield from self._close()

    def _read_line(
        self, kind: str, payload: dict[str, Any], line: dict[str, Any], place: Place
    ) -> Iterable[Record | Skipped | Quarantined]:
        if kind == "response_item":
            return self._read_item(payload, line, place)
        if kind == "event_msg":
            return self._read_event(payload)
        if kind == "session_meta":
            return self._read_session(payload)
        if kind == "turn_context":
            self._model = read_text(payload.get("model"), "model")
            return ()
        return self._read_compacted(payload) if kind == "compacted" else [Skipped("unknown_type")]

    def _read_session(self, payload: dict[str, Any]) -> Iterable[Record | Quarantined]:
        ended = list(self._close())
        self._session = read_text(payload.get("id"), "id")
        # A sub-agent has a file of its own, and its source says who started it.
        self._sidechain = isinstance(payload.get("source"), dict)
        return ended

    def _read_item(
        self, item: dict[str, Any], line: dict[str, Any], place: Place
    ) -> Iterable[Record | Skipped | Quarantined]:
        kind = item.get("type")
        if kind in ("reasoning", "web_search_call"):
            return [Skipped(str(kind))]
        if kind == "message":
            return self._read_message(item, line, place)
        if not isinstance(kind, str) or kind not in _STEPS:
            return [Skipped("unknown_type")]
        self._add(item, line)
        return ()

    def _read_message(self, item: dict[str, Any], line: dict[str, Any], place: Place) -> Iterable[Record | Quarantined]:
        if _is_injected(item):
            if _text_of(item).lstrip().startswith(_ABORTED):
                self._interrupt()
            else:
                self._injected.append({**item, "role": "system"})
            return ()
        ended: list[Record | Quarantined] = []
        if item.get("role") == "user" and (self._turn is None or self._turn.answering):
            ended = list(self._close())
            self._begin(line, place)
        self._add(item, line)
        if self._turn and item.get("phase") == "commentary":
            self._turn.open = True
        return ended

    def _begin(self, line: dict[str, Any], place: Place) -> None:
        started = line.get("timestamp")
        self._starts.append(tuple(self._history))
        self._turn = Turn(Place(place.origin, place.agent or _AGENT), self._starts[-1], open=self._open)
        self._turn.facts = {"time": parse_time(started), "episode": self._session, "aliases": join_names(self._turn_id)}
        self._started, self._ended, self._paid = started, None, self._spent

    def _add(self, item: dict[str, Any], line: dict[str, Any]) -> None:
        try:
            found = [message for told in (*self._injected, item) for message in self._talk.add(told)]
        except BadRecordError as error:
            self._known = False
            if self._turn is None:
                raise
            self._turn.fault = error
            return
        finally:
            self._injected = []
        if self._turn is None:
            self._history += found
            return
        self._turn.messages += found
        if found[-1].role == "assistant":
            self._turn.open = self._open
            self._ended = line.get("timestamp")

    def _interrupt(self) -> None:
        if self._turn:
            self._turn.interrupted = True

    def _read_event(self, payload: dict[str, Any]) -> Iterable[Record | Skipped | Quarantined]:
        kind = payload.get("type")
        if kind == "thread_rolled_back":
            return self._roll_back(read_count(payload.get("num_turns"), "num_turns") or 0)
        if not isinstance(kind, str) or kind not in _EVENTS:
            return [Skipped("ui_event")]
        if kind == "token_count":
            self._read_tokens(payload)
        if kind == "turn_aborted":
            self._interrupt()
        if kind == "error" and self._turn:
            self._turn.error = read_text(payload.get("message"), "message") or "error"
        if kind in _BEGUN:
            self._open, self._turn_id = True, read_text(payload.get("turn_id"), "turn_id")
        if kind in _ENDED:
            self._open = False
        if kind in _ENDED and self._turn:
            self._turn.open = False
        return ()

    def _roll_back(self, turns: int) -> Iterable[Record | Quarantined]:
        ended = list(self._close())
        for _ in range(min(turns, len(self._starts))):
            self._history = list(self._starts.pop())
        return ended

    def _read_tokens(self, payload: dict[str, Any]) -> None:
        # Totals, not what the last call spent: the same event comes again with every change of a rate limit.
        info = typed(payload.get("info"), dict[str, Any], "info") or {}
        total = typed(info.get("total_token_usage"), dict[str, Any], "total_token_usage") or {}
        read = read_count(total.get("input_tokens"), "input_tokens"), read_count(total.get("output_tokens"), "output")
        self._spent = (max(read[0] or 0, self._spent[0]), max(read[1] or 0, self._spent[1]))

    def _read_compacted(self, payload: dict[str, Any]) -> Iterable[Record | Quarantined]:
        ended = list(self._close()) if self._turn and self._turn.ended else []
        summary = read_text(payload.get("message"), "message")
        kept = typed(payload.get("replacement_history"), list[dict[str, Any]], "replacement_history")
        talk = Conversation()
        for item in kept or []:
            if item.get("type") == "message":
                # A summary is the program's text, also where it stands among what the user said.
                told = bool(summary) and summary in _text_of(item)
                talk.add({**item, "role": "system"} if told or _is_injected(item) else item)
        self._history = talk.messages
        self._known = kept is not None and all(item.get("type") == "message" for item in kept)
        if self._turn:
            self._turn.before, self._turn.messages = tuple(self._history), []
        return ended

    def _close(self) -> Iterator[Record | Quarantined]:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        turn.facts |= {"latency": seconds_between(self._started, self._ended), **self._tokens()}
        found = {"model": self._model, "sidechain": "true" if self._sidechain else ""}
        turn.meta |= {name: text for name, text in found.items() if text}
        turn.meta |= {} if self._known else {"history": "missing"}
        self._history = [*turn.before, *merge_answers(turn.messages)]
        try:
            yield render_turn(turn)
        except BadRecordError as error:
            yield Quarantined(error.reason, error.detail, turn.place.origin)

    def _tokens(self) -> dict[str, int]:
        spent = [now - before for now, before in zip(self._spent, self._paid, strict=True)]
        return {"tokens_in": spent[0], "tokens_out": spent[1]} if any(spent) else {}


def _text_of(item: dict[str, Any]) -> str:
    content = item.get("content")
    parts = [content] if isinstance(content, str) else content if isinstance(content, list) else []
    found = [pick_first(part, ("text",)) if isinstance(part, dict) else part for part in parts]
    return "".join(text for text in found if isinstance(text, str))


def _is_injected(item: dict[str, Any]) -> bool:
    return item.get("role") == "user" and _text_of(item).lstrip().startswith(_INJECTED)


def _refuse(value: dict[str, Any]) -> Iterable[Skipped]:
    raise BadRecordError("wrong_type", f"a line with the fields {', '.join(sorted(value)[:8])} has no type")


def _recognises(value: dict[str, Any]) -> bool:
    kind = value.get("type")
    if isinstance(value.get("payload"), dict) and "timestamp" in value:
        return isinstance(kind, str) and kind in _LINES
    # The first versions began a file with its settings and had no types for lines.
    return kind is None and {"id", "timestamp", "instructions"} <= value.keys()


FORMAT = Format("codex", "Codex rollout files", _recognises, _Rollout, joins=True)

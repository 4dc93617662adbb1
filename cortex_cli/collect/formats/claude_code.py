"""Claude Code transcripts: each prompt of a person, with the work that follows it, becomes one interaction.

Lines form a tree by `uuid` and `parentUuid`: a prompt that was edited begins a branch beside the old one. One
answer of the model is written as several lines with one `message.id`, of which the last has the final usage.
A conversation begins anew after a compaction; its summary is nobody's words, so what follows has no history.
A turn that a person interrupted is a failure; one that has no answer yet is found again when the file has grown.

Fields: https://meksys-dev.github.io/mekara/docs/dependencies/claude-cli/jsonl-schema.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from cortex_cli.collect.completions import join_names
from cortex_cli.collect.conversations import Conversation
from cortex_cli.collect.formats.claude_code_lines import Kind, Node, add_line, classify, count_tokens, join_parts
from cortex_cli.collect.measures import read_text, seconds_between
from cortex_cli.collect.records import BadRecordError, Format, Place, Quarantined, Record, Skipped, parse_time
from cortex_cli.collect.turns import Turn, merge_answers, render_turn
from cortex_cli.domain.interactions import Message

__all__ = ["FORMAT"]

_AGENT = "claude-code"
_DETAIL = 200
# The lines that are part of a turn.
_TOLD = {Kind.PROMPT, Kind.ANSWER, Kind.RESULT, Kind.INTERRUPT}
# Lines that belong to no conversation, by their type; others that are not known are counted together.
_BESIDE = {
    "summary",
    "system",
    "file-history-snapshot",
    "permission-mode",
    "mode",
    "progress",
    "attachment",
    "queue-operation",
    "last-prompt",
    "custom-title",
    "ai-title",
    "agent-name",
    "pr-link",
}


class _Transcript:
    """One transcript, held until its end, because only then is it known which turns are whole."""

    def __init__(self) -> None:
        # In the order of the file; a line that is repeated keeps its place.
        self._nodes: dict[str, Node] = {}
        self._turns: dict[str, tuple[list[Message], bool]] = {}

    def read(self, value: dict[str, Any], place: Place) -> Iterable[Skipped]:
        """Hold the line *value*, or tell why it holds nothing."""
        kind = classify(value)
        add_line(self._nodes, value, kind, place)
        if kind in _TOLD:
            return ()
        told = value.get("type")
        if kind is not Kind.BESIDE:
            return [Skipped(kind.value)]
        return [Skipped(told if isinstance(told, str) and told in _BESIDE else "unknown_type")]

    def finish(self) -> Iterator[Record | Quarantined]:
        """Yield the turns in the order of their prompts."""
        owners: dict[str, list[Node]] = {}
        for node in self._nodes.values():
            if node.kind in _TOLD:
                owners.setdefault(self._find_owner(node).uuid, []).append(node)
        for uuid, nodes in owners.items():
            owner = self._nodes[uuid]
            if owner.kind is Kind.PROMPT:
                yield from self._finish_turn(owner, [node for node in nodes if node is not owner])
            elif any(node.kind is Kind.ANSWER for node in nodes):
                yield Quarantined("no_prompt", "an answer to nothing that a person said", nodes[0].place.origin)

    def _finish_turn(self, prompt: Node, nodes: list[Node]) -> Iterator[Record | Quarantined]:
        before, known = self._read_history(prompt)
        turn = _read_turn(prompt, nodes)
        turn.before = tuple(before)
        turn.meta |= {} if known else {"history": "missing"}
        try:
            yield render_turn(turn)
        except BadRecordError as error:
            yield Quarantined(error.reason, error.detail[:_DETAIL], prompt.place.origin)

    def _read_history(self, prompt: Node) -> tuple[list[Message], bool]:
        """Return what was said before *prompt* on its branch, and whether that is all of it."""
        path = list(self._walk(prompt))
        top = path[-1]
        # A sub-agent begins with nothing, below the line that called it.
        known = top.kind is not Kind.SUMMARY and (not top.parent or (top.sidechain and top.parent in self._nodes))
        said: list[Message] = []
        turn: list[Node] = []
        for node in reversed(path[1:]):
            if node.kind in {Kind.PROMPT, Kind.COMMAND, Kind.SUMMARY}:
                whole = self._tell(turn, said)
                known, turn = known and whole, []
            turn.append(node)
        return said, self._tell(turn, said) and known

    def _tell(self, nodes: list[Node], said: list[Message]) -> bool:
        """Append the messages of one earlier turn to *said*; return whether it could be told as a whole."""
        if not nodes or nodes[0].kind is not Kind.PROMPT:
            # What follows a command or a summary answers something that is not in the transcript.
            return not any(node.kind is Kind.ANSWER for node in nodes)
        key = nodes[-1].uuid
        if key not in self._turns:
            turn = _read_turn(nodes[0], [*nodes[1:], *self._find_results(nodes)])
            self._turns[key] = (merge_answers(turn.messages), turn.fault is None)
        messages, whole = self._turns[key]
        said += messages if whole else []
        return whole

    def _find_results(self, nodes: list[Node]) -> list[Node]:
        # Tools that run side by side answer side by side: only one of their results is on the path.
        on_path = {node.uuid for node in nodes}
        calls = {node.uuid for node in nodes if node.kind is Kind.ANSWER}
        return [node for uuid in calls for node in self._results_of(uuid) if node.uuid not in on_path]

    def _results_of(self, uuid: str) -> list[Node]:
        found = (self._nodes.get(child) for child in self._nodes[uuid].children)
        return [node for node in found if node is not None and node.kind is Kind.RESULT]

    def _find_owner(self, node: Node) -> Node:
        """Return what *node* answers: a prompt, or else the command or summary, or the first line, above it."""
        above = node
        for above in self._walk(node):
            if above.kind in {Kind.PROMPT, Kind.COMMAND, Kind.SUMMARY}:
                break
        return above

    def _walk(self, node: Node) -> Iterator[Node]:
        """Yield *node* and what is above it; a circle of damaged lines ends where it closes."""
        seen: set[str] = set()
        above: Node | None = node
        while above is not None and above.uuid not in seen and above.sidechain == node.sidechain:
            yield above
            seen.add(above.uuid)
            above = self._nodes.get(above.parent)
            if above is not None and above.kind is Kind.BOUNDARY:
                return


def _read_turn(prompt: Node, nodes: list[Node]) -> Turn:
    """Return the turn of *prompt*, whose further lines are *nodes*; what is wrong with it is its fault."""
    place = Place(prompt.place.origin, prompt.place.agent or _AGENT)
    turn = Turn(place, meta={"sidechain": "true"} if prompt.sidechain else {})
    try:
        _fill_turn(turn, prompt, nodes)
    except BadRecordError as error:
        turn.fault = error
    return turn


def _fill_turn(turn: Turn, prompt: Node, nodes: list[Node]) -> None:
    talk = Conversation()
    turn.messages = talk.messages
    for node in join_parts([prompt, *nodes]):
        _add_node(turn, talk, node)
    answers = [node for node in nodes if node.kind is Kind.ANSWER and not node.failed]
    ended = answers[-1] if answers else prompt
    turn.facts = {
        "time": parse_time(prompt.time),
        "episode": prompt.session,
        "latency": seconds_between(prompt.time, ended.time) if answers else None,
        "aliases": join_names(ended.text("id"), prompt.uuid),
        **count_tokens(answers),
    }
    turn.meta |= {"model": ended.text("model")} if ended.text("model") else {}


def _add_node(turn: Turn, talk: Conversation, node: Node) -> None:
    if node.kind not in _TOLD:
        return
    # Only the last line tells how a turn ended: what failed may have been tried again.
    turn.error, turn.interrupted = "", node.kind is Kind.INTERRUPT
    if node.failed:
        turn.error = "".join(read_text(block.get("text"), "text") for block in node.blocks) or "API error"
    elif not turn.interrupted:
        talk.extend("assistant" if node.kind is Kind.ANSWER else "user", node.blocks)


def _recognises(value: dict[str, Any]) -> bool:
    kind = value.get("type")
    if not isinstance(kind, str):
        return False
    if kind in {"user", "assistant"}:
        return isinstance(value.get("message"), dict) and bool(value.keys() & {"sessionId", "parentUuid"})
    return kind in _BESIDE and bool(value.keys() & {"sessionId", "leafUuid", "snapshot"})


FORMAT = Format("claude-code", "Claude Code transcripts", _recognises, _Transcript, joins=True)

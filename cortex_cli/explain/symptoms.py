"""What went wrong, as far as it can be detected: every symptom has its sentence and its evidence."""

import difflib
import json
import re
from collections.abc import Callable
from typing import Literal

import msgspec

from cortex_cli.explain.answers import Known, read_commands, read_names, same_answer
from cortex_cli.explain.cases import Case
from cortex_cli.explain.tokens import compare_pieces

__all__ = ["Fact", "Symptom", "SymptomName", "find_symptoms"]

Fact = str | int | float | tuple[str, ...]
SymptomName = Literal[
    "error",
    "no-answer",
    "cut-off",
    "wrong-format",
    "placeholder",
    "unknown-tool",
    "unknown-command",
    "contradiction",
    "low-confidence",
    "rejected",
]

# Marks that systems for commands leave where a value should stand: `__SP__UNK` of sub-token copying,
# and the argument types of the NL2Bash grammar (https://arxiv.org/abs/1802.08979) in brackets.
_PLACEHOLDER = re.compile(
    r"__SP__\w+|<unk>|\[(?:file|directory|path|permission|regex|number|quantity|size|timespan|datetime"
    r"|username|groupname|process|utility|argument|option|unknown|whatever)\]"
)
_MOST_PIECES = 12  # that a sentence can hold; the evidence has them all
_OPEN_END = re.compile(r"(?:\|\|?|&&|\\|\$\()\s*$")


class Symptom(msgspec.Struct, frozen=True):
    """One thing that went wrong: its *name*, a *sentence* for people, and the *evidence* it rests on."""

    name: SymptomName
    sentence: str
    evidence: dict[str, Fact] = {}


def find_symptoms(case: Case, known: Known | None = None, usual: float | None = None) -> list[Symptom]:
    """List what is detectably wrong with *case*, the most telling first; empty when nothing is.

    *known* is what the training answers name: without it nothing can be unknown. *usual* is the mean
    log-probability per token that right answers reach at least.
    """
    found = [detect(case) for detect in _DETECTORS]
    found[4:4] = _unknown_names(case, known)
    found.append(_unsure(case, usual))
    found.append(_rejected(case))
    return [symptom for symptom in found if symptom is not None]


def _failed(case: Case) -> Symptom | None:
    if not case.error:
        return None
    return Symptom("error", f"the call ended with an error: {case.error}", {"error": case.error})


def _empty(case: Case) -> Symptom | None:
    if case.output.strip() or case.error:
        return None
    return Symptom("no-answer", "there is no answer: the output is empty")


def _cut(case: Case) -> Symptom | None:
    tokens = case.tokens_out or 0
    if case.finish == "length" or (case.limit and tokens >= case.limit):
        reached = f" of {case.limit} tokens" if case.limit else ""
        facts: dict[str, Fact] = {"finish": case.finish or "unknown", "tokens": tokens}
        return Symptom("cut-off", f"the answer stops at its limit{reached}", facts)
    tail = _open_end(case)
    return Symptom("cut-off", f"the answer ends too early: {tail}", {"tail": case.output[-20:]}) if tail else None


def _open_end(case: Case) -> str:
    text = case.output.rstrip()
    if case.judge == "command" and (match := _OPEN_END.search(text)):
        return f"nothing follows '{match.group().strip()}'"
    if case.judge != "json" or not text.startswith("{"):
        return ""
    try:
        json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        opened = isinstance(error, json.JSONDecodeError) and error.msg.startswith("Unterminated")
        return "the JSON object is not closed" if opened or getattr(error, "pos", 0) >= len(text) else ""
    return ""


def _misshapen(case: Case) -> Symptom | None:
    if not case.output.strip():
        return None
    fault = _FORMATS[case.judge](case.output)
    if not fault:
        return None
    return Symptom("wrong-format", f"the answer has the wrong form: {fault}", {"judge": case.judge, "fault": fault})


def _no_form(_text: str) -> str:
    return ""


def _json_fault(text: str) -> str:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        return "not JSON that can be read: nested too deep"
    if not isinstance(value, dict):
        return f"JSON, but {type(value).__name__} instead of an object"
    if "tool" not in value:
        return f'an object without the key "tool"; it has {", ".join(map(repr, value)) or "none"}'
    return "" if isinstance(value["tool"], str) else f'the value of "tool" is not text but {json.dumps(value["tool"])}'


def _command_fault(text: str) -> str:
    try:
        names = read_commands(text)
    except ValueError as error:
        return f"not a command: {str(error).lower()}"
    # A line of assignments alone is a command too.
    return "" if names or "=" in text else "not a command: it names none"


_FORMATS: dict[str, Callable[[str], str]] = {"exact": _no_form, "json": _json_fault, "command": _command_fault}


def _unfilled(case: Case) -> Symptom | None:
    if case.judge != "command":
        return None
    # A request may name such a thing itself, and then it is no placeholder.
    request = " ".join(message.content for message in case.messages)
    found = dict.fromkeys(mark for mark in _PLACEHOLDER.findall(case.output) if mark not in request)
    if not found:
        return None
    marks = tuple(found)
    return Symptom("placeholder", f"a value was not filled in: {', '.join(marks)}", {"placeholders": marks})


def _unknown_names(case: Case, known: Known | None) -> list[Symptom | None]:
    if known is None or not known.names:
        return []
    names = dict.fromkeys(read_names(case.output, case.judge))
    return [_unknown_name(case, name, known) for name in names if name not in known.names]


def _unknown_name(case: Case, name: str, known: Known) -> Symptom:
    near = tuple(difflib.get_close_matches(name, known.names, n=3))
    what: Literal["tool", "command"] = "tool" if case.judge == "json" else "command"
    nearest = f"; the nearest there: {', '.join(near)}" if near else ""
    sentence = f"the {what} '{name}' stands in none of {known.total:,} training answers{nearest}"
    facts: dict[str, Fact] = {"name": name, "near": near, "training_answers": known.total}
    return Symptom("unknown-tool" if what == "tool" else "unknown-command", sentence, facts)


def _contradicted(case: Case) -> Symptom | None:
    if not case.expected or same_answer(case.output, case.expected, case.judge):
        return None
    missing, extra = compare_pieces(case.output, case.expected)
    parts = [f"{word} {_list(pieces)}" for word, pieces in (("missing", missing), ("too much", extra)) if pieces]
    difference = "; ".join(parts) or "the same pieces in another order"
    facts: dict[str, Fact] = {"expected": case.expected, "missing": missing, "extra": extra}
    return Symptom("contradiction", f"the demonstration says otherwise: {difference}", facts)


def _list(pieces: tuple[str, ...]) -> str:
    more = f" and {len(pieces) - _MOST_PIECES:,} more" if len(pieces) > _MOST_PIECES else ""
    return " ".join(pieces[:_MOST_PIECES]) + more


def _unsure(case: Case, usual: float | None) -> Symptom | None:
    if usual is None or case.logprob is None or case.logprob >= usual:
        return None
    sentence = f"the model was unsure: {case.logprob:.2f} per token, right answers usually reach {usual:.2f}"
    return Symptom("low-confidence", sentence, {"logprob": case.logprob, "usual": usual})


def _rejected(case: Case) -> Symptom | None:
    if not case.rejected:
        return None
    judges = "1 judge" if case.judges == 1 else f"{case.judges} judges"
    sentence = f"rejected by {case.rejected} of {judges}"
    return Symptom("rejected", sentence, {"rejected": case.rejected, "judges": case.judges})


# In the order in which they are told: what kept an answer from being one, then what is wrong with it.
_DETECTORS = (_failed, _empty, _cut, _misshapen, _unfilled, _contradicted)

"""What an answer says, as far as it can be read by rule: the tool it calls, the commands it runs."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from cortex_cli.domain.examples import Example
from cortex_cli.explain.cases import Judge

__all__ = ["Known", "count_answers", "label_answer", "read_commands", "read_names", "same_answer"]

_SEPARATORS = frozenset({"|", "||", "&&", ";", "&", "|&", "(", ";;"})
# Words of the shell's grammar after which a command begins.
_OPENERS = frozenset(
    {"do", "then", "else", "if", "elif", "while", "until", "!", "{", "time", "-exec", "-execdir", "-ok"}
)
_CLOSERS = frozenset({"done", "fi", "esac", "}", ")"})
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_UNREADABLE = "(unreadable)"


class Known(msgspec.Struct, frozen=True):
    """What the training answers hold: how many call each tool or command, how many give each answer.

    *labels* counts answers by `label_answer`, *total* all of them.
    """

    names: dict[str, int]
    labels: dict[str, int]
    total: int


def read_commands(text: str) -> tuple[str, ...]:
    """Return the names of the commands in *text*, in order; raise `ValueError` for unbalanced quotes.

    Pipes, lists, groups, `$(...)` outside of quotes and `-exec` are followed; what stands in
    quotes, and arguments of `xargs` or `sudo`, is not.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    found: list[str] = []
    expecting = True
    for token in lexer:
        if token in _SEPARATORS or token in _OPENERS:
            expecting = True
        elif expecting and token not in _CLOSERS and not _ASSIGNMENT.match(token):
            # An option here follows an escaped `\(` or `\;` of find, which reads like a bare one.
            if not token.startswith("-"):
                found.append(token)
            expecting = False
    return tuple(found)


def read_names(text: str, judge: Judge) -> tuple[str, ...]:
    """Return the tools or commands that *text* names; empty where it names none or cannot be read."""
    if judge == "json":
        tool = (_read_object(text) or {}).get("tool")
        return (tool,) if isinstance(tool, str) else ()
    if judge == "command":
        try:
            return read_commands(text)
        except ValueError:
            return ()
    return ()


def label_answer(text: str, judge: Judge) -> str:
    """Return what *text* amounts to, so that answers can be counted: its tool, its commands, or itself."""
    if judge == "exact" or not text.strip():
        return " ".join(text.split())
    names = read_names(text, judge)
    return " | ".join(names) if names else _UNREADABLE


def same_answer(one: str, other: str, judge: Judge) -> bool:
    """Tell whether two answers say the same: equal JSON objects, or equal text but for blanks."""
    if judge == "json" and (first := _read_object(one)) is not None:
        return first == _read_object(other)
    return one.split() == other.split()


def count_answers(examples: Iterable[Example], judge: Judge) -> Known:
    """Count what the answers of *examples* name and amount to."""
    answers = Counter(example.answer for example in examples)
    names: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for answer, count in answers.items():
        labels[label_answer(answer, judge)] += count
        for name in set(read_names(answer, judge)):
            names[name] += count
    return Known(dict(names), dict(labels), answers.total())


def _read_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None

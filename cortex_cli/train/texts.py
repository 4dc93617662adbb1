"""Texts for a base: the starter packs as chat documents, without the labels of what is measured later.

Intent labels of `clinc150` and `banking77` are never read here: the base must not have seen the
answers that adapters are measured on. `sgd` names an intent per turn and `mmlu` a subject per
question; those teach the form of a tool call.
"""

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cortex_cli.domain.errors import UsageError
from cortex_cli.train.spec import TextSpec

__all__ = ["ASSISTANT", "END", "PAD", "SYSTEM", "USER", "read_documents", "tool_call"]

PAD, USER, ASSISTANT, SYSTEM, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"

Rows = Iterable[dict[str, Any]]


def tool_call(name: str) -> str:
    """Render a call of the tool *name* without arguments, as the starter agents answer."""
    return f'{{"tool": "{name}"}}'


def read_documents(texts: Iterable[TextSpec], packs: Path) -> Iterator[str]:
    """Yield every document of *texts* from the folder *packs*, repeated or thinned by its share.

    Raises `UsageError` naming a pack that is not there.
    """
    for text in texts:
        path = packs / f"{text.pack}.jsonl.gz"
        if not path.is_file():
            raise UsageError(f"text pack '{text.pack}' is not in '{packs}'", state="nothing was trained")
        for document in _READERS[text.reader](read_rows(path)):
            yield from [document] * _copies(document, text.share)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a gzipped JSON Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _copies(document: str, share: float) -> int:
    # The hash decides, so that the same documents are taken on every machine and every epoch.
    whole, part = divmod(share, 1.0)
    chance = int.from_bytes(hashlib.sha256(document.encode()).digest()[:4], "big") / 2**32
    return int(whole) + (chance < part)


def _turn(speaker: str, text: str) -> str:
    return (USER if speaker == "user" else ASSISTANT) + text + END


def _ask(request: str, answer: str) -> str:
    return USER + request + ASSISTANT + answer + END


def _dialogues(rows: Rows) -> Iterator[str]:
    for row in rows:
        yield "".join(_turn(turn[0], turn[1]) for turn in row["turns"])


def _intents(rows: Rows) -> Iterator[str]:
    for row in rows:
        last = ""
        for turn in row["turns"]:
            intent = turn[2] if turn[0] == "user" and len(turn) > 2 else ""
            if intent and intent != "NONE":
                if intent != last:
                    yield _ask(turn[1], tool_call(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", intent).lower()))
                last = intent


def _requests(rows: Rows) -> Iterator[str]:
    for row in rows:
        yield row["text"] if "text" in row else row["turns"][0][1]


def _utterances(rows: Rows) -> Iterator[str]:
    for request in _requests(rows):
        yield USER + request + END


def _keywords(rows: Rows) -> Iterator[str]:
    # A task that needs no label: name a tool after the two rarest words of the request. It teaches
    # what a reader of requests needs first: which words carry the meaning, and the form of a call.
    requests = list(_requests(rows))
    spread = Counter(word for request in requests for word in _words(request))
    common = max(16.0, 0.02 * len(requests))  # a word of every fiftieth request says little
    for request in requests:
        words = [word for word in _words(request) if len(word) > 2 and 3 <= spread[word] < common]
        if words:
            rare = sorted(words, key=lambda word: spread[word])[:2]
            yield _ask(request, tool_call("_".join(sorted(rare, key=words.index))))


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"[a-z]+", text.lower())))


def _commands(rows: Rows) -> Iterator[str]:
    for row in rows:
        yield _ask(row["description"], row["command"])


def _solutions(rows: Rows) -> Iterator[str]:
    for row in rows:
        # The calculator marks <<48/2=24>> repeat what the sentence says.
        yield _ask(row["question"], re.sub(r"<<.*?>>", "", row["answer"]))


def _subjects(rows: Rows) -> Iterator[str]:
    for row in rows:
        yield _ask(row["prompt"], tool_call(row["domain"]))


_READERS: dict[str, Callable[[Rows], Iterator[str]]] = {
    "dialogue": _dialogues,
    "intent": _intents,
    "utterance": _utterances,
    "keyword": _keywords,
    "command": _commands,
    "solution": _solutions,
    "subject": _subjects,
}

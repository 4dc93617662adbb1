"""Answers kept while an evaluation runs, so that one that was killed goes on instead of asking again.

One file of JSON Lines per variant: its key covers weights, prompt and parameters, so an answer is never taken for that of
another variant. The file holds what users asked for in the form of answers; it is removed when the evaluation is done.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cortex_cli.domain.digests import canonical_json, digest_value
from cortex_cli.domain.examples import Answer, Generate, Prompt

__all__ = ["Answered"]


class _Row(msgspec.Struct, frozen=True):
    prompt: str
    answer: Answer


class Answered:
    """A `Generate` that asks *model* only what the file *path* does not know; errors are asked again.

    Each call's answers are durable before it returns. Equal prompts in one call are asked once.
    """

    def __init__(self, model: Generate, path: Path) -> None:
        self.model = model
        self.path = path
        self._known = _read(path)

    def __call__(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """Answer every prompt, from the file or from the model."""
        keys = [digest_value(prompt) for prompt in prompts]
        missing = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self._known}
        if missing:
            answers = dict(zip(missing, self.model(list(missing.values())), strict=True))
            self._append(answers)
            self._known |= answers
        found = [self._known[key] for key in keys]
        self._known = {key: answer for key, answer in self._known.items() if not answer.error}
        return found

    def forget(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def _append(self, answers: dict[str, Answer]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = [_Row(key, answer) for key, answer in answers.items() if not answer.error]
        with self.path.open("ab") as file:
            # A line that a killed run left unfinished must not swallow the next one.
            file.write(b"\n" + b"".join(canonical_json(row) + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> dict[str, Answer]:
    known: dict[str, Answer] = {}
    if not path.is_file():
        return known
    for line in path.read_bytes().splitlines():
        try:
            row = msgspec.json.decode(line, type=_Row)
        except msgspec.MsgspecError:
            continue  # empty, or cut off by a kill
        known[row.prompt] = row.answer
    return known

"""The answers of one teacher, kept in the workspace: what was paid for once is never asked for again.

JSON lines that are only appended to, each durable before the next prompt is counted as answered. A line names the
example that was asked, so that `cortex forget` finds it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from cortex_cli.domain.digests import content_id
from cortex_cli.domain.examples import Prompt
from cortex_cli.store.atomic import fsync_folder, report_disk

__all__ = ["AnswerBook", "Line", "prompt_key"]


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer: *key* is what was asked and how, *sample* which of several; *example* and *interaction* who asked.

    *refused* is the teacher's own refusal. *redaction* says by which rules the text was masked.
    """

    key: str
    sample: int
    example: str
    interaction: str = ""
    text: str = ""
    refused: str = ""
    finish: str = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    redaction: str = ""


_DECODER = msgspec.json.Decoder(Line)


class AnswerBook:
    """The lines of the file *path*, which only its owner may read; for one process at a time.

    A last line that a kill tore off is dropped, and lines that cannot be read are asked for again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[tuple[str, int], Line] = {}
        data = path.read_bytes() if path.is_file() else b""
        for text in data.split(b"\n")[:-1]:
            line = _read_line(text)
            if line is not None:
                self._lines[line.key, line.sample] = line

    def __len__(self) -> int:
        return len(self._lines)

    def find(self, key: str, sample: int) -> Line | None:
        """Return the answer to *key* of that *sample*, None when it was never given."""
        return self._lines.get((key, sample))

    def add(self, lines: Sequence[Line]) -> None:
        """Append *lines*; durable when it returns. Raises `CortexError` when the disk refuses."""
        with report_disk(self.path):
            is_new = not self.path.exists()
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Opened each time: a forgetting may have put another file in its place.
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "r+b") as stream:
                _drop_torn(stream)
                stream.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
                stream.flush()
                os.fsync(stream.fileno())
            if is_new:
                fsync_folder(self.path.parent)
        self._lines |= {(line.key, line.sample): line for line in lines}


def prompt_key(prompt: Prompt, max_tokens: int, heat: float) -> str:
    """Return the name of a question: equal when the same would be asked in the same way."""
    return content_id("q", [prompt, max_tokens, heat], length=24)


def _drop_torn(stream: BinaryIO) -> None:
    # A line without its end would swallow the next one.
    size = stream.seek(0, os.SEEK_END)
    if not size:
        return
    stream.seek(size - 1)
    if stream.read(1) != b"\n":
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
    stream.seek(0, os.SEEK_END)


def _read_line(text: bytes) -> Line | None:
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError:
        return None

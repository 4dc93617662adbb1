"""Texts in which names are marked: reading them, masking a part, varying their case."""

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cortex_cli.domain.errors import UsageError
from cortex_cli.train.texts import read_rows

__all__ = ["UNKNOWN", "Annotated", "Mark", "mask_marks", "read_annotated", "vary_case"]

# Labels of the packs, in the words of the tagger. What rules find by check sum is an ID where they do not.
_LABELS = {
    "PERSON": "PERSON",
    "STREET_ADDRESS": "ADDRESS",
    "ADDRESS": "ADDRESS",
    "GPE": "PLACE",
    "LOCATION": "PLACE",
    "ORGANIZATION": "ORGANIZATION",
    "DATE_TIME": "DATE",
    "PHONE_NUMBER": "PHONE",
    "AGE": "AGE",
    "NRP": "GROUP",
    "ZIP_CODE": "ZIP",
    "TITLE": "ROLE",
    "PREFIX": "ROLE",
    "DOMAIN_NAME": "URL",
}
# The label of a word of which nobody knows whether it is a name.
UNKNOWN = "?"
_FIELD = re.compile(r"\{\{[^}]*\}\}|\{[a-z_]+\}")


class Mark(NamedTuple):
    """A part of a text and its label; the label `UNKNOWN` says that nobody knows."""

    start: int
    end: int
    label: str


class Annotated(NamedTuple):
    """A text with its marks in order, without overlap; *template* is what texts of one making share."""

    text: str
    marks: tuple[Mark, ...] = ()
    template: str = ""


def read_annotated(path: Path) -> list[Annotated]:
    """Read a pack of marked texts, gzipped JSON Lines with `full_text`, `masked` and `spans`."""
    if not path.is_file():
        raise UsageError(f"text pack '{path}' is missing", state="nothing was trained")
    return [_parse_annotated(row) for row in read_rows(path)]


def _parse_annotated(row: dict[str, object]) -> Annotated:
    spans: list[dict[str, object]] = row["spans"]  # type: ignore[assignment]  # the form of the pack
    marks = sorted(
        Mark(
            int(str(span["start_position"])),
            int(str(span["end_position"])),
            _LABELS.get(str(span["entity_type"]), "ID"),
        )
        for span in spans
    )
    template = " ".join(_FIELD.sub("{}", str(row["masked"])).casefold().split())
    return Annotated(str(row["full_text"]), tuple(marks), template)


def mask_marks(text: Annotated, cuts: Sequence[tuple[int, int, str]]) -> Annotated:
    """Return *text* with every part of *cuts* (start, end, kind; in order) as a placeholder, marks adjusted.

    The tagger sees texts after the rules did: what a rule has masked is context, not something to find.
    """
    parts: list[str] = []
    moved: list[int] = []  # where each character went
    place, length = 0, 0
    for start, end, kind in cuts:
        tag = f"<{kind}_aaaaaaaaaa>"
        parts += [text.text[place:start], tag]
        moved += range(length, length + start - place)
        length += start - place + len(tag)
        moved += [length] * (end - start)
        place = end
    moved += range(length, length + len(text.text) - place + 1)
    marks = (Mark(start, end, mark.label) for mark in text.marks for start, end in _uncut(mark, cuts))
    kept = tuple(Mark(moved[start], moved[end - 1] + 1, label) for start, end, label in marks)
    return Annotated("".join([*parts, text.text[place:]]), kept, text.template)


def _uncut(mark: Mark, cuts: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int]]:
    start = mark.start
    for first, last, _ in cuts:
        if first < mark.end and last > start:
            if first > start:
                yield start, first
            start = max(start, last)
    if start < mark.end:
        yield start, mark.end


def vary_case(text: Annotated, source: random.Random) -> Annotated:
    """Return *text* as it is, or in lower case, or with a name or all of it in capitals."""
    chance = source.random()
    if chance < 0.15:
        return _with_text(text, text.text.lower())
    if chance < 0.17:
        return _with_text(text, text.text.upper())
    if chance < 0.25 and text.marks:
        start, end, _ = source.choice(text.marks)
        return _with_text(text, text.text[:start] + text.text[start:end].upper() + text.text[end:])
    return text


def _with_text(text: Annotated, other: str) -> Annotated:
    # Some letters have no single counterpart in the other case: then the text stays.
    return text._replace(text=other) if len(other) == len(text.text) else text

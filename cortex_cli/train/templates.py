"""Templates: texts with slots, and values to fill them or to swap for those of a marked text.

A slot is filled from a list of words or from forms that have slots of their own.
"""

import random
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from cortex_cli.train.annotated import Annotated, Mark

__all__ = ["Pool", "Templates"]

_SLOT = re.compile(r"\{([a-z_]+)\}")
_DIGIT = re.compile(r"[%^]")


class Templates:
    """The templates and values of the folder *pack*; every draw comes from the random source it is given."""

    def __init__(self, pack: Path) -> None:
        stored = tomllib.loads((pack / "values.toml").read_text(encoding="utf-8"))
        self._labels: dict[str, str] = stored["labels"]
        self._forms: dict[str, list[str]] = {
            name: forms.split(", ") if isinstance(forms, str) else forms for name, forms in stored["values"].items()
        }
        self.lines = _read_lines(pack / "templates.txt")
        self.clean = _read_lines(pack / "clean.txt")

    def words(self, *slots: str) -> set[str]:
        """Return every word, in lower case, of the lists of *slots*."""
        return {word for slot in slots for value in self._forms[slot] for word in value.lower().split()}

    def values(self, slot: str) -> list[str]:
        """Return the list of words or forms of *slot*."""
        return self._forms[slot]

    def fill(self, line: str, source: random.Random) -> Annotated:
        """Return the template *line* with every slot filled and marked."""
        parts: list[str] = []
        marks: list[Mark] = []
        place, length = 0, 0
        for slot in _SLOT.finditer(line):
            before, value = line[place : slot.start()], self.draw(slot[1], source)
            parts += [before, value]
            start = length + len(before)
            length = start + len(value)
            place = slot.end()
            if slot[1] in self._labels:
                marks.append(Mark(start, length, self._labels[slot[1]]))
        return Annotated("".join(parts) + line[place:], tuple(marks), line)

    def draw(self, slot: str, source: random.Random) -> str:
        """Return a value for *slot*."""
        form = source.choice(self._forms[slot])
        if "%" in form or "^" in form:
            form = _DIGIT.sub(lambda sign: source.choice("123456789" if sign[0] == "^" else "0123456789"), form)
        return _SLOT.sub(lambda inner: self.draw(inner[1], source), form)


def _read_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines if line]


class Pool:
    """Values to swap: those of *texts* by label and form, and those that *templates* give."""

    def __init__(self, texts: Iterable[Annotated], templates: Templates) -> None:
        self._templates = templates
        self._values: dict[tuple[str, str], list[str]] = {}
        for text in texts:
            for start, end, label in text.marks:
                value = text.text[start:end]
                self._values.setdefault((label, _form(label, value)), []).append(value)

    def swap(self, text: Annotated, source: random.Random) -> Annotated:
        """Return *text* with another value of the same form for each mark."""
        parts: list[str] = []
        marks: list[Mark] = []
        place, length = 0, 0
        for start, end, label in text.marks:
            value = self._draw(label, text.text[start:end], source)
            parts += [text.text[place:start], value]
            length += start - place + len(value)
            marks.append(Mark(length - len(value), length, label))
            place = end
        return Annotated("".join(parts) + text.text[place:], tuple(marks), text.template)

    def _draw(self, label: str, value: str, source: random.Random) -> str:
        if label == "ID":
            return value
        form = _form(label, value)
        slots = _SWAPS.get((label, form), ())
        if slots and source.random() < 0.5:
            return self._templates.draw(source.choice(slots), source)
        return source.choice(self._values[label, form])


_SWAPS = {
    ("PERSON", "one"): ("first", "last", "first"),
    ("PERSON", "many"): ("person",),
    ("PLACE", "one"): ("city", "city", "country"),
    ("PLACE", "many"): ("city", "country"),
    ("PLACE", "code"): ("state_code",),
    ("ORGANIZATION", "one"): ("org",),
    ("ORGANIZATION", "many"): ("org",),
    ("ADDRESS", "digits"): ("number",),
    ("ADDRESS", "unit"): ("unit",),
    ("ADDRESS", "street"): ("street",),
    ("ADDRESS", "line"): ("line",),
    ("ADDRESS", "lines"): ("address",),
    ("DATE", "word"): ("weekday",),
    ("DATE", "digits"): ("year",),
    ("DATE", "many"): ("date", "datetime"),
    ("PHONE", "any"): ("phone",),
    ("AGE", "any"): ("age",),
    ("ZIP", "any"): ("zip",),
    ("ROLE", "many"): ("job",),
    ("ROLE", "short"): ("prefix",),
    ("GROUP", "any"): ("group",),
    ("URL", "any"): ("url",),
}
_UNIT = re.compile(r"(?i)(?:apt|suite|unit|flat|room|floor|p\.?o\.? ?box)\b")


def _form(label: str, value: str) -> str:
    digits = any(map(str.isdigit, value))
    if label in {"PERSON", "ORGANIZATION", "PLACE"}:
        code = label == "PLACE" and len(value) < 3
        return "code" if code else "many" if " " in value else "one"
    if label == "ADDRESS":
        return _address_form(value)
    if label == "DATE":
        return "digits" if value.isdigit() else "many" if digits else "word"
    short = len(value) < 6
    return ("short" if short else "many") if label == "ROLE" else "any"


def _address_form(value: str) -> str:
    digits = any(map(str.isdigit, value))
    if value.isdigit() or (len(value) < 6 and digits):
        return "digits"
    if _UNIT.match(value) and len(value) < 16:
        return "unit"
    return "lines" if "\n" in value or "," in value else "line" if digits else "street"

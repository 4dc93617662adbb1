"""Prompt files: TOML front matter between `+++` lines, then messages with variables.

    +++
    summary = "An utterance in, a tool call out"
    variables = { utterance = "str" }
    +++
    <|system|>
    Answer with one JSON object.
    <|user|>
    {{ utterance }}

A body without a section line is the user's message. Sections are found before variables are filled
in, so that a value cannot open a section of its own. Templates are Jinja2 in its sandbox.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from cortex_cli.domain.errors import Fault, FaultsError
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.tables import table_faults

if TYPE_CHECKING:
    import jinja2
    import jinja2.sandbox

__all__ = ["ModelSettings", "PromptFile", "PromptSection", "parse_prompt", "render_prompt"]

Role = Literal["system", "user", "assistant"]
Kind = Literal["str", "int", "float", "bool", "list"]

_FENCE = "+++"
_SECTION = re.compile(r"^<\|([^|<>\n]*)\|>[ \t]*$", re.MULTILINE)
_TYPES: dict[Kind, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list, tuple),
}


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a model should answer this prompt; what is None stays with the variant or the model."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


class _Front(msgspec.Struct, frozen=True, kw_only=True):
    summary: str
    variables: dict[str, Kind] = {}
    model: ModelSettings = ModelSettings()


@dataclass(frozen=True, slots=True)
class PromptSection:
    """One message of a prompt before its variables are filled in; *line* is where it begins in the file."""

    role: Role
    template: str
    line: int


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A checked prompt file: what it is for, the types of its variables, model settings, sections."""

    source: str
    summary: str
    variables: Mapping[str, Kind]
    model: ModelSettings
    sections: tuple[PromptSection, ...]


def parse_prompt(text: str, source: str) -> PromptFile:
    """Parse the *text* of a prompt file; raise `FaultsError` naming *source* and every fault in it."""
    head, body, first_line = _split_front(text.replace("\r\n", "\n"), source)
    front, faults = _read_front(head)
    sections = _split_sections(body, first_line)
    faults += _section_faults(sections, body, first_line)
    used, template_faults = _used_variables(sections)
    faults += template_faults
    if front is not None and not template_faults:
        faults += _variable_faults(front.variables, used)
    if faults or front is None:
        raise FaultsError(source, faults)
    return PromptFile(source, front.summary, front.variables, front.model, tuple(sections))


def render_prompt(prompt: PromptFile, variables: Mapping[str, object]) -> tuple[Message, ...]:
    """Fill *variables* into *prompt* and return its messages.

    Raises `FaultsError` when a variable is missing, unknown or of the wrong type, or a template fails.
    """
    faults = _value_faults(prompt.variables, variables)
    if faults:
        raise FaultsError(prompt.source, faults)
    engine = _engine()
    return tuple(Message(section.role, _fill(engine, prompt, section, variables)) for section in prompt.sections)


def _split_front(text: str, source: str) -> tuple[str, str, int]:
    lines = text.split("\n")
    ends = [number for number, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(ends) < 2 or ends[0] != 0:
        raise FaultsError(source, [Fault("line 1", f"front matter is missing: begin with {_FENCE}, TOML, {_FENCE}")])
    return "\n".join(lines[1 : ends[1]]), "\n".join(lines[ends[1] + 1 :]), ends[1] + 2


def _read_front(text: str) -> tuple[_Front | None, list[Fault]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return None, [Fault("front matter", f"not TOML: {error}")]
    faults = table_faults(data, _Front)
    return (None, faults) if faults else (msgspec.convert(data, _Front), [])


def _split_sections(body: str, first_line: int) -> list[PromptSection]:
    marks = list(_SECTION.finditer(body))
    ends = [mark.start() for mark in marks] + [len(body)]
    sections = [_section("user", body, slice(0, ends[0]), first_line)] if body[: ends[0]].strip() else []
    for mark, end in zip(marks, ends[1:], strict=True):
        sections.append(_section(mark.group(1), body, slice(mark.end(), end), first_line))
    return sections


def _section(role: str, body: str, part: slice, first_line: int) -> PromptSection:
    text = body[part]
    # Blank lines around a section are not part of it; an empty one is reported where its mark stands.
    blank = len(text) - len(text.lstrip("\n")) if text.strip("\n") else 0
    line = first_line + body[: part.start + blank].count("\n")
    return PromptSection(role, text.strip("\n"), line)  # type: ignore[arg-type]  # an unknown role becomes a fault


def _section_faults(sections: list[PromptSection], body: str, first_line: int) -> list[Fault]:
    roles = get_args(Role)
    faults = [
        Fault(f"line {first_line + body[: mark.start()].count(chr(10))}", _unknown_role(mark.group(1), roles))
        for mark in _SECTION.finditer(body)
        if mark.group(1) not in roles
    ]
    faults += [Fault(f"line {section.line}", "this section is empty") for section in sections if not section.template]
    if not any(section.role == "user" for section in sections):
        faults.append(Fault("", "has no user message"))
    return faults


def _unknown_role(role: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(role, known, n=1)
    return f"unknown section {role!r}" + (f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}")


def _used_variables(sections: list[PromptSection]) -> tuple[set[str], list[Fault]]:
    import jinja2
    import jinja2.meta

    engine = _engine()
    used: set[str] = set()
    faults: list[Fault] = []
    for section in sections:
        try:
            tree = engine.parse(section.template)
        except jinja2.TemplateSyntaxError as error:
            faults.append(Fault(f"line {section.line + error.lineno - 1}", f"template: {error.message}"))
            continue
        used |= jinja2.meta.find_undeclared_variables(tree) - set(engine.globals)
        if list(jinja2.meta.find_referenced_templates(tree)):
            faults.append(Fault(f"line {section.line}", "a prompt cannot include another file"))
    return used, faults


def _variable_faults(declared: Mapping[str, Kind], used: set[str]) -> list[Fault]:
    missing = sorted(used - set(declared))
    spare = sorted(set(declared) - used)
    return [
        *(Fault("variables", f"{name!r} is used but not declared") for name in missing),
        *(Fault(f"variables.{name}", "is declared but never used") for name in spare),
    ]


def _value_faults(declared: Mapping[str, Kind], given: Mapping[str, object]) -> list[Fault]:
    faults = [Fault(name, "has no value") for name in declared if name not in given]
    for name, value in given.items():
        if name not in declared:
            faults.append(Fault(name, f"is not a variable of this prompt; known: {', '.join(sorted(declared))}"))
        elif not _fits(value, declared[name]):
            faults.append(Fault(name, f"expected {declared[name]}, found {type(value).__name__}"))
    return faults


def _fits(value: object, kind: Kind) -> bool:
    # In Python True is an int; in a prompt it is not.
    return isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))


def _fill(
    engine: "jinja2.Environment", prompt: PromptFile, section: PromptSection, variables: Mapping[str, object]
) -> str:
    import jinja2

    try:
        return engine.from_string(section.template).render(dict(variables))
    except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, OverflowError) as error:
        what = f"template: {type(error).__name__}: {error}"
        raise FaultsError(prompt.source, [Fault(f"section at line {section.line}", what)]) from error


def _engine() -> "jinja2.Environment":
    import jinja2
    import jinja2.sandbox

    engine = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # No loader and only plain functions: a prompt has its variables and nothing else.
    engine.globals.clear()
    engine.globals.update(range=jinja2.sandbox.safe_range)
    return engine

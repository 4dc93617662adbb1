"""Suites: requests and what counts as a right answer, from a dataset part, a TOML file or JSON Lines."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from cortex_cli.domain.digests import content_id, digest_value
from cortex_cli.domain.errors import Fault, FaultsError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message
from cortex_cli.domain.tables import parse_toml
from cortex_cli.evaluate.judges import JudgeName
from cortex_cli.evaluate.similarity import Measure

__all__ = ["Case", "JudgeSpec", "Suite", "SuiteSpec", "read_suite", "suite_of_cases", "suite_of_examples"]

# Faults that are shown: a file of another kind has one per line.
_SHOWN = 20
_NEEDS_REFERENCE: frozenset[JudgeName] = frozenset(
    {"exact", "normalised", "json", "command", "contains", "without", "pattern", "answers", "similarity"}
)


class JudgeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How answers are judged. Only the fields of the judge called *name* are read.

    `similarity` is right from *threshold* on, by *measure*. `schema` reads *schema*, or each case's `check`. `program`
    runs the answer with the case's `check` after it, for *seconds* with *megabytes*. `model` asks *model* by *rubric*.
    """

    name: JudgeName = "exact"
    threshold: float = 0.5
    measure: Measure = "f1"
    schema: dict[str, Any] | None = None
    seconds: int = 5
    megabytes: int = 256
    model: str = ""
    rubric: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1 or self.seconds < 1 or self.megabytes < 32:
            raise ValueError("threshold is a share, seconds at least 1, megabytes at least 32")


class SuiteSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A suite's TOML file: what it measures, how, and where its *cases* are, a file of JSON Lines beside it.

    *threshold* is the share right that a candidate must show, *limit* the cases that are asked at most (0: all).
    """

    summary: str = ""
    measures: str = ""
    judge: JudgeName | JudgeSpec = "exact"
    threshold: float = 0.0
    limit: int = 0
    licence: str = ""
    cases: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1 or self.limit < 0:
            raise ValueError("threshold is a share, limit not negative")


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request of a suite: its messages and the answer that counts as right, or several of them.

    *group* names cases that stand or fall together (an episode); *judge* is this case's own; *check* is what the
    judge runs: unit tests, or a JSON Schema.
    """

    id: str
    messages: tuple[Message, ...]
    reference: str
    domain: str = ""
    references: tuple[str, ...] = ()
    judge: JudgeName | None = None
    check: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()

    def accepted(self) -> tuple[str, ...]:
        """Return every reference answer, the first one first."""
        return (self.reference, *self.references)


class Suite(msgspec.Struct, frozen=True):
    """A named list of cases; *digest* is decided by their content and by the judge that the suite names."""

    name: str
    cases: tuple[Case, ...]
    digest: str
    spec: SuiteSpec | None = None


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    reference: str | None = None
    references: tuple[str, ...] = ()
    request: str = ""
    messages: tuple[Message, ...] = ()
    domain: str = ""
    judge: JudgeName | None = None
    check: str = ""
    group: str = ""
    tags: tuple[str, ...] = ()


def suite_of_examples(name: str, examples: Iterable[Example]) -> Suite:
    """Make a suite of curated *examples*; raises `UsageError` if there are none."""
    cases = (Case(example.id, example.messages, example.answer, example.domain) for example in examples)
    return suite_of_cases(name, cases)


def read_suite(path: Path) -> Suite:
    """Read a suite from a TOML file that names its cases, or from the JSON Lines alone.

    A line is `{"request" | "messages", "reference" | "references", "domain"?, "judge"?, "check"?, "group"?, "tags"?}`.
    Raises `FaultsError` with the line of every fault, `UsageError` for a suite without cases.
    """
    if path.suffix != ".toml":
        return suite_of_cases(path.stem, _read_cases(path, "exact"))
    spec = parse_toml(_read_text(path), SuiteSpec, source=str(path))
    lines = path.parent / (spec.cases or f"{path.stem}.jsonl")
    if not lines.is_file():
        raise UsageError(
            f"suite '{path}' names cases in '{lines}', which does not exist", state="nothing was evaluated"
        )
    judge = spec.judge if isinstance(spec.judge, str) else spec.judge.name
    cases = _read_cases(lines, judge)
    return suite_of_cases(path.stem, cases[: spec.limit] if spec.limit else cases, spec)


def suite_of_cases(name: str, cases: Iterable[Case], spec: SuiteSpec | None = None) -> Suite:
    """Make a suite of *cases*, each id once; raises `UsageError` if there are none."""
    listed = tuple(_distinct(cases))
    if not listed:
        raise UsageError(f"suite '{name}' has no cases", state="nothing was evaluated")
    return Suite(name, listed, digest_value(listed if spec is None else [listed, spec.judge]), spec)


def _distinct(cases: Iterable[Case]) -> Iterator[Case]:
    seen: set[str] = set()
    for case in cases:
        if case.id not in seen:
            seen.add(case.id)
            yield case


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"suite '{path}' is not UTF-8: {error.reason}", state="nothing was evaluated") from error


def _read_cases(path: Path, judge: JudgeName) -> list[Case]:
    faults: list[Fault] = []
    cases: list[Case] = []
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            cases.append(_case(msgspec.json.decode(text, type=_Line), judge))
        except (msgspec.MsgspecError, ValueError, re.error) as error:
            faults.append(Fault(f"line {number}", str(error)))
    if faults:
        raise FaultsError(str(path), faults[:_SHOWN])
    return cases


def _case(line: _Line, judge: JudgeName) -> Case:
    messages = line.messages or ((Message("user", line.request),) if line.request else ())
    if not messages:
        raise ValueError("has neither 'request' nor 'messages'")
    told = (() if line.reference is None else (line.reference,)) + line.references
    if not told and (line.judge or judge) in _NEEDS_REFERENCE:
        raise ValueError("has neither 'reference' nor 'references'")
    if (line.judge or judge) == "pattern":
        for pattern in told:
            re.compile(pattern)
    first, others = (told[0], told[1:]) if told else ("", ())
    content = (
        [messages, first] if not (others or line.check or line.judge) else [messages, told, line.check, line.judge]
    )
    return Case(
        content_id("c", content), messages, first, line.domain, others, line.judge, line.check, line.group, line.tags
    )

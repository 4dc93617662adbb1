"""Suites: requests with reference answers, from a dataset part or a JSON Lines file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cortex_cli.domain.digests import content_id, digest_value
from cortex_cli.domain.errors import Fault, FaultsError, UsageError
from cortex_cli.domain.examples import Example
from cortex_cli.domain.interactions import Message

__all__ = ["Case", "Suite", "read_suite", "suite_of_cases", "suite_of_examples"]


class Case(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request of a suite: its messages and the answer that counts as right."""

    id: str
    messages: tuple[Message, ...]
    reference: str
    domain: str = ""


class Suite(msgspec.Struct, frozen=True):
    """A named list of cases; *digest* is decided by their content."""

    name: str
    cases: tuple[Case, ...]
    digest: str


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    reference: str
    request: str = ""
    messages: tuple[Message, ...] = ()
    domain: str = ""


def suite_of_examples(name: str, examples: Iterable[Example]) -> Suite:
    """Make a suite of curated *examples*; raises `UsageError` if there are none."""
    cases = (Case(example.id, example.messages, example.answer, example.domain) for example in examples)
    return suite_of_cases(name, cases)


def read_suite(path: Path) -> Suite:
    """Read a suite from JSON Lines of `{"request" | "messages", "reference", "domain"?}`.

    Raises `FaultsError` with the line of every fault.
    """
    faults: list[Fault] = []
    cases: list[Case] = []
    for number, text in enumerate(path.read_bytes().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=_Line)
        except msgspec.MsgspecError as error:
            faults.append(Fault(f"line {number}", str(error)))
            continue
        messages = line.messages or ((Message("user", line.request),) if line.request else ())
        if not messages:
            faults.append(Fault(f"line {number}", "has neither 'request' nor 'messages'"))
            continue
        cases.append(Case(content_id("c", [messages, line.reference]), messages, line.reference, line.domain))
    if faults:
        raise FaultsError(str(path), faults[:20])
    return suite_of_cases(path.stem, cases)


def suite_of_cases(name: str, cases: Iterable[Case]) -> Suite:
    """Make a suite of *cases*, each id once; raises `UsageError` if there are none."""
    listed = tuple(_distinct(cases))
    if not listed:
        raise UsageError(f"suite '{name}' has no cases", state="nothing was evaluated")
    return Suite(name, listed, digest_value(listed))


def _distinct(cases: Iterable[Case]) -> Iterator[Case]:
    seen: set[str] = set()
    for case in cases:
        if case.id not in seen:
            seen.add(case.id)
            yield case

"""List, show, compare, audit, describe, export, verify and quarantine dataset versions."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cortex_cli.cli.commands.dataset_audit import (
    Dataset,
    audit,
    card,
    describe_drifts,
    find_dataset,
    label_of,
    open_here,
    quarantine,
)
from cortex_cli.cli.context import objects, registry
from cortex_cli.cli.framework import Argument, Option, leave
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_lines, print_table, say, show_text
from cortex_cli.domain.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from cortex_cli.domain.examples import Example
    from cortex_cli.domain.manifests import DatasetVersion

__all__ = ["VERBS", "diff", "export", "ls", "show", "verify"]

SomeDataset = Annotated[str, Argument(metavar="DATASET", help="NAME or NAME/v0001; all by default")]
PartOption = Annotated[str, Option("--part", metavar="PART", help="train, valid or test; all by default")]


def ls(
    name: Annotated[str, Argument(metavar="NAME", help="only this dataset")] = "", as_json: JsonOption = False
) -> None:
    """List dataset versions, oldest first."""
    found = registry().snapshot().datasets(name)
    if name and not found:
        registry().snapshot().dataset(name)  # an unknown name is an error with a suggestion

    def human(console: "Console") -> None:
        headers = ("DATASET", "AGENT", "EXAMPLES", "PARTS", "STATE", "CREATED")
        print_table(console, headers, map(_cells, found))

    emit("dataset.ls", {"datasets": found}, human, as_json=as_json)


def show(
    dataset: Dataset,
    examples: Annotated[int, Option("--examples", metavar="N", min=0, help="show N examples too")] = 0,
    part: PartOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what a dataset version is made of, and what was left out and why."""
    found = find_dataset(dataset)
    shown = list(_first(found, part, examples)) if examples else []

    def human(console: "Console") -> None:
        print_lines(console, _describe(found))
        for example in shown:
            print_lines(console, ["", *_describe_example(example)])

    emit("dataset.show", {"dataset": found, "examples": shown}, human, as_json=as_json)


def diff(
    old: Dataset,
    new: Annotated[str, Argument(metavar="NEW", help="the version to compare with; the newest by default")] = "",
    as_json: JsonOption = False,
) -> None:
    """Compare two dataset versions by their examples; a NAME alone compares its newest with the one before.

    Drift is told per dimension: the population stability index (PSI), and what it stays below by chance when
    nothing drifts, given the sizes and the examples that stand in both.
    """
    from cortex_cli.curate.versions import compare_versions
    from cortex_cli.pipeline.auditing import find_drift

    after = find_dataset(new or old.partition("/")[0])
    before = find_dataset(after.parent or old) if old == after.name and not new else find_dataset(old)
    found = compare_versions(objects(), before, after)
    data = {
        "old": label_of(before),
        "new": label_of(after),
        **found._asdict(),
        "rejected": _changes(before.rejected, after.rejected),
        "same_recipe": before.recipe_digest == after.recipe_digest,
        "drift": (drift := find_drift(open_here(), before, after)),
        "drift_statement": drift.statement,
    }

    def human(console: "Console") -> None:
        print_lines(console, [*_describe_changes(data), *describe_drifts(drift)])

    emit("dataset.diff", data, human, as_json=as_json)


def export(
    dataset: Dataset,
    form: Annotated[str, Option("--format", metavar="FORM", help="form of a row; see above")] = "messages",
    part: Annotated[str, Option("--part", metavar="PART", help="one part; all but test by default")] = "",
    output: Annotated[Path | None, Option("-o", "--output", metavar="FILE", help="write a file, not stdout")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write examples for another trainer, after checking that they are whole.

    JSON Lines for TRL: messages, prompt-completion, preference, kto (unpaired). For OpenAI: openai,
    openai-preference. For others: sharegpt, alpaca. A preference form holds only examples with a wrong answer
    beside the right one.

    Files, which need the extra `parquet`: parquet (messages and tools are JSON text), features (lengths, hour,
    retries, latency, cost and outcome of the interactions behind the examples, and no text).
    """
    from cortex_cli.pipeline.exporting import export_file, stream_lines

    if as_json and output is None:
        raise UsageError("--json describes a file that was written; give --output", hint="cortex dataset export --help")
    found = find_dataset(dataset)
    if part == "test":
        say("part 'test' is sealed: what learns from it can no longer be evaluated with it")
    if output is None:
        sys.stdout.writelines(line.decode() for line in stream_lines(open_here(), found, form, part=part))
        return
    done = export_file(open_here(), found, form, output, part=part)
    data = {"dataset": label_of(found), "format": form, **done._asdict(), "path": output}
    left = f"; {done.skipped:,} examples have no place in this form" if done.skipped else ""
    emit("dataset.export", data, lambda _: say(f"{done.rows:,} rows in {output}{left}"), as_json=as_json)


def verify(dataset: SomeDataset = "", as_json: JsonOption = False) -> None:
    """Read every object of dataset versions and compare with their manifests; ends with 13 if one differs."""
    from cortex_cli.curate.versions import verify_version

    store = objects()
    found = [find_dataset(dataset)] if dataset else registry().snapshot().datasets()
    rows: list[dict[str, Any]] = [
        {"dataset": label_of(each), "state": each.state, "faults": verify_version(store, each)} for each in found
    ]
    bad = [row for row in rows if row["faults"]]

    def human(console: "Console") -> None:
        for row in rows:
            whole = "revoked, without content" if row["state"] == "revoked" else "sound"
            console.print(f"{row['dataset']}: {whole if not row['faults'] else 'NOT SOUND'}")
            print_lines(console, (f"  {show_text(fault)}" for fault in row["faults"]))

    emit("dataset.verify", {"datasets": rows}, human, as_json=as_json, ok=not bad)
    if bad:
        leave(IntegrityError.exit_code)


def _describe_changes(data: dict[str, Any]) -> list[str]:
    counts = ", ".join(f"{data[word]:,} {word}" for word in ("added", "removed", "moved", "kept"))
    lines = [f"{data['old']} -> {data['new']}", f"  {counts}"]
    lines += [f"  rejected as {show_text(reason)}: {change:+,}" for reason, change in data["rejected"].items()]
    return lines if data["same_recipe"] else [*lines, "  the recipe has changed"]


def _first(found: "DatasetVersion", part: str, count: int) -> "Iterator[Example]":
    from itertools import islice

    from cortex_cli.curate.versions import read_examples

    return islice(read_examples(objects(), found, part), count)


def _cells(found: "DatasetVersion") -> tuple[object, ...]:
    rows = " ".join(f"{name} {part.rows:,}" for name, part in found.parts.items())
    return label_of(found), found.agent, f"{_rows(found):,}", rows, found.state, found.created


def _rows(found: "DatasetVersion") -> int:
    return sum(part.rows for part in found.parts.values())


def _describe(found: "DatasetVersion") -> list[str]:
    facts = [
        ("agent", found.agent),
        ("state", f"{found.state}: {found.reason}" if found.reason else found.state),
        ("examples", ", ".join(f"{name} {part.rows:,}" for name, part in found.parts.items())),
        ("counts", _counts(found.counts)),
        ("sources", _counts(found.origins)),
        ("rejected", _counts(found.rejected)),
        ("journal", f"{found.journal[0]:,} to {found.journal[1]:,}"),
        ("recipe", f"{found.recipe} {found.recipe_digest[:19]}"),
        ("algorithms", ", ".join(f"{name} {version}" for name, version in found.algorithms.items())),
        ("redaction", found.redaction),
        ("parent", found.parent),
        ("created", found.created),
        ("digest", found.digest),
    ]
    return [label_of(found), *(f"  {word:<12}{show_text(text)}" for word, text in facts if text.strip())]


def _describe_example(example: "Example") -> list[str]:
    lines = [f"{example.id} ({example.source}{', replayed' if example.replayed else ''})"]
    lines += [f"  {message.role:<11} {show_text(message.content, 200)}" for message in example.messages]
    lines.append(f"  answer      {show_text(example.answer, 200)}")
    return [*lines, f"  instead of  {show_text(example.rejected, 200)}"] if example.rejected else lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _changes(old: dict[str, int], new: dict[str, int]) -> dict[str, int]:
    changes = {reason: new.get(reason, 0) - old.get(reason, 0) for reason in sorted(old.keys() | new.keys())}
    return {reason: change for reason, change in changes.items() if change}


VERBS = {
    "ls": ls,
    "show": show,
    "diff": diff,
    "audit": audit,
    "card": card,
    "export": export,
    "verify": verify,
    "quarantine": quarantine,
}

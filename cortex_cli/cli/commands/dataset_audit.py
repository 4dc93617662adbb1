"""Audit, describe, quarantine and release dataset versions."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import registry, settings, workspace
from cortex_cli.cli.framework import Argument, Option, leave
from cortex_cli.cli.options import ExitCodeOption, JsonOption, WaitOption
from cortex_cli.cli.output import emit, print_lines, print_table, say, show_text
from cortex_cli.domain.errors import GateRefusedError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.curate.audit import Audit, Suspect
    from cortex_cli.curate.drift import Drift
    from cortex_cli.curate.representation import Balance, Rate
    from cortex_cli.domain.manifests import DatasetVersion
    from cortex_cli.pipeline.place import Place

__all__ = ["Dataset", "audit", "card", "describe_drifts", "find_dataset", "label_of", "open_here", "quarantine"]

Dataset = Annotated[str, Argument(metavar="DATASET", help="NAME, or NAME/v0001 for another version than the newest")]

# Groups of a table that are shown; all of them are in the JSON.
_SHOWN = 8
_LABEL = 18


def audit(
    dataset: Dataset,
    burst: Annotated[int, Option("--burst", metavar="N", min=2, help="suspect N requests with one answer")] = 20,
    window: Annotated[int, Option("--window", metavar="SECONDS", min=1, help="within so many seconds")] = 3600,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look for imbalance, conflicting answers, suspected poisoning and odd text.

    Groups are compared with the journal that the version was made from. The intervals of a table hold together
    in 95 of 100 audits (Clopper-Pearson, Bonferroni). A group is over or under when its whole interval lies
    beyond four fifths of what is expected. The sealed test part is not read.

    Suspected are bursts of near-identical answers to different requests from one origin or user, hidden
    characters, and orders to a model in answers; with --exit-code they end the verb with 3.
    """
    from cortex_cli.curate.poisoning import BurstLimits
    from cortex_cli.pipeline.auditing import audit_dataset

    found = find_dataset(dataset)
    report = audit_dataset(open_here(), found, BurstLimits(least=burst, window=window))
    data = {"dataset": label_of(found), "audit": report, "suspicious": report.suspicious}
    emit("dataset.audit", data, lambda console: _show(console, found, report), as_json=as_json)
    if exit_code and report.suspicious:
        leave(GateRefusedError.exit_code)


def card(
    dataset: Dataset,
    output: Annotated[Path | None, Option("-o", "--output", metavar="FILE", help="write a file, not stdout")] = None,
    licence: Annotated[str, Option("--licence", metavar="NAME", help="licence of the data, as the hub calls it")] = (
        "unknown"
    ),
    as_json: JsonOption = False,
) -> None:
    """Render the data card of a version: Markdown as on the Hugging Face hub.

    It holds counts, shares, drift against the parent and known limits, and no text of a request or answer.
    """
    from cortex_cli.pipeline.auditing import describe_dataset

    found = find_dataset(dataset)
    place = open_here()
    text = describe_dataset(place, place.registry.snapshot(), found, licence=licence)
    if output is not None:
        from cortex_cli.store.atomic import write_atomic

        write_atomic(output, text.encode())
    data = {"dataset": label_of(found), "path": output, "card": text}

    def human(console: "Console") -> None:
        if output is None:
            print_lines(console, [text.rstrip("\n")])
        else:
            say(f"the card of {label_of(found)} is in {output}")

    emit("dataset.card", data, human, as_json=as_json)


def quarantine(
    dataset: Dataset,
    reason: Annotated[str, Option("--reason", metavar="TEXT", help="why; it stands in git and must name nobody")] = "",
    release: Annotated[bool, Option("--release", help="take the version out of quarantine")] = False,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a version from being trained on, or release it again, in one commit.

    What was trained on it before is not touched: `cortex why` shows what that is.
    """
    from cortex_cli.pipeline.auditing import move_dataset

    found = find_dataset(dataset)
    now, commit = move_dataset(open_here(wait), found, "live" if release else "quarantined", reason)
    data = {"dataset": label_of(now), "state": now.state, "reason": now.reason, "commit": commit}

    def human(console: "Console") -> None:
        console.print(f"{label_of(now)} is {now.state}" + ("" if commit else ", as it was before"))
        if commit:
            console.print(f"  commit {commit[:10]}")

    emit("dataset.quarantine", data, human, as_json=as_json)


def find_dataset(text: str) -> "DatasetVersion":
    """Return the version that `NAME` or `NAME/v0001` names; raise `UsageError` when there is none."""
    name, slash, version = text.partition("/")
    if slash and not version:
        raise UsageError(f"'{text}' names no version", hint="cortex dataset ls", state="nothing was changed")
    return registry().snapshot().dataset(name, version)


def label_of(found: "DatasetVersion") -> str:
    """Return `NAME/v0001`."""
    return f"{found.name}/{found.version}"


def open_here(wait: float | None = None) -> "Place":
    """Open the workspace of this run."""
    from cortex_cli.pipeline.place import open_place

    current = settings()
    return open_place(workspace(), actor=current.actor, wait=current.lock_wait if wait is None else wait)


def describe_drifts(drift: "Drift") -> Iterator[str]:
    """Yield a line per dimension of *drift*, at most 80 columns where labels are short."""
    yield f"drift of the open parts: {drift.statement} (false alarm in {drift.error_rate:.0%} of cases)"
    for each in drift.movements:
        name = each.dimension.replace("_", " ")
        yield f"  {name:<14} {each.statement:<12} PSI {each.psi:.3f}, by chance up to {each.critical:.3f}"
        moved = [f"{show_text(label, _LABEL)} {by:+.1%}" for label, by in (each.up, each.down) if label]
        if moved and each.statement in {"drift", "slight drift"}:
            yield f"  {'':<14} {', '.join(moved)}"


def _show(console: "Console", found: "DatasetVersion", report: "Audit") -> None:
    console.print(f"{label_of(found)}: {report.examples:,} examples in open parts")
    for balance in report.balances:
        _show_balance(console, balance)
    for dimension, rates in report.rates.items():
        _show_rates(console, dimension, rates)
    console.print("\nLENGTHS at 5, 25, 50, 75, 95 and 100 %", style="bold")
    for each in report.lengths:
        for unit, values in (("words", each.words), ("characters", each.characters)):
            console.print(f"  {each.text:<7}{unit:<11}" + "".join(f"{value:>9,}" for value in values))
    print_lines(console, _findings(report))


def _show_balance(console: "Console", balance: "Balance") -> None:
    name = balance.dimension.replace("_", " ")
    if len(balance.groups) < 2:
        only = balance.groups[0].label if balance.groups else "nothing"
        console.print(f"\nBY {name.upper()}: only {show_text(only, _LABEL)}", style="bold")
        return
    console.print(f"\nBY {name.upper()}: as diverse as {balance.effective:.1f} equal groups", style="bold")
    rows = [
        (
            show_text(group.label, _LABEL),
            f"{group.examples:,}",
            f"{group.share:.1%}",
            f"{group.low:.1%}-{group.high:.1%}",
            "" if group.journal is None else f"{group.journal:.1%}",
            group.against_journal,
            group.against_even,
        )
        for group in balance.groups[:_SHOWN]
    ]
    print_table(console, (name.upper(), "EXAMPLES", "SHARE", "INTERVAL", "JOURNAL", "", "EVEN"), rows)
    _tell_rest(console, len(balance.groups))


def _show_rates(console: "Console", dimension: str, rates: "tuple[Rate, ...]") -> None:
    console.print(f"\nACCEPTED BY {dimension.upper()}, of what was judged", style="bold")
    rows = [
        (
            show_text(rate.label, _LABEL),
            f"{rate.judged:,}",
            f"{rate.rate:.1%}",
            f"{rate.low:.1%}-{rate.high:.1%}",
            f"{rate.others:.1%}",
            rate.standing,
        )
        for rate in rates[:_SHOWN]
    ]
    print_table(console, (dimension.upper(), "JUDGED", "ACCEPTED", "INTERVAL", "OTHERS", ""), rows)
    _tell_rest(console, len(rates))


def _tell_rest(console: "Console", groups: int) -> None:
    if groups > _SHOWN:
        console.print(f"  and {groups - _SHOWN} more: --json")


def _findings(report: "Audit") -> Iterator[str]:
    conflicts = report.conflicts
    yield ""
    yield f"conflicts   {conflicts.requests:,} requests with different answers, {conflicts.examples:,} examples"
    yield from (f"            {line}" for group in conflicts.samples[:2] for line in _wrap_ids(group[:4]))
    masked = ", ".join(f"{kind} {count:,}" for kind, count in report.masked.items()) or "nothing"
    yield f"masked      {masked}"
    for symptom in report.symptoms:
        yield f"suspected   {symptom.what}: {symptom.examples:,} examples"
        yield from (f"            {line}" for line in _wrap_ids(symptom.samples[:2]))
    for suspect in report.suspects[:_SHOWN]:
        yield from _describe_suspect(suspect)
    if len(report.suspects) > _SHOWN:
        yield f"            and {len(report.suspects) - _SHOWN} more bursts: --json"
    for each in report.ordered:
        yield f"note        {each.kind} {show_text(each.name or 'unknown', 40)} is sorted by answer, or flooded:"
        yield f"            {each.answers:,} answers come in bursts, {each.examples:,} examples; none is judged"
    if not report.suspicious:
        yield "suspected   nothing"


def _describe_suspect(suspect: "Suspect") -> Iterator[str]:
    yield f"suspected   a burst of near-identical answers from one {suspect.kind}"
    yield f"            {suspect.requests:,} of its {suspect.made:,} at that time; elsewhere {suspect.elsewhere:.2%}"
    yield f"            chance {suspect.chance:.1e}; {suspect.kind} {show_text(suspect.name or 'unknown', 40)}"
    yield from (f"            {line}" for line in _wrap_ids(suspect.examples[:2]))


def _wrap_ids(ids: Iterable[str]) -> list[str]:
    # Two ids of 26 characters fit beside the margin in 80 columns.
    listed = list(ids)
    return ["  ".join(listed[at : at + 2]) for at in range(0, len(listed), 2)]

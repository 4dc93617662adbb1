"""`cortex collect`: logs of any producer into the journal."""

from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import DryRunOption, JsonOption, WaitOption, WatchOption
from cortex_cli.cli.output import emit, say, show_text
from cortex_cli.cli.progress import Steps
from cortex_cli.domain.errors import NotBuiltError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.collect.reports import CollectReport
    from cortex_cli.pipeline.collecting import Sources
    from cortex_cli.pipeline.place import Place

__all__ = ["collect"]


def collect(  # noqa: PLR0913, PLR0917 - the options of the command line
    sources: Annotated[list[str], Argument(metavar="SOURCE", help="files, folders, or - for standard input")],
    form: Annotated[str, Option("--format", metavar="FORMAT", help="read as this format instead of detecting it")] = "",
    agent: Annotated[str, Option("--agent", metavar="AGENT", help="agent of records that name none")] = "",
    dry_run: DryRunOption = False,
    watch: WatchOption = False,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read interactions and feedback from logs, redact them, and keep them in the journal.

    The format is recognised from the content; gzip too. Collecting the same again adds nothing. A line
    that cannot be read is counted under its reason and never stops the rest.
    """
    if watch:
        raise NotBuiltError("collect --watch")
    from cortex_cli.pipeline.collecting import Sources, find_unregistered
    from cortex_cli.pipeline.place import open_place

    current = settings()
    place = open_place(workspace(), actor=current.actor)
    wanted = Sources(tuple(sources), form, agent, current.redaction)
    seconds = current.lock_wait if wait is None else wait
    report = _preview(place, wanted) if dry_run else _collect(place, wanted, seconds)
    unregistered = find_unregistered(place, report)
    data = {"dry_run": dry_run, "report": report, "unregistered": unregistered}
    emit("collect", data, lambda console: _show(console, report), as_json=as_json)
    if unregistered:
        say(f"not agents of this workspace yet: {', '.join(unregistered)}")


def _collect(place: "Place", sources: "Sources", wait: float) -> "CollectReport":
    from cortex_cli.pipeline.collecting import collect_sources

    steps = Steps()
    with steps.step("collect"):
        return collect_sources(place, sources, wait=wait, told=lambda count: steps.update(f"{count:,} records kept"))


def _preview(place: "Place", sources: "Sources") -> "CollectReport":
    from cortex_cli.pipeline.collecting import preview_sources

    steps = Steps()
    with steps.step("look at the sources"):
        report = preview_sources(place, sources, told=lambda count: steps.update(f"{count:,} records read"))
    say("nothing was kept: this was a dry run")
    return report


def _show(console: "Console", report: "CollectReport") -> None:
    console.print(
        f"{report.interactions:,} interactions and {report.feedback:,} judgements in {report.lines:,} lines "
        f"of {len(report.sources):,} source{'s' if len(report.sources) != 1 else ''}"
    )
    lines = [
        ("new", f"{report.new:,}"),
        ("known", f"{report.known:,}" + (f", {report.conflicts:,} with other content" if report.conflicts else "")),
        ("formats", _counts(report.formats)),
        ("agents", _counts(report.agents)),
        ("redacted", f"{_counts(report.redacted) or 'nothing found'} (policy: {report.policy})"),
        ("not covered", ", ".join(report.not_covered)),
        ("quarantined", _counts(report.quarantined) or "0"),
    ]
    for word, text in lines:
        console.print(f"  {word:<12}{show_text(text)}".rstrip())
    for sample in report.samples:
        console.print(f"    {show_text(f'{sample.source}:{sample.line}: {sample.reason}: {sample.detail}', 160)}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())

"""`cortex collect`: logs of any producer into the journal."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.context import settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import DryRunOption, JsonOption, WaitOption
from cortex_cli.cli.output import emit, print_lines, say, show_text
from cortex_cli.cli.progress import Steps
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.collect.reports import CollectReport, Sample
    from cortex_cli.pipeline.intake import Sources
    from cortex_cli.pipeline.place import Place

__all__ = ["collect"]

_Told = Callable[[int], None]
# The words of the first column, and what stands before and after them.
_MARGIN = 14


def collect(  # noqa: PLR0913, PLR0917 - the options of the command line
    sources: Annotated[
        list[str], Argument(metavar="SOURCE", help="files, folders, quoted patterns, - for standard input, or otlp")
    ],
    form: Annotated[str, Option("--format", metavar="FORMAT", help="read as this format instead of detecting it")] = "",
    agent: Annotated[str, Option("--agent", metavar="AGENT", help="agent of records that name none")] = "",
    dry_run: DryRunOption = False,
    watch: Annotated[bool, Option("--watch", help="follow files and folders until interrupted")] = False,
    interval: Annotated[float, Option(metavar="SECONDS", min=0.05, help="with --watch: how often to look")] = 2.0,
    host: Annotated[str, Option(metavar="H", help="with otlp: address to listen on")] = "127.0.0.1",
    port: Annotated[int, Option(metavar="P", min=0, max=65535, help="with otlp: port to listen on")] = 4318,
    hold: Annotated[float, Option(metavar="SECONDS", min=0.0, help="with otlp: patience with a silent trace")] = 10.0,
    allow_remote: Annotated[
        bool, Option("--allow-remote", help="with otlp: let other machines in, with CORTEX_OTLP_TOKEN")
    ] = False,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read interactions and feedback from logs, redact them, and keep them in the journal.

    The format is recognised from the content; gzip, zstd and SQLite too. Collecting the same again adds
    nothing, and files that have not changed are passed over. A line that cannot be read is counted under its
    reason and never stops the rest. The word otlp instead of sources receives what OpenTelemetry SDKs send.
    """
    from cortex_cli.pipeline.intake import Sources

    if sources == ["otlp"]:
        _refuse_both("otlp", {"--watch": watch, "--dry-run": dry_run, "--format": bool(form)})
        from cortex_cli.cli.commands.collect_otlp import ReceiveOptions, receive

        receive(ReceiveOptions(host, port, hold, allow_remote, agent, wait), as_json=as_json)
        return
    if watch:
        _refuse_both("--watch", {"--dry-run": dry_run})
    current = settings()
    wanted = Sources(tuple(sources), form, agent, current.redaction, current.threads)
    seconds = current.lock_wait if wait is None else wait
    place = _open(current.actor)
    if dry_run:
        report = _preview(place, wanted)
    else:
        report = _watch(place, wanted, seconds, interval) if watch else _collect(place, wanted, seconds)
    _tell(place, report, dry_run=dry_run, as_json=as_json)


def _refuse_both(word: str, others: dict[str, bool]) -> None:
    for other, given in others.items():
        if given:
            raise UsageError(
                f"{word} keeps what comes until it is told to stop, and {other} has no part in that",
                hint="cortex collect --help",
                state="nothing was changed",
            )


def _open(actor: str) -> "Place":
    from cortex_cli.pipeline.place import open_place

    return open_place(workspace(), actor=actor)


def _collect(place: "Place", sources: "Sources", wait: float) -> "CollectReport":
    from cortex_cli.pipeline.collecting import collect_sources

    steps = Steps()
    with steps.step("collect"):
        return collect_sources(place, sources, wait=wait, told=_progress(steps, "kept"))


def _watch(place: "Place", sources: "Sources", wait: float, interval: float) -> "CollectReport":
    from cortex_cli.cli.signals import until_told
    from cortex_cli.pipeline.watching import Pulse, watch_sources

    steps = Steps()
    with until_told() as stop, steps.step("watch, until Ctrl-C"):
        pulse = Pulse(interval, stop.wait, stop.is_set)
        return watch_sources(place, sources, pulse, wait=wait, told=_progress(steps, "kept"))


def _preview(place: "Place", sources: "Sources") -> "CollectReport":
    from cortex_cli.pipeline.collecting import preview_sources

    steps = Steps()
    with steps.step("look at the sources"):
        report = preview_sources(place, sources, told=_progress(steps, "read"))
    say("nothing was kept: this was a dry run")
    return report


def _progress(steps: Steps, done: str) -> _Told:
    begun = time.monotonic()

    def tell(count: int) -> None:
        rate = count / max(time.monotonic() - begun, 1e-3)
        steps.update(f"{count:,} records {done}, {rate:,.0f} a second")

    return tell


def _tell(place: "Place", report: "CollectReport", *, dry_run: bool, as_json: bool) -> None:
    from cortex_cli.pipeline.collecting import find_unregistered

    unregistered = find_unregistered(place, report)
    data = {"dry_run": dry_run, "report": report, "unregistered": unregistered}
    emit("collect", data, lambda console: _show(console, report), as_json=as_json)
    if unregistered:
        say(f"not agents of this workspace yet: {', '.join(unregistered)}")
    if "content_not_captured" in report.quarantined:
        say("  next: set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true where the spans come from")


def _show(console: "Console", report: "CollectReport") -> None:
    unchanged = f", {report.unchanged:,} unchanged" if report.unchanged else ""
    _print(console, "", f"{_things(report)} in {report.lines:,} lines of {_sources(report)}{unchanged}")
    lines = [
        ("new", f"{report.new:,}"),
        ("known", f"{report.known:,}" + (f", {report.conflicts:,} with other content" if report.conflicts else "")),
        ("forgotten", f"{report.forgotten:,} not taken in again" if report.forgotten else ""),
        ("joined", f"{report.joined:,} lines, as parts of records" if report.joined else ""),
        ("skipped", _counts(report.skipped)),
        ("formats", _counts(report.formats)),
        ("agents", _counts(report.agents)),
        ("redacted", f"{_counts(report.redacted) or 'nothing found'} (policy: {report.policy})"),
        ("not covered", ", ".join(report.not_covered)),
        ("warnings", _counts(report.warnings)),
        ("quarantined", _counts(report.quarantined) or "0"),
    ]
    for word, text in lines:
        if text:
            _print(console, f"  {word:<{_MARGIN - 2}}", text)
    for sample in (*report.conflicting, *report.samples):
        _print(console, "    ", _describe(sample))


def _things(report: "CollectReport") -> str:
    return f"{report.interactions:,} interactions and {report.feedback:,} judgements"


def _sources(report: "CollectReport") -> str:
    return f"{len(report.sources):,} source{'s' if len(report.sources) != 1 else ''}"


def _describe(sample: "Sample") -> str:
    return f"{sample.source}:{sample.line}: {sample.reason}: {sample.detail}"


def _print(console: "Console", margin: str, text: str) -> None:
    import textwrap

    # As wide as the terminal; in a pipe a line is a line.
    below = " " * (len(margin) + 2 * (len(margin) < _MARGIN))
    shown = show_text(text)
    wrapped = textwrap.wrap(
        shown, console.width, initial_indent=margin, subsequent_indent=below, break_on_hyphens=False
    )
    print_lines(console, wrapped or [margin.rstrip()])


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())

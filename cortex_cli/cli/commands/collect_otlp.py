"""`cortex collect otlp`: listen for what OpenTelemetry SDKs send, and keep it in the journal."""

from typing import TYPE_CHECKING, NamedTuple

from cortex_cli.cli.context import settings, workspace
from cortex_cli.cli.output import emit, say, show_text
from cortex_cli.cli.session import session
from cortex_cli.cli.signals import until_told
from cortex_cli.domain.names import check_name

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.pipeline.moving import ReceiveReport

__all__ = ["TOKEN", "ReceiveOptions", "receive"]

# The variable with the token that senders have to bear; an option would show it to everybody on the machine.
TOKEN = "CORTEX_OTLP_TOKEN"  # noqa: S105 - the name of a variable


class ReceiveOptions(NamedTuple):
    """The options of the receiver, as the command line gives them."""

    host: str = "127.0.0.1"
    port: int = 4318
    hold: float = 10.0
    allow_remote: bool = False
    agent: str = ""
    wait: float | None = None


def receive(options: ReceiveOptions, *, as_json: bool) -> None:
    """Receive until Ctrl-C or SIGTERM, then report; what senders were told is kept is in the journal then."""
    from cortex_cli.pipeline.place import open_place
    from cortex_cli.pipeline.receiving import Listening
    from cortex_cli.pipeline.receiving import receive as receive_spans

    if options.agent:
        check_name("agent", options.agent)
    current = settings()
    place = open_place(workspace(), actor=current.actor)
    listening = Listening(
        host=options.host,
        port=options.port,
        agent=options.agent,
        policy=current.redaction,
        hold=options.hold,
        remote=options.allow_remote,
        token=session().environ.get(TOKEN, ""),
    )
    seconds = current.lock_wait if options.wait is None else options.wait
    with until_told() as stop:
        report = receive_spans(place, listening, stop, wait=seconds, told=_announce)
    emit("collect", {"received": report}, lambda console: _show(console, report), as_json=as_json)


def _announce(url: str) -> None:
    say(f"receiving OTLP at {url}, until Ctrl-C; point SDKs at it with OTEL_EXPORTER_OTLP_ENDPOINT={url}")


def _show(console: "Console", report: "ReceiveReport") -> None:
    console.print(
        f"{report.interactions:,} interactions and {report.feedback:,} judgements "
        f"from {report.spans:,} spans and {report.events:,} events in {report.requests:,} requests"
    )
    lines = [
        ("new", f"{report.new:,}"),
        ("known", f"{report.known:,}" + (f", {report.conflicts:,} with other content" if report.conflicts else "")),
        ("agents", _counts(report.agents)),
        ("redacted", f"{_counts(report.redacted) or 'nothing found'} (policy: {report.policy})"),
        ("skipped", _counts(report.skipped) or "0"),
        ("quarantined", _counts(report.quarantined) or "0"),
    ]
    if report.waiting:
        lines.append(("waiting", f"{report.waiting:,} in the spool: the journal was locked; the next start moves them"))
    if report.failures:
        lines.append(("failed", f"{len(report.failures):,} requests: {', '.join(sorted(set(report.failures)))}"))
    for word, text in lines:
        console.print(f"  {word:<12}{show_text(text)}".rstrip())


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())

"""Options that several verbs share, each with one name, one meaning and one help text."""

from typing import Annotated

from cortex_cli.cli.framework import Argument, Option

__all__ = [
    "AgentArgument",
    "DryRunOption",
    "ExitCodeOption",
    "JsonOption",
    "LimitOption",
    "WaitOption",
    "WatchOption",
    "YesOption",
]

JsonOption = Annotated[bool, Option("--json", help="print one JSON object on stdout")]
DryRunOption = Annotated[bool, Option("--dry-run", help="say what would happen and change nothing")]
ExitCodeOption = Annotated[bool, Option("--exit-code", help="end with 3 when a gate says no")]
YesOption = Annotated[bool, Option("--yes", help="do not ask")]
WatchOption = Annotated[bool, Option("--watch", help="go on until interrupted (not built yet)")]
WaitOption = Annotated[float | None, Option("--wait", metavar="SECONDS", min=0.0, help="how long to wait for a lock")]
LimitOption = Annotated[int | None, Option("-n", "--limit", metavar="N", min=1, help="at most N, newest first")]
AgentArgument = Annotated[str, Argument(metavar="AGENT", help="name of an agent")]

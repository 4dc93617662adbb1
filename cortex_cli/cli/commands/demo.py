"""`cortex demo`: the whole loop in a fresh workspace."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cortex_cli.cli.framework import Option
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit, print_table, say, show_text
from cortex_cli.cli.progress import Steps
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.explain.explanation import Explanation
    from cortex_cli.pipeline.demo import Extent, Night, Report

__all__ = ["demo"]


def demo(
    folder: Annotated[str, Option("--dir", metavar="D", help="folder of the demo's workspace")] = "cortex-demo",
    nights: Annotated[int, Option(min=1, max=7, help="how many nights the week of traffic is dealt into")] = 1,
    fast: Annotated[bool, Option("--fast", help="less data and training: at most 90 s on 2 cores")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the whole loop on real data: collect, curate, train, evaluate, compare, promote, explain.

    Needs no key, no network and no GPU. Verdicts of dispatch are replayed from reference answers and
    marked so; those of shell are of human judges. A demo that was interrupted goes on when called again.
    """
    from cortex_cli.models.bases import require_train_extra

    require_train_extra("the demo")
    from cortex_cli.pipeline.demo import run_demo

    root = Path(folder).expanduser()
    if root.exists() and not (root / "cortex.toml").is_file() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(
            f"'{folder}' exists and is not a workspace",
            hint="cortex demo --dir NEW-FOLDER",
            state="nothing was changed",
        )
    report = run_demo(root, _extent(nights, fast=fast), Steps())
    emit("demo", report, lambda console: _show(console, report), as_json=as_json)


def _extent(nights: int, *, fast: bool) -> "Extent":
    from cortex_cli.pipeline.demo import Extent

    if fast:
        return Extent(nights=nights, traffic=5_000, held_out=300, contest=400, morning=200, train_seconds=30.0)
    return Extent(nights=nights)


def _show(console: "Console", report: "Report") -> None:
    if report.explanation is not None:
        _show_failure(console, report.explanation)
    console.print("\nWhat the registry recorded, newest first (git log tells the same)", style="bold")
    for move in report.moves:
        console.print(f"  {show_text(move)}")
    console.print("\nWhat was measured", style="bold")
    rows = [row for number, night in enumerate(report.nights, 1) for row in _rows(number, night)]
    print_table(console, ("AGENT", "WHAT", "BEFORE", "AFTER", "CHANGE", "95 % INTERVAL"), rows)
    console.print(
        f"\nshell: {report.judged:,} answers judged by humans gave {report.shell_examples} examples; the base answers "
        f"{report.shell_right:.1%} of {report.shell_cases} held-out requests; this demo trains nothing for it"
    )
    console.print("dispatch: verdicts are replayed from reference answers, not observed")
    for number, night in enumerate(report.nights, 1):
        word = "promoted" if night.promoted else "held"
        console.print(f"night {number}: {word}: {night.reason} (replayed)")
    console.print(
        f"cost ${report.cost:.2f} (no paid API was called), {report.tokens:,} tokens on this machine, {report.seconds:.0f} s in all"
    )
    _show_next(report)


def _rows(number: int, night: "Night") -> list[tuple[object, ...]]:
    found = night.comparison
    what = f"night {number}: right of {found.cases:,} held-out"
    interval = f"{found.low:+.1%} to {found.high:+.1%}"
    return [("dispatch", what, f"{found.first:.1%}", f"{found.second:.1%}", f"{found.difference:+.1%}", interval)]


def _show_failure(console: "Console", found: "Explanation") -> None:
    from cortex_cli.explain.mend import describe_suggestion

    case = found.case
    console.print("\nOne failure, explained (replayed)", style="bold")
    console.print(f"  asked     {show_text(case.messages[-1].content, 66)}")
    console.print(f"  answered  {show_text(case.output, 66)}")
    console.print(f"  wanted    {show_text(case.expected, 66)}")
    for symptom in found.symptoms[:3]:
        console.print(f"  - {show_text(symptom.sentence)}")
    for suggestion in found.suggestions[:2]:
        console.print(f"  mend: {show_text(describe_suggestion(suggestion))}")


def _show_next(report: "Report") -> None:
    at = f"-C {report.root} "
    last = report.nights[-1]
    say("\nFive commands to try next:")
    for command in (
        f"cortex {at}status",
        f"cortex {at}log dispatch",
        f"cortex {at}why {last.champion}",
        f"cortex {at}explain --failures dispatch",
        f"cortex {at}verify {last.experiment}",
    ):
        say(f"  {command}")

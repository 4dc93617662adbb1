"""`cortex schedule`: lines for cron or units for systemd, printed and never installed."""

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cortex_cli.cli.catalog import NOT_BUILT
from cortex_cli.cli.context import workspace
from cortex_cli.cli.framework import Option
from cortex_cli.cli.options import JsonOption
from cortex_cli.cli.output import emit
from cortex_cli.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Job", "find_program", "plan_jobs", "render_cron", "render_systemd", "schedule"]


class Job(NamedTuple):
    """One thing to run by itself: when, in the words of cron and of systemd, and the whole command."""

    name: str
    cron: str
    calendar: str
    command: tuple[str, ...]
    note: str = ""


def schedule(
    form: Annotated[Literal["cron", "systemd"], Option("--format", help="what to print")] = "cron",
    source: Annotated[list[str] | None, Option("--source", metavar="SOURCE", help="log to collect every hour")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what makes this machine collect every hour, run the cycle at 02:00 and report every six hours.

    Nothing is installed. For cron:

      cortex schedule --source /var/log/app.jsonl | crontab -
    """
    root = workspace().root
    jobs = plan_jobs(find_program(sys.argv[0], sys.executable), root, source or [])
    text = render_cron(jobs) if form == "cron" else render_systemd(jobs, root.name)

    def human(console: "Console") -> None:
        console.print(text)

    emit(
        "schedule", {"workspace": root, "format": form, "jobs": [job._asdict() for job in jobs]}, human, as_json=as_json
    )


def find_program(script: str, python: str) -> tuple[str, ...]:
    """Return the words that start this program from anywhere, as cron knows no PATH to speak of."""
    path = Path(script)
    if path.name == "cortex" and path.is_file():
        return (str(path.absolute()),)
    return (str(Path(python).absolute()), "-m", "cortex_cli")


def plan_jobs(program: tuple[str, ...], root: Path, sources: list[str]) -> list[Job]:
    """Return the jobs of the workspace at *root*; without *sources* there is nothing to collect."""
    start = (*program, "-C", str(root))
    places = [str(Path(source).expanduser().absolute()) for source in sources]
    collect = [Job("collect", "0 * * * *", "hourly", (*start, "collect", "--quiet", *places))] if places else []
    return [
        *collect,
        Job("cycle", "0 2 * * *", "*-*-* 02:00:00", (*start, "cycle", "--quiet"), _note("cycle")),
        Job("status", "0 */6 * * *", "*-*-* 00/6:00:00", (*start, "status", "--plain")),
    ]


def render_cron(jobs: list[Job]) -> str:
    """Render *jobs* as lines for crontab; cron mails what they print."""
    lines: list[str] = []
    for job in jobs:
        lines += [
            f"# cortex {job.name}{f' ({job.note})' if job.note else ''}",
            f"{job.cron} {_cron_words(job.command)}",
        ]
    return "\n".join(lines)


def render_systemd(jobs: list[Job], label: str) -> str:
    """Render *jobs* as a service and a timer each, for `~/.config/systemd/user`; *label* tells workspaces apart."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", label).strip("-") or "workspace"
    return "\n\n".join(_unit(job, f"cortex-{name}-{job.name}") for job in jobs)


def _note(verb: str) -> str:
    return "not built yet: it fails until it is" if verb in NOT_BUILT else ""


def _cron_words(words: tuple[str, ...]) -> str:
    line = shlex.join(words)
    if "\n" in line:
        raise UsageError("a path with a line break cannot stand in a crontab", hint="cortex schedule --format systemd")
    # cron turns a bare % into a line break, also inside quotes.
    return line.replace("%", "\\%")


def _unit(job: Job, unit: str) -> str:
    command = " ".join(_systemd_word(word) for word in job.command)
    note = [f"# {job.note}"] if job.note else []
    return "\n".join(
        [
            f"# {unit}.service",
            *note,
            "[Unit]",
            f"Description=cortex {job.name}",
            "",
            "[Service]",
            "Type=oneshot",
            "Nice=10",
            f"ExecStart={command}",
            "",
            f"# {unit}.timer",
            "[Unit]",
            f"Description=cortex {job.name}, by itself",
            "",
            "[Timer]",
            f"OnCalendar={job.calendar}",
            "Persistent=true",
            "",
            "[Install]",
            "WantedBy=timers.target",
        ]
    )


def _systemd_word(word: str) -> str:
    # systemd expands % specifiers and $ variables, and reads C escapes inside quotes.
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if re.search(r"[^A-Za-z0-9_@%+=:,./-]", text) else text

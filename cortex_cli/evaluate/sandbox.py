"""Run a program that nobody has read: with limits, without network, and unable to change a file of the user's.

What it is: a fresh interpreter in user, network, process, mount, IPC and UTS namespaces of its own; every file system
read-only but a small one in memory; no capability left; limits on CPU, memory, open files, processes and the size of
files; an empty environment; killed whole when the time is over. What it is not: it does not hide files that the user
may read (nothing can leave but through the verdict), does not protect from faults of the kernel, and does not
keep a program from using the CPU that it is given. Where the kernel or the machine does not allow this, nothing is run.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

from cortex_cli.domain.digests import canonical_json
from cortex_cli.domain.errors import CortexError

__all__ = ["Limits", "Ran", "find_obstacle", "run_program"]

_FLAGS = ("--net", "--pid", "--mount", "--ipc", "--uts", "--fork", "--kill-child=KILL")
# Root needs no namespace of users for the others; inside it becomes nobody.
_USER = ("--user", "--map-root-user")
_SHOWN = 2000  # characters of output that are kept
_GRACE = 2.0  # seconds for the namespaces and the interpreter to start


class Limits(NamedTuple):
    """What a program may use: seconds of CPU and of waiting, megabytes of memory, processes, open files."""

    seconds: int = 5
    megabytes: int = 256
    processes: int = 16
    files: int = 64


class Ran(NamedTuple):
    """How a program ended: its exit code (negative: the signal), its output cut short, and whether time ran out."""

    code: int
    output: str
    error: str
    late: bool = False


def run_program(program: str, limits: Limits = Limits(), *, unsafe: bool = False) -> Ran:  # noqa: B008  a tuple
    """Run the Python *program* and return how it ended; it sees the standard library and an empty folder.

    Raises `CortexError` when this machine cannot shut it in, unless *unsafe* is said: then only the limits hold, and
    the program can reach the network and every file of this user.
    """
    obstacle = "" if unsafe else find_obstacle()
    if obstacle:
        raise CortexError(
            f"an answer cannot be run as a program here: {obstacle}",
            hint="run where user namespaces are allowed, or add --unsafe if you trust the answers",
            state="nothing was run",
        )
    return _run(program, limits, sealed=not unsafe)


@cache
def find_obstacle() -> str:
    """Return why programs cannot be shut in on this machine, empty when they can; tried once, with an empty program."""
    if shutil.which("unshare") is None:
        return "'unshare' of util-linux is missing"
    ran = _run("", Limits(), sealed=True)
    return "" if ran.code == 0 else f"the kernel refuses namespaces ({ran.error.strip()[:200] or ran.code})"


def _run(program: str, limits: Limits, *, sealed: bool) -> Ran:
    with tempfile.TemporaryDirectory(prefix="cortex-cell-") as name, tempfile.TemporaryFile() as out:
        folder = Path(name)
        folder.chmod(0o755)
        inner = folder / "work"
        inner.mkdir(mode=0o777)
        inner.chmod(0o777)
        task = {"program": program, "folder": str(inner), "sealed": sealed, **limits._asdict()}
        with tempfile.TemporaryFile() as err:
            process = subprocess.Popen(  # noqa: S603  our own interpreter, on a program that the caller gave
                _command(sealed=sealed),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                env={"PATH": os.defpath},
                cwd=folder,
                start_new_session=True,
            )
            late = _wait(process, canonical_json(task), limits.seconds + _GRACE)
            return Ran(process.returncode, _read(out), _read(err), late)


def _command(*, sealed: bool) -> list[str]:
    # The interpreter behind a virtual environment: the sandbox sees the standard library alone.
    python = getattr(sys, "_base_executable", sys.executable)
    text = (Path(__file__).parent / "cell.py").read_text(encoding="utf-8")
    inside = [python, "-I", "-S", "-B", "-c", text]
    flags = _FLAGS if os.geteuid() == 0 else (*_USER, *_FLAGS)
    return [str(shutil.which("unshare")), *flags, "--", *inside] if sealed else inside


def _wait(process: "subprocess.Popen[bytes]", task: bytes, seconds: float) -> bool:
    try:
        process.communicate(task, timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    else:
        return False
    finally:
        # All that is left of it, also what it started and did not wait for.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_SHOWN * 4).decode(errors="replace")[-_SHOWN:]

"""Progress: one line per step where nobody watches, nothing on stdout, nothing when quiet."""

import os
import pty
import re
import subprocess
import sys

import pytest

from cortex_cli.cli.progress import Steps
from cortex_cli.cli.session import begin_session

STEPS = """
import sys
from cortex_cli.cli.progress import Steps
steps = Steps(2)
with steps.step("read"):
    steps.update("half")
with steps.step("write"):
    pass
"""


def test_elsewhere_than_on_a_terminal_every_step_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    begin_session({})
    steps = Steps(2)
    with steps.step("read"):
        steps.update("half of it")
    with steps.step("write"):
        pass
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\[1/2\] read: \d+\.\d s\n\[2/2\] write: \d+\.\d s\n", err)


def test_a_step_that_fails_says_so_and_lets_the_error_through(capsys: pytest.CaptureFixture[str]) -> None:
    begin_session({})
    with pytest.raises(ValueError, match="no"), Steps().step("read"):
        raise ValueError("no")
    assert capsys.readouterr().err == "read: failed\n"


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    begin_session({}).quiet = True
    with Steps().step("read"):
        pass
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_step_replaces_itself() -> None:
    reader, writer = pty.openpty()
    with os.fdopen(reader, "rb", buffering=0) as screen:
        subprocess.run([sys.executable, "-c", STEPS], stderr=writer, check=True)
        os.close(writer)
        shown = screen.read(10_000).decode()
    assert "[1/2] read ..." in shown
    assert "\r\x1b[Khalf" in shown
    assert re.search(r"\r\x1b\[K\[2/2\] write: \d+\.\d s\r\n$", shown)

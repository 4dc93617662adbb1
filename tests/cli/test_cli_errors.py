"""What ends a run early, and what the user is told."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_cli.cli.errors import Terminated, run_guarded
from cortex_cli.cli.output import say
from cortex_cli.domain import errors as tree


def raising(error: BaseException) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (tree.CortexError("no"), 1),
        (tree.UsageError("no"), 2),
        (tree.GateRefusedError("no"), 3),
        (tree.AuthenticationError("no"), 4),
        (tree.NoWorkspaceError("no"), 10),
        (tree.LockedError("no"), 11),
        (tree.ConflictError("no"), 12),
        (tree.IntegrityError("no"), 13),
        (tree.RemoteError("no"), 14),
        (tree.NotBuiltError("serve"), 1),
        (tree.MissingExtraError("training", "train"), 1),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_every_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert run_guarded(raising(error), [], {}) == code


def test_a_run_that_ends_well_keeps_its_code() -> None:
    assert run_guarded(lambda: 0, [], {}) == 0
    assert run_guarded(lambda: 13, [], {}) == 13


def test_an_error_says_what_happened_what_is_left_and_what_to_type_next(capsys: pytest.CaptureFixture[str]) -> None:
    error = tree.ConflictError("'a' moved", state="nothing was changed\nreally", hint="cortex log a")
    run_guarded(raising(error), [], {})
    assert capsys.readouterr().err == (
        "error: 'a' moved (E_CONFLICT)\n  nothing was changed\n  really\n  next: cortex log a\n"
    )


def test_all_faults_of_a_file_are_listed_under_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [tree.Fault("a", "is missing"), tree.Fault("b.c", "is wrong")]
    run_guarded(raising(tree.FaultsError("x.toml", faults)), [], {})
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["error: 'x.toml' has 2 faults (E_USAGE):", "  a: is missing", "  b.c: is wrong"]


def test_with_json_the_error_is_one_object_on_the_last_line_of_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        say("working")
        raise tree.LockedError("'x' is locked", hint="wait", state="nothing was changed")

    assert run_guarded(body, ["status", "--json"], {}) == 11
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err.splitlines()[-1]) == {
        "schema": "cortex.error/1",
        "ok": False,
        "code": "E_LOCKED",
        "message": "'x' is locked",
        "state": "nothing was changed",
        "hint": "wait",
        "exit": 11,
    }


def test_the_word_json_after_two_dashes_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    run_guarded(raising(tree.UsageError("no")), ["feedback", "--", "--json"], {})
    assert capsys.readouterr().err.startswith("error: no")


def test_an_unforeseen_failure_is_one_line_and_a_file_with_the_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    assert run_guarded(raising(ZeroDivisionError("oh")), ["train", "secret words"], environ) == 1
    err = capsys.readouterr().err
    kept = next((tmp_path / "cortex").iterdir())
    assert err == f"error: unexpected ZeroDivisionError: oh (E_UNEXPECTED)\n  next: report it with {kept}\n"
    text = kept.read_text(encoding="utf-8")
    assert text.startswith("cortex train\nTraceback")
    assert "secret words" not in text


@pytest.mark.parametrize(
    ("arguments", "environ"), [(["train", "--debug"], {}), (["train"], {"CORTEX_DEBUG": "1"})], ids=["flag", "variable"]
)
def test_debug_shows_the_traceback_of_an_unforeseen_failure(
    arguments: list[str], environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_guarded(raising(ZeroDivisionError("oh")), arguments, {"XDG_STATE_HOME": str(tmp_path), **environ})
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_traceback_that_cannot_be_kept_does_not_hide_the_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    assert run_guarded(raising(ZeroDivisionError("oh")), ["train"], {"XDG_STATE_HOME": str(blocked)}) == 1
    assert "next: run it again with --debug" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EDQUOT, "the disk quota is used up"),
    ],
)
def test_what_the_system_refuses_is_said_in_words(number: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_guarded(raising(OSError(number, os.strerror(number), "/a/b")), [], {}) == 1
    assert capsys.readouterr().err.startswith(f"error: '/a/b': {words} (E_SYSTEM)\n")


def test_a_broken_pipe_to_a_child_is_not_taken_for_a_closed_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_guarded(raising(BrokenPipeError()), [], {"XDG_STATE_HOME": str(tmp_path)}) == 1
    assert "BrokenPipeError" in capsys.readouterr().err


LOOP = """
import sys
from cortex_cli.cli.errors import run_guarded
def body():
    for number in range(1_000_000):
        print(number)
    return 0
sys.exit(run_guarded(body, [], {}))
"""


def test_a_reader_that_goes_away_ends_the_run_silently() -> None:
    process = subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


WAIT = """
import signal, sys
from cortex_cli.cli import app, framework
def body(command, arguments):
    try:
        print("ready", flush=True)
        signal.pause()
    finally:
        print("cleaned", flush=True)
framework.run_command = body
sys.exit(app.run_process(["status"]))
"""


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_the_run_after_its_clean_up(number: signal.Signals, code: int, word: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", WAIT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # A run that does not end by itself must not hold up the suite.
    guard = threading.Timer(60, process.kill)
    guard.start()
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate()
    guard.cancel()
    assert (out, err, process.returncode) == ("cleaned\n", f"{word}\n", code)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_finds_the_disk_full_is_an_error_in_words() -> None:
    command = [sys.executable, "-m", "cortex_cli", "config", "show"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: the disk is full (E_SYSTEM)\n  what was acknowledged before is kept\n  next: df -h .\n"
    )


def test_a_closed_stdout_is_no_reason_for_a_traceback() -> None:
    command = f"{sys.executable} -m cortex_cli config show >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_locale_that_cannot_show_a_name_does_not_end_the_run(folder: Path) -> None:
    environ = {"PYTHONIOENCODING": "ascii", "CORTEX_NAME": "größe", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "cortex_cli", "-C", str(folder), "config", "show"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert "gr\\xf6" in done.stdout

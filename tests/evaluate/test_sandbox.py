"""What a program can do inside, tried for real; skipped where this machine cannot shut a program in."""

from pathlib import Path

import pytest

from cortex_cli.evaluate import sandbox
from cortex_cli.evaluate.programs import judge_program, take_code
from cortex_cli.evaluate.sandbox import Limits, find_obstacle, run_program

QUICK = Limits(seconds=1, megabytes=128)
closed = pytest.mark.skipif(bool(find_obstacle()), reason=f"no sandbox here: {find_obstacle()}")


@closed
def test_a_program_runs_with_the_standard_library_and_an_empty_folder() -> None:
    ran = run_program("import json, os; open('f', 'w').write('x'); print(json.dumps(sorted(os.listdir('.'))))", QUICK)

    assert ran.code == 0, ran.error
    assert '"f"' in ran.output


@closed
def test_nothing_outside_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / "there"
    tmp_path.chmod(0o777)
    ran = run_program(f"open({str(target)!r}, 'w')", QUICK)

    assert "Read-only file system" in ran.error or "Permission denied" in ran.error
    assert not target.exists()


@closed
def test_there_is_no_network_and_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "violet")
    ran = run_program(
        "import os; print(dict(os.environ)); import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    )

    assert "violet" not in ran.output
    assert "unreachable" in ran.error or "refused" in ran.error  # its own loopback, which is down


@closed
def test_rights_cannot_be_won_back() -> None:
    program = (
        "import ctypes; c = ctypes.CDLL(None); a = (ctypes.c_uint64 * 4)(0, 1, 0, 0)\n"
        "c.unshare(0x10020000)\n"  # a namespace of its own does not open the mounts that are locked
        "print(c.syscall(442, -100, b'/', 0x8000, ctypes.byref(a), 32), c.mount(b'x', b'/etc', b'tmpfs', 0, None))\n"
        "print([line for line in open('/proc/self/status') if line.startswith('NoNewPrivs')])"
    )
    ran = run_program(program, QUICK)

    assert ran.output.startswith("-1 ")
    assert "NoNewPrivs:\\t1" in ran.output


@closed
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("x = 'a' * (1 << 30)", "MemoryError"),
        ("open('f', 'wb').write(b'a' * (1 << 22))", "File too large"),
        ("files = [open('/dev/null') for _ in range(1000)]", "Too many open files"),
    ],
)
def test_memory_files_and_handles_are_bounded(program: str, said: str) -> None:
    ran = run_program(program, QUICK)

    assert ran.code != 0
    assert said in ran.error


@closed
def test_output_without_end_is_cut() -> None:
    ran = run_program("while True: print('x' * 10_000)", QUICK)

    assert ran.code != 0
    assert len(ran.output) <= 2000


@closed
@pytest.mark.parametrize(
    "program", ["while True: pass", "import time; time.sleep(60)", "import sys; sys.stdin.read(); input()"]
)
def test_a_program_that_does_not_end_is_ended(program: str) -> None:
    ran = run_program(program, QUICK)

    assert ran.late or ran.code != 0


@closed
def test_a_fork_bomb_is_bounded_and_leaves_nothing_behind() -> None:
    bomb = (
        "import os, time\nmade = 0\nwhile made < 5000:\n  try:\n    if os.fork() == 0: time.sleep(60)\n    made += 1\n"
    )
    bomb += "  except OSError: break\nprint('made', made)"
    ran = run_program(bomb, Limits(seconds=1, processes=8))

    assert int(ran.output.split()[1]) < 16
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"program.py" in _read(path)]


def test_without_a_sandbox_nothing_is_run_unless_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cortex_cli.domain.errors import CortexError

    monkeypatch.setenv("PATH", str(tmp_path))  # no unshare there
    find_obstacle.cache_clear()
    try:
        with pytest.raises(
            CortexError, match="cannot be run as a program here: 'unshare' of util-linux is missing"
        ) as found:
            run_program("print(1)", QUICK)
        assert "--unsafe" in found.value.hint
        assert run_program("print(1)", QUICK, unsafe=True).output == "1\n"
    finally:
        monkeypatch.undo()
        find_obstacle.cache_clear()


def test_the_limits_hold_without_the_walls_too() -> None:
    assert "MemoryError" in run_program("x = 'a' * (1 << 30)", QUICK, unsafe=True).error
    assert run_program("import time; time.sleep(60)", QUICK, unsafe=True).late


def test_code_is_taken_out_of_its_fence() -> None:
    assert take_code("Here:\n```python\nx = 1\n```\nand\n```\ny = 2\n```") == "x = 1\ny = 2"
    assert take_code("x = 1") == "x = 1"
    assert take_code("```py\nx = 1") == "x = 1"


@closed
@pytest.mark.parametrize(
    ("answer", "passed", "note"),
    [
        ("```python\ndef f(x):\n    return x + 1\n```", True, ""),
        ("def f(x):\n    return x", False, "AssertionError"),
        ("def f(x): return x + 1\nimport sys; sys.exit(0)", False, "before its last line"),
        ("import os; os._exit(0)", False, "before its last line"),
        ("def f(x):", False, "Error"),
        ("while True: pass", False, "not done after 1 s"),
    ],
)
def test_a_program_passes_only_when_its_tests_are_reached_and_hold(answer: str, passed: bool, note: str) -> None:
    verdict = judge_program(answer, "assert f(1) == 2", QUICK)

    assert verdict.passed is passed
    assert note in verdict.note


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_inside_is_shipped_with_the_package() -> None:
    assert (Path(sandbox.__file__).parent / "cell.py").is_file()

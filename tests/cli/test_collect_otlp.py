"""`cortex collect otlp` as a process: it says where it listens, and ends in order when it is told to."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cortex_cli.cli.commands.collect_otlp import ReceiveOptions, receive
from cortex_cli.cli.session import begin_session
from cortex_cli.domain.errors import UsageError
from tests.collect.spans import CHAT, CONTENT, make_span, traces

if TYPE_CHECKING:
    from tests.cli.conftest import Program

SCRIPT = """
import sys
from cortex_cli.cli.commands.collect_otlp import ReceiveOptions, receive
from cortex_cli.cli.errors import run_guarded
import os
body = lambda: receive(ReceiveOptions(port=0), as_json="--json" in sys.argv) or 0
sys.exit(run_guarded(body, sys.argv[1:], os.environ))
"""


@pytest.fixture
def start(cortex: "Program", workspace: Path) -> Iterator[Any]:
    started: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *words],
            env={**os.environ, **cortex.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def send(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "until Ctrl-C" in line
    url = line.split()[3].rstrip(",")
    body = json.dumps(traces(make_span(CHAT | CONTENT))).encode()
    request = urllib.request.Request(url + "/v1/traces", body, {"Content-Type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - loopback
        assert reply.status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_one_json_object(start: Any, number: signal.Signals) -> None:
    process = start("--json")
    send(process)
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    told = json.loads(out)
    assert (told["schema"], told["ok"]) == ("cortex.collect/1", True)
    assert (told["data"]["received"]["new"], told["data"]["received"]["requests"]) == (1, 1)


def test_for_people_the_report_is_a_page(start: Any) -> None:
    process = start()
    send(process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert "1 interactions and 0 judgements from 1 spans and 0 events in 1 requests" in out
    assert "agents      desk 1" in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (ReceiveOptions(host="0.0.0.0"), "--allow-remote is not given"),  # noqa: S104 - what is refused
        (ReceiveOptions(host="0.0.0.0", allow_remote=True), "CORTEX_OTLP_TOKEN is not set"),  # noqa: S104 - as above
        (ReceiveOptions(agent="Bad Name"), "not allowed"),
    ],
)
def test_a_wrong_option_changes_nothing(cortex: "Program", workspace: Path, options: ReceiveOptions, told: str) -> None:
    begin_session(cortex.environ)
    with pytest.raises(UsageError, match=told):
        receive(options, as_json=False)
    assert not (workspace / ".cortex" / "journal.db").exists()

"""`cortex train` as a process that is killed: the same command finishes with the same adapter as one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cortex_cli.pipeline.traffic import read_dispatch_requests
from cortex_cli.store.starter import starter_root

if TYPE_CHECKING:
    from tests.cli.conftest import Program

pytestmark = [pytest.mark.model, pytest.mark.kill]

# The process kills itself when it is about to do for the n-th time what its argument names: Python tells of every
# file that is opened or renamed and of every process that is started, so the moment is exact and nothing is patched.
_KILLED = """
import os, signal, sys
what, left = sys.argv[1], int(sys.argv[2])
def look(event, arguments):
    global left
    if event in ("open", "os.rename", "subprocess.Popen") and what in " ".join(map(str, arguments)):
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(look)
from cortex_cli.cli.app import run
sys.exit(run(["train", "dispatch", "--json"], os.environ))
"""
MOMENTS = [
    ("calibration.json", 1),
    ("position.json", 6),
    ("adapter_config.json", 1),
    ("fitted.json", 1),
    ("update-ref", 1),
]


@pytest.fixture
def lab(cortex: "Program", tmp_path: Path) -> Path:
    """A workspace with 64 corrected answers, curated, and a recipe of one epoch with a checkpoint after every step."""
    root = tmp_path / "lab"
    assert cortex("init", str(root)).code == 0
    cortex.environ["CORTEX_WORKSPACE"] = str(root)
    lines = []
    for number, request in enumerate(
        read_dispatch_requests(starter_root() / "datasets" / "texts", "train")[::220][:64]
    ):
        seen = {"id": f"i-{number:024x}", "agent": "dispatch", "time": "2026-01-05T09:00:00Z"}
        verdict = {"target": seen["id"], "kind": "demonstration", "demonstration": request.reference}
        lines += [
            {**seen, "messages": [{"role": "user", "content": request.text}], "output": "{}"},
            {**verdict, "time": "2026-01-05T09:00:01Z"},
        ]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert cortex("collect", str(log), "--agent", "dispatch").code == 0
    (root / "recipes" / "dispatch.toml").write_text(
        '[curate]\nagent = "dispatch"\ndataset = "dispatch"\n[train]\nagent = "dispatch"\ndataset = "dispatch"\n'
        "min_examples = 20\n[train.loop]\nepochs = 1.0\nbatch_tokens = 256\ncheckpoint_every = 1\nthreads = 1\n",
        encoding="utf-8",
    )
    assert cortex("curate", "dispatch").code == 0
    return root


def train(root: Path, cortex: "Program", *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**cortex.environ, "CORTEX_WORKSPACE": str(root), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, text=True, check=False)


def test_a_kill_at_any_moment_leaves_no_adapter_and_the_same_command_finishes_it(
    cortex: "Program", lab: Path, tmp_path: Path
) -> None:
    copies = [shutil.copytree(lab, tmp_path / f"copy-{number}", symlinks=True) for number in range(len(MOMENTS))]
    whole = train(lab, cortex, "-m", "cortex_cli", "train", "dispatch", "--json")
    assert whole.returncode == 0, whole.stderr
    wanted = json.loads(whole.stdout)["data"]["adapter"]["id"]

    for root, (what, count) in zip(copies, MOMENTS, strict=True):
        killed = train(root, cortex, "-c", _KILLED, what, str(count))
        assert killed.returncode == -signal.SIGKILL, (what, killed.stderr)
        assert not list((root / "registry" / "adapters").glob("*.toml"))
        again = train(root, cortex, "-m", "cortex_cli", "train", "dispatch", "--json")
        assert again.returncode == 0, (what, again.stderr)
        assert json.loads(again.stdout)["data"]["adapter"]["id"] == wanted, what

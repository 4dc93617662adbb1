import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.model

SCRIPT = Path(__file__).parents[2] / "scripts" / "gpu" / "train_8b.py"
SMALL = ["--layers", "2", "--hidden", "256", "--vocabulary", "512", "--length", "64", "--steps", "4", "--device", "cpu"]


def run(*options: str) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, str(SCRIPT), *options], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_gpu_the_script_says_that_it_was_not_run() -> None:
    assert run() == "not run: no GPU\n"


def test_a_small_model_goes_all_the_way_on_a_cpu() -> None:
    found = json.loads(run(*SMALL, "--stack", "own").splitlines()[-1])

    # Query, key, value and output of 4 heads and 1 key head; three of the feed-forward; two norms: twice. Then two
    # tables of words and a last norm.
    layer = 256 * (256 + 64 + 64 + 256) + 3 * 256 * 896 + 2 * 256
    assert found["parameters"] == 2 * layer + 2 * 512 * 256 + 256
    assert found["tokens_per_s"] > 0
    assert found["share_of_peak"] > 0


def test_the_trainer_of_trl_goes_all_the_way_on_a_cpu() -> None:
    pytest.importorskip("trl", reason="needs the trl extra")

    assert json.loads(run(*SMALL, "--stack", "trl").splitlines()[-1])["tokens_per_s"] > 0


def test_a_base_of_4_bits_goes_all_the_way_on_a_cpu() -> None:
    pytest.importorskip("bitsandbytes", reason="needs the quantized extra")

    assert json.loads(run(*SMALL, "--stack", "own-4bit").splitlines()[-1])["tokens_per_s"] > 0

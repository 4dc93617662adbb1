"""The files around the code: set-up, make targets, CI, licences, what is installed."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))
PINNED = dict(
    line.split("==") for line in (TOP / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_has_a_pinned_version() -> None:
    project = SETTINGS["project"]
    wanted = [
        *project["dependencies"],
        *project["optional-dependencies"]["train"],
        *SETTINGS["dependency-groups"]["dev"],
    ]
    wanted += [*SETTINGS["build-system"]["requires"], "editables"]
    names = {canonical(re.split(r"[\s<>=!\[;]", requirement)[0]) for requirement in wanted}
    assert names <= {canonical(name) for name in PINNED}


def test_torch_is_pinned_to_one_version_everywhere() -> None:
    assert f"torch=={PINNED['torch']}" in SETTINGS["project"]["optional-dependencies"]["train"]


@pytest.mark.parametrize("script", ["scripts/setup", ".ci/run"])
def test_a_shell_script_is_sound_and_executable(script: str) -> None:
    path = TOP / script
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_a_python_that_is_too_old_is_refused_with_a_next_step(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n', encoding="utf-8")
    old.chmod(0o755)
    shutil.copytree(TOP / "scripts", tmp_path / "scripts")
    environ = {**os.environ, "PYTHON": str(old)}
    done = subprocess.run([tmp_path / "scripts" / "setup"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "error: Python 3.11 or newer is needed, found 'Python 3.9.1'\n  next: make PYTHON=/path/to/python3.11\n"
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    "target", ["help", "demo", "test", "check", "docs", "format", "bench", "lock", "wheel", "clean"]
)
def test_a_make_target_exists_and_is_explained(target: str) -> None:
    subprocess.run(["make", "-n", target], cwd=TOP, capture_output=True, check=True)
    listing = subprocess.run(["make", "-s", "help"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^make {target} +\S", listing, re.MULTILINE)


def test_the_wheel_installs_man_pages_and_completions_where_shells_look() -> None:
    shared = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    for source, target in shared.items():
        assert (TOP / source).exists(), source
        assert target.startswith("share/")


def test_the_changelog_has_a_section_for_this_version() -> None:
    from cortex_cli import __version__

    text = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}]" in text
    assert "## [Unreleased]" in text

"""How long a user waits before Cortex answers: the version, the help, the status of an old workspace.

The floor is `python -c pass` in the same environment; git is the tool next to which Cortex is typed.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Report, Timing, at_most, median, tell, time_rounds

COMMITS = 1_000
ROUNDS = 21


def main() -> None:
    """Print one JSON line and a table."""
    tell("startup", measure())


def measure() -> Report:
    """Measure CPU time, median of rounds in which every command runs once."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        make_history(root, COMMITS)
        python, cortex = sys.executable, str(Path(sys.executable).with_name("cortex"))
        commands = {
            "python -c pass": [python, "-c", "pass"],
            "git --version": ["git", "--version"],
            "cortex --version": [cortex, "--version"],
            "cortex --help": [cortex, "--help"],
            "cortex status --json": [cortex, "-C", str(root), "status", "--json"],
        }
        found = time_rounds(commands, rounds=ROUNDS, env={**os.environ, "COLUMNS": "80"})
    return report(found)


def report(found: dict[str, list[Timing]]) -> Report:
    """Compare what was found with the bars."""
    floor = median(found["python -c pass"])
    version, help_, status = (median(found[f"cortex {words}"]) for words in ("--version", "--help", "status --json"))
    peer = f"python -c pass {floor * 1e3:.1f} ms, git --version {median(found['git --version']) * 1e3:.1f} ms"
    bars = [
        at_most("cortex --version", version / floor, "x python -c pass", 2.5, peer),
        at_most("cortex --help, CPU", help_ * 1e3, "ms", 300, "dvc 188 ms, gto 735 ms"),
        at_most(
            f"cortex status --json on {COMMITS:,} commits, CPU",
            status * 1e3,
            "ms",
            150,
            "dvc status about 2,100 ms wall",
        ),
    ]
    runs: list[dict[str, Any]] = [
        {
            "command": name,
            "cpu_ms": round(median(each) * 1e3, 2),
            "wall_ms": round(median(each, "wall") * 1e3, 2),
            "rounds": len(each),
        }
        for name, each in found.items()
    ]
    return Report(bars, runs)


def make_history(root: Path, commits: int) -> None:
    """Make a workspace whose two agents were promoted in turn until there are *commits* commits.

    Written by git fast-import in a moment; every commit is one that Cortex could have made.
    """
    from cortex_cli.registry.start import start_workspace

    start_workspace(root, name="bench")
    tip = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    stream = "".join(_commit(number, tip if number == 1 else "") for number in range(1, commits))
    branch = subprocess.run(
        ["git", "symbolic-ref", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    text = stream.replace("@BRANCH@", branch.strip())
    subprocess.run(["git", "fast-import", "--quiet", "--force"], cwd=root, input=text.encode(), check=True)
    subprocess.run(["git", "reset", "--quiet", "--hard"], cwd=root, check=True)


def _commit(number: int, parent: str) -> str:
    agent = ("dispatch", "shell")[number % 2]
    variants = [f"{agent}-{index:012x}" for index in (number // 2 % 8, (number // 2 + 1) % 8)]
    before, after = variants
    files = {f"registry/agents/{agent}.toml": _agent(agent, after, before, number)}
    files |= {f"registry/variants/{variant}.toml": _variant(agent, variant) for variant in variants}
    message = _message(agent, before, after, number)
    stamp = 1_767_225_600 + number * 60
    lines = ["commit @BRANCH@", f"committer cortex <cortex@localhost> {stamp} +0000", f"data {len(message)}", message]
    lines += [f"from {parent}"] if parent else []
    for path, content in files.items():
        lines += [f"M 100644 inline {path}", f"data {len(content)}", content]
    return "\n".join(lines) + "\n"


def _message(agent: str, before: str, after: str, number: int) -> str:
    return (
        f"promote({agent}): champion {before} -> {after}\n\nCortex-Action: promote\nCortex-Target: {agent}\n"
        f"Cortex-From: {before}\nCortex-To: {after}\nCortex-Generation: {number}\nCortex-Actor: cron\n"
        "Cortex-Version: 0.1.0\n"
    )


def _agent(agent: str, champion: str, previous: str, generation: int) -> str:
    return (
        f'schema = 1\nagent = "{agent}"\nsummary = "a benchmark"\ngeneration = {generation}\n'
        f'champion = "{champion}"\nprevious = "{previous}"\n'
    )


def _variant(agent: str, variant: str) -> str:
    blob = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # git's empty blob
    return (
        f'schema = 1\nid = "{variant}"\nagent = "{agent}"\nmodel = "cortex-tiny"\n'
        f'prompt = "prompts/{agent}/main.md"\nprompt_blob = "{blob}"\n'
    )


if __name__ == "__main__":
    main()

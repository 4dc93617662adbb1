"""The registry: one durable commit against the five git processes it cannot do without, and a long log.

Both sides write the same 1 KB file with the same `core.fsync` in interleaved rounds, by median CPU
time, git processes included. GitPython's `index.commit` stands beside them as information: it neither
compares the branch nor syncs. The log is read by a whole process, start included.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Report, Timing, at_most, median, tell, time_rounds
from cortex_cli.registry.git import Git
from cortex_cli.registry.repository import Registry
from cortex_cli.registry.trailers import Trailers, render_message
from cortex_cli.store.workspace import Workspace

COMMITS = 60
LOGGED = 10_000
LOG_ROUNDS = 11
SIZE = 1024
STATE = "registry/agents/dispatch.toml"
PEOPLE = {f"GIT_{who}_{what}": "bench" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
READ_LOG = """
import sys
from pathlib import Path
from cortex_cli.registry.history import read_log
from cortex_cli.registry.repository import Registry
from cortex_cli.store.workspace import Workspace
assert sum(1 for _ in read_log(Registry(Workspace(Path(sys.argv[1]))))) == int(sys.argv[2])
"""


def main() -> None:
    """Print one JSON line and a table."""
    with tempfile.TemporaryDirectory() as folder:
        commits = measure_commits(Path(folder))
        logs = measure_log(Path(folder))
    tell("registry", report(commits, logs))


def measure_commits(folder: Path) -> dict[str, list[Timing]]:
    """Commit the same contents by each way in turn, so that a noisy moment falls on all of them."""
    ways: dict[str, Callable[[bytes], object]] = {
        "Registry.commit": ours(folder / "ours"),
        "Registry.commit, new each time": fresh(folder / "fresh"),
        "five git processes": plain(folder / "plain"),
        "GitPython index.commit": gitpython(folder / "gitpython"),
    }
    found: dict[str, list[Timing]] = {name: [] for name in ways}
    for number in range(COMMITS + 1):
        data = f"generation = {number}\n".encode().ljust(SIZE, b"#")
        for name, way in ways.items():
            timing = time_with_children(way, data)
            if number:  # the first of each warms caches
                found[name].append(timing)
    return found


def ours(root: Path) -> Callable[[bytes], object]:
    """Commit through one registry, as a service or a nightly run does."""
    Git.create(make_folder(root))
    registry = Registry(Workspace(root))
    return lambda data: registry.commit(account(data), {STATE: data})


def fresh(root: Path) -> Callable[[bytes], object]:
    """Commit through a registry opened for this one commit, as the command line does."""
    Git.create(make_folder(root))
    return lambda data: Registry(Workspace(root)).commit(account(data), {STATE: data})


def plain(root: Path) -> Callable[[bytes], object]:
    """Commit by the five git processes that the plumbing needs, with nothing around them."""
    binary = Git.create(make_folder(root)).binary
    env = {**os.environ, **PEOPLE, "GIT_INDEX_FILE": str(root / ".git" / "private")}
    settings = ["-c", "core.fsync=committed,reference", "-c", "core.fsyncMethod=fsync"]
    tip: list[str] = []

    def git(*args: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            [binary, *settings, *args], cwd=root, env=env, input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(data: bytes) -> None:
        blob = git("hash-object", "-w", "--stdin", stdin=data)
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{STATE}")
        above = ["-p", tip[-1]] if tip else []
        new = git("commit-tree", git("write-tree"), *above, "-F", "-", stdin=render_message(account(data)).encode())
        old = tip[-1] if tip else "0" * 40
        git("update-ref", "--stdin", stdin=f"start\nupdate refs/heads/main {new} {old}\nprepare\ncommit\n".encode())
        tip.append(new)

    return commit


def gitpython(root: Path) -> Callable[[bytes], object]:
    """Commit by GitPython, which neither compares the branch with what it was nor syncs anything."""
    from git import Actor, Repo

    Git.create(make_folder(root))
    (root / STATE).parent.mkdir(parents=True)
    person = Actor("bench", "bench")

    def commit(data: bytes) -> None:
        (root / STATE).write_bytes(data)
        with Repo(root) as repo:
            repo.index.add([STATE])
            repo.index.commit(render_message(account(data)), author=person, committer=person)

    return commit


def measure_log(folder: Path) -> dict[str, list[Timing]]:
    """Read a long history in a whole process, by the room, by the command and by git alone."""
    root = make_history(folder / "history", LOGGED)
    cortex = str(Path(sys.executable).with_name("cortex"))
    commands = {
        "cortex log --json": [cortex, "-C", str(root), "log", "--json"],
        "read_log": [sys.executable, "-c", READ_LOG, str(root), str(LOGGED)],
        "git log": ["git", "-C", str(root), "log", "--format=%H%n%ct%n%an%n%B"],
    }
    return time_rounds(commands, rounds=LOG_ROUNDS)


def make_history(root: Path, count: int) -> Path:
    """Make a workspace with *count* promotions, by one fast-import."""
    git = Git.create(make_folder(root))
    (root / "cortex.toml").write_text("schema = 1\n", encoding="utf-8")
    parts: list[str] = []
    for number in range(count):
        before, after = f"dispatch-{number:012x}", f"dispatch-{number + 1:012x}"
        evidence = f"sha256:{number:064x}"
        record = Trailers("promote", "dispatch", before, after, number + 1, evidence, f"x-{number}", "human")
        message, state = render_message(record), f'agent = "dispatch"\nchampion = "{after}"\n'
        parts.append(
            f"commit refs/heads/main\ncommitter bench <bench> {1_700_000_000 + number} +0000\n"
            f"data {len(message)}\n{message}\nM 100644 inline {STATE}\ndata {len(state)}\n{state}\n"
        )
    git.run("fast-import", "--quiet", stdin="".join(parts).encode())
    return root


def account(data: bytes) -> Trailers:
    """Return the account that every way writes."""
    return Trailers("note", "dispatch", to=data[:24].decode().strip().replace("\n", " "))


def make_folder(root: Path) -> Path:
    """Make the folder *root* and return it."""
    root.mkdir()
    return root


def time_with_children(way: Callable[[bytes], object], data: bytes) -> Timing:
    """Return what one call took in this process and in those it started."""
    cpu, wall = cpu_seconds(), time.perf_counter()
    way(data)
    return Timing(cpu_seconds() - cpu, time.perf_counter() - wall)


def cpu_seconds() -> float:
    """Return user and system time of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def report(commits: dict[str, list[Timing]], logs: dict[str, list[Timing]]) -> Report:
    """Compare what was found with the bars."""
    floor = median(commits["five git processes"])
    peer = f"{floor * 1e3:.1f} ms; GitPython {median(commits['GitPython index.commit']) * 1e3:.1f} ms, unsafe"
    git = f"git log alone {median(logs['git log']) * 1e3:.0f} ms"
    unit = "x five git processes"
    bars = [
        at_most("commit of 1 KB, synced, CPU", median(commits["Registry.commit"]) / floor, unit, 1.5, peer),
        at_most(f"read_log, {LOGGED:,} commits, whole process, CPU", median(logs["read_log"]) * 1e3, "ms", 400, git),
        at_most(f"cortex log --json, {LOGGED:,} commits, CPU", median(logs["cortex log --json"]) * 1e3, "ms", 400, git),
    ]
    runs: list[dict[str, Any]] = [
        {
            "what": name,
            "cpu_ms": round(median(each) * 1e3, 2),
            "wall_ms": round(median(each, "wall") * 1e3, 2),
            "rounds": len(each),
        }
        for name, each in {**commits, **logs}.items()
    ]
    return Report(bars, runs)


if __name__ == "__main__":
    main()

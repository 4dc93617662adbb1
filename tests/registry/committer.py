"""A process that commits, for the tests that race and kill it: `committer.py race|serve ROOT ...`.

`race ROOT NAME COUNT` makes that many commits and prints each one's id when it is acknowledged.
`serve ROOT SEED` waits for lines on stdin; for each it forks a child in a process group of its own, which
commits without end, and says `pid N`, then `ack ID` for every acknowledged commit, then `dead`.
"""

import os
import sys
from pathlib import Path

import filelock

from cortex_cli.domain.manifests import Agent
from cortex_cli.registry.actions import render_manifest
from cortex_cli.registry.repository import Change, Registry
from cortex_cli.registry.snapshot import Snapshot
from cortex_cli.registry.trailers import Trailers
from cortex_cli.store.workspace import Workspace

STATE = "registry/agents/dispatch.toml"


def move(registry: Registry, note: str, text: str) -> str:
    """Move champion and challenger of one agent to the next generation, both at once, and write *note*."""

    def plan(snapshot: Snapshot) -> Change:
        before = snapshot.agent("dispatch")
        generation = before.generation + 1
        name = f"dispatch-{generation:012x}"
        after = Agent(
            agent="dispatch", generation=generation, champion=name, previous=before.champion, challengers=(name,)
        )
        account = Trailers("promote", "dispatch", before.champion, name, generation)
        return Change(account, {STATE: render_manifest(after), f"registry/notes/{note}.toml": text.encode()})

    return registry.update(plan).commit


def say(text: str) -> None:
    """Write one line in one piece, so that a kill leaves it whole or not there."""
    os.write(1, f"{text}\n".encode())


def race(registry: Registry, name: str, count: int) -> None:
    """Commit *count* times and say each id."""
    for number in range(1, count + 1):
        say(move(registry, name, f"{number}\n"))


def serve(registry: Registry) -> None:
    """Fork a child that commits without end for every line on stdin, and tell when it is gone."""
    number = 0
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            while True:
                number += 1
                say(f"ack {move(registry, 'killed', f'{os.getpid()} {number}')}")
        say(f"pid {pid}")
        os.waitpid(pid, 0)
        say("dead")


def main() -> None:
    """Do what the arguments say."""
    mode, root, *rest = sys.argv[1:]
    assert filelock  # imported here, so that no forked child pays for it
    registry = Registry(Workspace(Path(root)), actor="test", wait=120.0)
    if mode == "race":
        race(registry, rest[0], int(rest[1]))
    else:
        serve(registry)


if __name__ == "__main__":
    main()

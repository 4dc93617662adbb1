"""The account against the books: what each commit says it did, re-derived from its two trees."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from cortex_cli.domain.errors import CortexError, IntegrityError
from cortex_cli.domain.manifests import Agent
from cortex_cli.domain.tables import parse_toml
from cortex_cli.registry.catfile import CatFile
from cortex_cli.registry.git import Git
from cortex_cli.registry.snapshot import AGENTS
from cortex_cli.registry.trailers import MOVES, Trailers, parse_message

__all__ = ["Finding", "Severity", "audit_history"]

Severity = Literal["error", "warning", "note"]

# The file that an action must have written, by the fields of its trailers.
_CLAIMS = {
    "ab": "registry/experiments/{to}.toml",
    "agent": "registry/agents/{target}.toml",
    "curate": "datasets/{to}.toml",
    "decide": "registry/experiments/{from_}.toml",
    "init": "cortex.toml",
    "model": "registry/models/{target}.toml",
    "promote": "registry/agents/{target}.toml",
    "quarantine": "datasets/{to}.toml",
    "release": "datasets/{to}.toml",
    "rollback": "registry/agents/{target}.toml",
    "train": "registry/adapters/{to}.toml",
    "variant": "registry/variants/{to}.toml",
}
# What forgetting may change: the manifests of what descends from the forgotten.
_REVOKED = ("datasets/", "registry/adapters/")
# -c shows of a merge only what it made different from all its parents.
_LOG = ("log", "-z", "-c", "--raw", "--no-renames", "--no-abbrev", "--no-notes", "--format=%H%n%P%n%B")
_LIVE = ("champion", "previous", "generation", "challengers", "split", "experiment")
_MOVED = ("champion", "previous", "generation")
_AGENT_FILE = re.compile(re.escape(AGENTS.folder) + r"/([^/]+)\.toml")


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be: how bad, where, what, and the command that mends it."""

    severity: Severity
    subject: str
    what: str
    repair: str = ""


class _Commit(NamedTuple):
    oid: str
    parents: list[str]
    message: str
    # path -> blob ids before and after; all zeros where there is none.
    files: dict[str, tuple[str, str]]


class _Step(NamedTuple):
    """What one commit did to one agent."""

    agent: str
    before: Agent | None
    after: Agent | None

    def differs_in(self, fields: tuple[str, ...]) -> bool:
        """Tell whether any of *fields* is another one after than before; a new agent differs from an empty one."""
        before, after = (state or Agent(agent=self.agent) for state in (self.before, self.after))
        return any(getattr(before, field) != getattr(after, field) for field in fields)


def audit_history(git: Git) -> Iterator[Finding]:
    """Yield what is wrong with the account of HEAD's history, newest first: forged, twice, or missing.

    A state changed by hand is an error until Cortex has moved that agent again, which confirms it.
    """
    head = git.head()
    confirmed: set[str] = set()
    states: dict[str, Agent | None] = {}
    with CatFile(git) as objects:
        for commit in _read_commits(git, head):
            steps = [_Step(name, *_states(objects, states, oids)) for name, oids in _agent_files(commit)]
            yield from _judge(commit, steps, confirmed)


def _judge(commit: _Commit, steps: list[_Step], confirmed: set[str]) -> Iterator[Finding]:
    try:
        record = parse_message(commit.message)
    except IntegrityError as error:
        yield Finding("error", commit.oid, str(error))
        return
    if record is None:
        yield from _unaccounted(commit, steps, confirmed)
        return
    faults = list(_contradictions(commit, record, steps))
    for fault in faults:
        yield Finding("error", commit.oid, f"forged account '{record.subject()}': {fault}")
    if record.action in MOVES and not faults:
        confirmed.add(record.target)


def _unaccounted(commit: _Commit, steps: list[_Step], confirmed: set[str]) -> Iterator[Finding]:
    for step in steps:
        if not step.differs_in(_LIVE):
            continue
        is_moved = step.differs_in(_MOVED) and step.agent not in confirmed
        found = step.after.champion if step.after else "nothing"
        yield Finding(
            "error" if is_moved else "warning",
            commit.oid,
            f"the state of agent '{step.agent}' was changed without an account, to champion '{found}'",
            f"cortex rollback {step.agent}" if is_moved else "",
        )


def _contradictions(commit: _Commit, record: Trailers, steps: list[_Step]) -> Iterator[str]:
    if len(commit.parents) > 1:
        yield "it is a merge, and Cortex makes none"
    claim = _CLAIMS.get(record.action, "").format(to=record.to, target=record.target, from_=record.from_)
    if claim and claim not in commit.files:
        yield f"'{claim}' was not written"
    if record.action in MOVES:
        yield from _wrong_moves(record, steps)
        return
    if record.action == "forget":
        others = [path for path in commit.files if not path.startswith(_REVOKED)]
        yield from (f"'{path}' was written as well" for path in others)
    for step in steps:
        if step.before is not None and step.differs_in(_MOVED):
            yield f"agent '{step.agent}' was moved by an action that moves none"


def _wrong_moves(record: Trailers, steps: list[_Step]) -> Iterator[str]:
    for step in steps:
        if step.agent != record.target:
            yield f"agent '{step.agent}' was touched as well"
        elif step.before is None or step.after is None:
            yield f"agent '{step.agent}' has no readable state before and after"
        else:
            yield from _wrong_move(record, step.before, step.after)


def _wrong_move(record: Trailers, before: Agent, after: Agent) -> Iterator[str]:
    facts = {
        "From": (record.from_, before.champion),
        "To": (record.to, after.champion),
        "Generation": (record.generation, after.generation),
        "generation before": (after.generation - 1, before.generation),
        "previous": (after.previous, before.champion),
    }
    for name, (said, found) in facts.items():
        if said != found:
            yield f"{name} says {said!r}, the files say {found!r}"


def _agent_files(commit: _Commit) -> list[tuple[str, tuple[str, str]]]:
    matches = ((_AGENT_FILE.fullmatch(path), oids) for path, oids in commit.files.items())
    return [(match[1], oids) for match, oids in matches if match]


def _states(
    objects: CatFile, known: dict[str, Agent | None], oids: tuple[str, str]
) -> tuple[Agent | None, Agent | None]:
    for oid in oids:
        if oid not in known:
            known[oid] = _read_agent(objects, oid)
    return known[oids[0]], known[oids[1]]


def _read_agent(objects: CatFile, oid: str) -> Agent | None:
    found = objects.find(oid) if oid.strip("0") else None
    try:
        return parse_toml(found.data.decode("utf-8"), Agent, source=oid) if found else None
    except (CortexError, UnicodeDecodeError):
        return None  # a manifest that cannot be read is a finding of its own where it matters: at HEAD


def _read_commits(git: Git, head: str) -> Iterator[_Commit]:
    if not head:
        return
    commit: _Commit | None = None
    tokens = git.records(*_LOG, head, "--")
    for token in tokens:
        entry = token.lstrip("\n")
        if not entry:  # git puts one between a merge and what it made different
            continue
        if entry.startswith(":") and commit is not None:
            commit.files[next(tokens)] = _blob_ids(entry)
            continue
        if commit is not None:
            yield commit
        oid, above, message = token.split("\n", 2)
        commit = _Commit(oid, above.split(), message, {})
    if commit is not None:
        yield commit


def _blob_ids(entry: str) -> tuple[str, str]:
    # `:<mode> <mode> <id> <id> M`; a merge has one colon, mode and id more for every parent beyond the first.
    columns = entry.split(" ")
    parents = len(entry) - len(entry.lstrip(":"))
    return columns[parents + 1], columns[2 * parents + 1]

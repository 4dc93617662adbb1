"""Replays: what a policy would have decided on outcomes that are known for every variant.

A log has one JSON object per line, {"unit", "outcomes": {variant: value}, "domain"?}, with booleans or
numbers in [0, 1]. Each run shuffles the units; in mode split it draws an arm per unit and reveals that
outcome alone. A variant against itself is an A/A: in mode shadow its second order of the units answers.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from cortex_cli.domain.errors import Fault, FaultsError, UsageError
from cortex_cli.domain.manifests import Policy
from cortex_cli.stats.decision import find_first_decision, guarded_metrics
from cortex_cli.stats.evidence import Evidence, PairedEvidence, SplitEvidence
from cortex_cli.stats.wealth import Array

__all__ = ["Contest", "OutcomeLog", "Replay", "Spread", "parse_split", "read_outcomes", "replay", "select_contest"]

Mode = Literal["shadow", "split"]
# Faults shown of a broken log; the rest would only scroll the first away.
_SHOWN = 10
# Most runs decide early: prefixes of these sizes are tried before the whole log.
_PREFIXES = (512, 4096)


class _Line(msgspec.Struct, frozen=True):
    unit: str
    outcomes: dict[str, bool | float]
    domain: str = ""


@dataclass(frozen=True, slots=True)
class OutcomeLog:
    """A log read whole: outcomes by variant in the order of the lines, NaN where a line has none."""

    source: str
    rows: int
    outcomes: dict[str, Array]
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contest:
    """Who is compared, under which policy, and how: *share* is the challenger's part of a split."""

    champion: str
    challenger: str
    policy: Policy
    mode: Mode = "shadow"
    share: float = 0.1


@dataclass(frozen=True, slots=True)
class Spread:
    """How often to replay, from which seed, over at most how many tasks (0: all)."""

    runs: int = 200
    seed: int = 0
    max_tasks: int = 0


@dataclass(frozen=True, slots=True)
class Replay:
    """What the runs gave. Rates are of *runs*; median and 90th percentile of the tasks to a decision, None without one."""

    champion: str
    challenger: str
    mode: Mode
    policy: str
    share: float
    seed: int
    tasks: int
    champion_rate: float
    challenger_rate: float
    runs: int
    promoted_rate: float
    rolled_back_rate: float
    futile_rate: float
    invalid_rate: float
    undecided_rate: float
    median_tasks: int | None
    p90_tasks: int | None
    promoted_median_tasks: int | None
    replayed: bool = True


def read_outcomes(path: Path) -> OutcomeLog:
    """Read the log at *path*; raise `FaultsError` with its first faults and their lines."""
    if not path.is_file():
        raise UsageError(f"there is no log '{path}'", hint="cortex ab replay --help")
    with path.open("rb") as stream:
        lines, faults = _parse_lines(stream)
    if not lines and not faults:
        faults = [Fault("", "has no line")]
    if faults:
        raise FaultsError(str(path), faults[:_SHOWN], hint="cortex ab replay --help")
    variants = sorted({variant for line in lines for variant in line.outcomes})
    outcomes = {
        variant: np.array([float(line.outcomes.get(variant, math.nan)) for line in lines]) for variant in variants
    }
    return OutcomeLog(str(path), len(lines), outcomes, tuple(line.domain for line in lines))


def select_contest(log: OutcomeLog, contest: Contest) -> Contest:
    """Return *contest* with an empty champion or challenger filled in from a log of two variants.

    The champion is then the one with fewer successes. Raises `UsageError` for a variant that the log
    does not have, or has not on every line, when the choice is open, and for a metric it cannot have.
    """
    unknown = [metric for metric in guarded_metrics(contest.policy) if metric != "success"]
    if unknown:
        raise UsageError(
            f"policy '{contest.policy.name}' needs {' and '.join(unknown)}, and a log has success alone",
            hint="cortex ab replay --help",
        )
    champion, challenger = contest.champion, contest.challenger
    if not champion or not challenger:
        champion, challenger = _fill_in(log, champion, challenger)
    for variant in (champion, challenger):
        if variant not in log.outcomes:
            raise UsageError(
                f"'{log.source}' has no variant '{variant}'; it has {', '.join(sorted(log.outcomes))}",
                hint="cortex ab replay --help",
            )
        missing = int(np.isnan(log.outcomes[variant]).sum())
        if missing:
            raise UsageError(f"'{log.source}' has no outcome of '{variant}' on {missing:,} of {log.rows:,} lines")
    return Contest(champion, challenger, contest.policy, contest.mode, contest.share)


def replay(log: OutcomeLog, contest: Contest, spread: Spread) -> Replay:
    """Run the contest over shuffled orders of *log*, a look after every task; the same seed gives the same runs."""
    generator = np.random.default_rng(spread.seed)
    tasks = min(log.rows, spread.max_tasks or log.rows)
    decisions = [_run_once(log, contest, tasks, generator) for _ in range(spread.runs)]
    champion, challenger = (log.outcomes[name] for name in (contest.champion, contest.challenger))
    outcomes = Counter(outcome for outcome, _ in decisions)
    decided = [row for outcome, row in decisions if outcome != "hold"]
    return Replay(
        champion=contest.champion,
        challenger=contest.challenger,
        mode=contest.mode,
        policy=contest.policy.name,
        share=contest.share if contest.mode == "split" else 1.0,
        seed=spread.seed,
        tasks=tasks,
        champion_rate=round(float(champion.mean()), 6),
        challenger_rate=round(float(challenger.mean()), 6),
        runs=spread.runs,
        promoted_rate=outcomes["promote"] / spread.runs,
        rolled_back_rate=outcomes["rollback"] / spread.runs,
        futile_rate=outcomes["futile"] / spread.runs,
        invalid_rate=outcomes["invalid"] / spread.runs,
        undecided_rate=outcomes["hold"] / spread.runs,
        median_tasks=_quantile(decided, 0.5),
        p90_tasks=_quantile(decided, 0.9),
        promoted_median_tasks=_quantile([row for outcome, row in decisions if outcome == "promote"], 0.5),
    )


def parse_split(text: str) -> float:
    """Read the challenger's share from `0.9/0.1` (champion first); raise `UsageError` unless it is a split."""
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) != 2 or not all(0 < part < 1 for part in parts) or abs(sum(parts) - 1) > 1e-9:
        raise UsageError(
            f"split '{text}' is not two shares that sum to 1: champion first, such as 0.9/0.1",
            hint="cortex ab replay --help",
        )
    return parts[1]


def _run_once(log: OutcomeLog, contest: Contest, tasks: int, generator: np.random.Generator) -> tuple[str, int]:
    order = generator.permutation(log.rows)[:tasks]
    champion, challenger = log.outcomes[contest.champion][order], log.outcomes[contest.challenger][order]
    if contest.mode == "split":
        arms = generator.random(tasks) < contest.share
        revealed = {"success": np.where(arms, challenger, champion)}
        return _decide_early(SplitEvidence(arms, np.full(tasks, contest.share), revealed), contest.policy, tasks)
    if contest.champion == contest.challenger:
        challenger = log.outcomes[contest.challenger][generator.permutation(log.rows)[:tasks]]
    return _decide_early(PairedEvidence({"success": champion}, {"success": challenger}), contest.policy, tasks)


def _decide_early(evidence: Evidence, policy: Policy, tasks: int) -> tuple[str, int]:
    for rows in filter(lambda prefix: prefix < tasks, _PREFIXES):
        outcome, row = find_first_decision(evidence.head(rows), policy)
        if outcome != "hold":
            return outcome, row
    return find_first_decision(evidence, policy)


def _fill_in(log: OutcomeLog, champion: str, challenger: str) -> tuple[str, str]:
    variants = sorted(log.outcomes, key=lambda name: (float(np.nanmean(log.outcomes[name])), name))
    if len(variants) != 2:
        raise UsageError(
            f"'{log.source}' has {len(variants)} variants: {', '.join(sorted(variants))}",
            hint="cortex ab replay --champion X --challenger Y",
        )
    other = {variants[0]: variants[1], variants[1]: variants[0]}
    return champion or other.get(challenger, variants[0]), challenger or other.get(champion, variants[1])


def _parse_lines(lines: Iterable[bytes]) -> tuple[list[_Line], list[Fault]]:
    decoder = msgspec.json.Decoder(_Line)
    parsed: list[_Line] = []
    faults: list[Fault] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            parsed.append(decoder.decode(line))
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            faults.append(Fault(f"line {number}", str(error)))
            continue
        faults += _line_faults(parsed[-1], number)
    return parsed, faults


def _line_faults(line: _Line, number: int) -> list[Fault]:
    wrong = {variant: value for variant, value in line.outcomes.items() if not 0 <= value <= 1}
    return [
        Fault(f"line {number}", f"outcome of '{variant}' is {value!r}, not in [0, 1]")
        for variant, value in wrong.items()
    ]


def _quantile(values: Sequence[int], share: float) -> int | None:
    """Return the smallest value that at least this share does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None

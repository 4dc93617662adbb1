"""Decisions: how often they are wrong, how soon they come, and how long they take to work out.

Simulated contests with a look after every task, fixed seeds. The peers are a z-test that is looked at
after every task too, and a z-test with one look at a sample fixed beforehand (80 % power, one-sided 5 %).
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Bar, Report, Timing, at_least, at_most, median, tell, time_call
from cortex_cli.domain.manifests import Experiment, Policy
from cortex_cli.release.judging import judge
from cortex_cli.release.ledger import Row, Score, read_ledger, write_ledger
from cortex_cli.stats.assignment import failure_log_e
from cortex_cli.stats.decision import decide, find_first_decision
from cortex_cli.stats.evidence import PairedEvidence, SplitEvidence
from cortex_cli.stats.intervals import wilson_interval
from cortex_cli.stats.ipw import IpwTest
from cortex_cli.stats.paired import PairedTest
from cortex_cli.stats.power import fixed_pairs, fixed_split_tasks
from cortex_cli.stats.simulation import Scenario, simulate_pairs, simulate_split
from cortex_cli.stats.srm import ALARM, log_bayes_factor, ratio_path
from cortex_cli.store.objects import ObjectStore

CONTESTS = 1_000
ROWS = 100_000
POLICY = Policy()
ORACLES = Path(__file__).parents[1] / "tests" / "stats" / "oracles.json"

Evidence = PairedEvidence | SplitEvidence


def main() -> None:
    """Print one JSON line and a table."""
    tell("decisions", measure())


def measure() -> Report:
    """Run all parts; about 20 s of one processor."""
    report = Report()
    for add in (add_equal, add_better, add_worse, add_ratio, add_speed, add_ledger, add_oracles):
        add(report)
    return report


def add_equal(report: Report) -> None:
    """A=A: what is promoted here is promoted for nothing."""
    for name, share in (("shadow", 0.5), ("split 90/10", 0.1), ("split 50/50", 0.5)):
        run = contests(name, Scenario(0.925, 0.925, share), 5_000, seed=101)
        peer = f"z-test looked at after every task {100 * run['peeked_rate']:.1f} %"
        report.bars.append(at_most(f"A=A, {name}: promoted", 100 * run["promoted_rate"], "%", 5.0, peer))
        bound = wilson_interval(run["promoted_rate"] * CONTESTS, CONTESTS).high
        report.bars.append(at_most(f"A=A, {name}: 95 % upper bound", 100 * bound, "%", 6.0, peer))
        report.runs.append(run)


def add_better(report: Report) -> None:
    """+5 points: how often it is found, and after how many tasks."""
    cases = (
        ("shadow, failures alike .5", Scenario(0.925, 0.975, alike=0.5), 1.7),
        ("shadow, independent", Scenario(0.925, 0.975), 1.7),
        ("split 90/10", Scenario(0.925, 0.975, 0.1), 1.9),
        ("split 50/50", Scenario(0.925, 0.975, 0.5), 1.2),
    )
    for name, scenario, bar in cases:
        run = contests(name, scenario, 5_000, seed=102)
        one_look = fixed_pairs(scenario) if "shadow" in name else fixed_split_tasks(scenario)
        peer = f"one look {one_look:,}; measured {run['median_tasks']:,}, nine in ten {run['p90_tasks']:,}"
        report.bars.append(at_least(f"+5 points, {name}: found", 100 * run["promoted_rate"], "%", 95.0, peer))
        report.bars.append(
            at_most(f"+5 points, {name}: median tasks", run["median_tasks"] / one_look, "x one look", bar, peer)
        )
        report.runs.append(run)


def add_worse(report: Report) -> None:
    """-5 points: removed, by harm or as futile."""
    for name, share in (("shadow", 0.5), ("split 90/10", 0.1)):
        run = contests(name, Scenario(0.925, 0.875, share), 5_000, seed=103)
        removed = run["rolled_back_rate"] + run["futile_rate"]
        report.bars.append(at_least(f"-5 points, {name}: removed", 100 * removed, "%", 99.5, "every one"))
        report.runs.append(run)


def contests(name: str, scenario: Scenario, tasks: int, seed: int) -> dict[str, Any]:
    """Run contests of *scenario* and return rates, and tasks until a promotion."""
    generator = np.random.default_rng(seed)
    simulate: Callable[..., Evidence] = simulate_pairs if "shadow" in name else simulate_split
    outcomes: Counter[str] = Counter()
    promoted: list[int] = []
    peeked = 0
    for _ in range(CONTESTS):
        evidence = simulate(scenario, tasks, generator)
        outcome, row = find_first_decision(evidence, POLICY)
        outcomes[outcome] += 1
        promoted += [row] if outcome == "promote" else []
        peeked += peeks_and_promotes(evidence)
    return {
        "name": name,
        "champion": scenario.champion,
        "challenger": scenario.challenger,
        "contests": CONTESTS,
        "promoted_rate": outcomes["promote"] / CONTESTS,
        "rolled_back_rate": outcomes["rollback"] / CONTESTS,
        "futile_rate": outcomes["futile"] / CONTESTS,
        "undecided_rate": outcomes["hold"] / CONTESTS,
        "peeked_rate": peeked / CONTESTS,
        "median_tasks": int(np.median(promoted)) if promoted else 0,
        "p90_tasks": int(np.quantile(promoted, 0.9)) if promoted else 0,
    }


def peeks_and_promotes(evidence: Evidence) -> bool:
    """Say whether a one-sided z-test at 5 %, looked at after every task from 100 per arm on, ever promotes."""
    if isinstance(evidence, PairedEvidence):
        differences = evidence.challenger["success"] - evidence.champion["success"]
        wins = np.cumsum(differences > 0)
        losses = np.cumsum(differences < 0)
        z = (wins - losses) / np.sqrt(np.maximum(wins + losses, 1))
        return bool((z[100:] > 1.645).any())
    success, arms = evidence.outcomes["success"], evidence.arms
    ones, zeros = np.cumsum(arms), np.cumsum(~arms)
    ready = (ones >= 100) & (zeros >= 100)
    p1, p0 = (np.cumsum(success * arm)[ready] / counts[ready] for arm, counts in ((arms, ones), (~arms, zeros)))
    spread = np.sqrt(np.maximum(p1 * (1 - p1) / ones[ready] + p0 * (1 - p0) / zeros[ready], 1e-12))
    return bool(((p1 - p0) / spread > 1.645).any())


def add_ratio(report: Report) -> None:
    """Sample ratio: 15 % of the traffic instead of 10 %, and false alarms."""
    generator = np.random.default_rng(104)
    shares = np.full(5_000, 0.1)
    paths = [ratio_path(generator.random(5_000) < 0.15, shares) for _ in range(500)]
    found = [int((path >= ALARM).argmax()) + 1 if path.max() >= ALARM else 5_001 for path in paths]
    fair = [ratio_path(generator.random(5_000) < 0.1, shares) for _ in range(CONTESTS)]
    alarms = sum(float(path.max()) >= ALARM for path in fair)
    peer = "chi-square p < .01 every night: 8.8 % false alarms (design study)"
    report.bars.append(at_most("15 % instead of 10 %: median tasks", float(np.median(found)), "tasks", 700, peer))
    report.bars.append(at_most("fair split: false alarms", 100 * alarms / CONTESTS, "%", 0.5, peer))


def add_speed(report: Report) -> None:
    """One decision over a long contest in memory, and one row of an incremental test."""
    generator = np.random.default_rng(105)
    for name, scenario in (("shadow", Scenario(0.925, 0.95)), ("split", Scenario(0.925, 0.95, 0.1))):
        simulate: Callable[..., Evidence] = simulate_pairs if name == "shadow" else simulate_split
        evidence = simulate(scenario, ROWS, generator)
        timings = [time_call(partial(decide_afresh, evidence)) for _ in range(15)]
        add_timing(report, f"decide on {ROWS:,} rows, {name}", timings, 50.0)
    differences = [float(value) for value in generator.integers(-1, 2, 20_000)]
    paired, weighted = PairedTest(), IpwTest()
    per_row = {
        "paired": time_call(lambda: [paired.update(value) for value in differences]),
        "weighted": time_call(
            lambda: [weighted.update(abs(value), challenger=value > 0, propensity=0.1) for value in differences]
        ),
    }
    for name, timing in per_row.items():
        value = timing.cpu / len(differences) * 1e6
        report.bars.append(at_most(f"one more row, {name} test", value, "us", 20.0, "CPU"))


def decide_afresh(evidence: Evidence) -> None:
    """Decide on a new view of all rows, so that nothing that an earlier round worked out is left."""
    decide(evidence.head(ROWS), POLICY)


def add_timing(report: Report, name: str, timings: list[Timing], limit: float) -> None:
    """Add CPU and wall time of one call in milliseconds; the bar is on CPU time."""
    cpu, wall = median(timings) * 1e3, median(timings, "wall") * 1e3
    report.bars.append(at_most(name, cpu, "ms", limit, f"CPU; wall {wall:.1f} ms"))
    report.runs.append({"name": name, "cpu_ms": round(cpu, 2), "wall_ms": round(wall, 2), "rounds": len(timings)})


def add_ledger(report: Report) -> None:
    """From the object on disk to the verdict, as `cortex verify` does it; a figure without a bar."""
    evidence = simulate_pairs(Scenario(0.925, 0.95), ROWS, np.random.default_rng(106))
    old, new = evidence.champion["success"].tolist(), evidence.challenger["success"].tolist()
    rows = [
        Row(unit=f"u{number}", scores={"old": Score(success=first), "new": Score(success=second)})
        for number, (first, second) in enumerate(zip(old, new, strict=True))
    ]
    experiment = Experiment(id="ab-bench", agent="bench", champion="old", challengers=("new",))
    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(Path(folder))
        written: list[str] = []
        write = time_call(lambda: written.append(write_ledger(store, rows).digest))
        read = time_call(lambda: judge(experiment, read_ledger(store, written[0])))
    for name, timing in (("write ledger", write), ("read ledger and judge", read)):
        report.runs.append({"name": name, "rows": ROWS, "cpu_s": round(timing.cpu, 3), "wall_s": round(timing.wall, 3)})


def add_oracles(report: Report) -> None:
    """The largest deviation from the published numbers."""
    oracles = json.loads(ORACLES.read_text(encoding="utf-8"))
    bets = [
        abs(failure_log_e(row["challenger"], row["failures"], 0.1) - row["log_e"])
        for row in oracles["assignment_log_e"]
    ]
    ratios = [
        abs(log_bayes_factor(row["counts"], (0.9, 0.1), row["k"]) - row["log_bf"])
        for row in oracles["sample_ratio_log_bf"]
    ]
    worst = max(*bets, *ratios)
    bar = Bar("published constants, 12", float(f"{worst:.1e}"), "off", 1e-6, "design study", worst <= 1e-6)
    report.bars.append(bar)


if __name__ == "__main__":
    main()

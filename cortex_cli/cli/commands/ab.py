"""Compare challengers with the champion."""
# ruff: noqa: ARG001, PLR0913, PLR0917  every option of a verb is a parameter; those of `start` are a promise of help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cortex_cli.cli.context import objects, registry, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import AgentArgument, JsonOption, WaitOption
from cortex_cli.cli.output import emit, print_table, say, show_text
from cortex_cli.domain.errors import NotBuiltError

if TYPE_CHECKING:
    from rich.console import Console

    from cortex_cli.domain.manifests import Experiment, Verdict
    from cortex_cli.release.judging import Arm, Standing
    from cortex_cli.release.ledger import Row
    from cortex_cli.release.planning import Plan
    from cortex_cli.release.replaying import Replay
    from cortex_cli.stats.decision import SeedsRule

__all__ = ["VERBS", "power", "replay", "start", "status", "stop"]

Mode = Literal["shadow", "split"]
SplitOption = Annotated[str, Option("--split", metavar="A/B", help="shares of champion and challenger")]
PolicyOption = Annotated[str, Option("--policy", metavar="P", help="anytime, cautious, or a TOML file")]
RunsOption = Annotated[int, Option("--runs", metavar="N", min=1, max=100_000, help="how many contests to run")]
SeedOption = Annotated[int, Option("--seed", metavar="S", min=0, help="where the random numbers begin")]
ExperimentArgument = Annotated[str, Argument(metavar="EXPERIMENT", help="id of an experiment")]


def start(
    agent: AgentArgument,
    challenger: Annotated[list[str], Option("--challenger", metavar="VARIANT", help="who challenges")],
    mode: Annotated[Mode, Option("--mode", help="both answer every request, or one of them")] = "shadow",
    split: SplitOption = "0.9/0.1",
    policy: PolicyOption = "anytime",
    as_json: JsonOption = False,
) -> None:
    """Begin an experiment on live requests."""
    raise NotBuiltError("ab start")


def status(
    experiment: Annotated[str, Argument(metavar="[EXPERIMENT]", help="id of an experiment; all without it")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show experiments, or how one of them stands.

    Evidence is told against its threshold. Looking decides nothing, and may be done at any time.
    """
    if not experiment:
        _list_experiments(as_json=as_json)
        return
    from cortex_cli.release.judging import stand

    found = registry().snapshot().experiment(experiment)
    rows = _rows_of(found)
    standings = [stand(found, rows, challenger) for challenger in found.challengers] if rows else []
    data = {"experiment": found, "standings": standings, "recorded": len(rows)}
    emit("ab.status", data, lambda console: _show_experiment(console, found, standings), as_json=as_json)


def replay(
    log: Annotated[Path, Option("--log", metavar="FILE", help="outcomes of every variant, as JSON lines")],
    policy: PolicyOption = "anytime",
    champion: Annotated[str, Option("--champion", metavar="X", help="variant in the log")] = "",
    challenger: Annotated[str, Option("--challenger", metavar="Y", help="variant in the log; X again is an A/A")] = "",
    runs: RunsOption = 200,
    mode: Annotated[Mode, Option("--mode", help="both outcomes of each unit, or one of them")] = "shadow",
    split: SplitOption = "0.9/0.1",
    seed: SeedOption = 0,
    max_tasks: Annotated[int, Option("--max-tasks", metavar="N", min=0, help="stop each run there; 0 is all")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Say what a policy would have decided on logged outcomes, over many shuffled orders.

    A line of the log is {"unit": "u1", "outcomes": {"x": true, "y": 0.5}, "domain": "d"}: booleans or
    numbers from 0 to 1. The same seed gives the same figures.
    """
    from cortex_cli.release import replaying
    from cortex_cli.release.policies import load_policy

    outcomes = replaying.read_outcomes(log)
    asked = replaying.Contest(champion, challenger, load_policy(policy), mode, replaying.parse_split(split))
    contest = replaying.select_contest(outcomes, asked)
    found = replaying.replay(outcomes, contest, replaying.Spread(runs, seed, max_tasks))
    emit("ab.replay", found, lambda console: _show_replay(console, found), as_json=as_json)


def power(
    base: Annotated[float, Option("--base", metavar="RATE", min=0.01, max=0.99, help="the champion's success rate")],
    effect: Annotated[float, Option("--effect", metavar="GAIN", min=0.001, max=0.98, help="gain to find")] = 0.05,
    policy: PolicyOption = "anytime",
    alike: Annotated[float, Option("--alike", min=0.0, max=1.0, help="how alike both fail; 0 independent")] = 0.0,
    per_day: Annotated[float, Option("--per-day", metavar="N", min=0.0, help="judged requests a day")] = 0.0,
    runs: RunsOption = 100,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Say how many tasks and days each mode needs to find a gain, before it begins.

    One look is the classic fixed sample at 80 % power; every look is simulated with the policy itself.
    """
    from cortex_cli.release.planning import Question, plan
    from cortex_cli.release.policies import load_policy

    found = plan(Question(base, effect, alike, per_day), load_policy(policy), (runs, seed))
    emit("ab.power", found, lambda console: _show_plan(console, found), as_json=as_json)


def stop(experiment: ExperimentArgument, wait: WaitOption = None, as_json: JsonOption = False) -> None:
    """Stop a running experiment without a verdict, in one commit; what it recorded stays."""
    from cortex_cli.release.experiments import stop_experiment
    from cortex_cli.store.clock import utc_now

    stopped = stop_experiment(registry(wait=wait), experiment, utc_now)

    def human(console: "Console") -> None:
        console.print(f"experiment '{experiment}' is stopped, commit {stopped.commit[:10]}")
        say(f"  see: cortex ab status {experiment}")

    emit("ab.stop", {"experiment": stopped.experiment, "commit": stopped.commit}, human, as_json=as_json)


def _list_experiments(*, as_json: bool) -> None:
    found = registry().snapshot().experiments()

    def human(console: "Console") -> None:
        if not found:
            console.print("no experiment has been recorded")
            return
        print_table(console, ("EXPERIMENT", "AGENT", "MODE", "STATE", "TASKS", "GAIN"), map(_listed, found))

    emit("ab.status", {"experiments": found}, human, as_json=as_json)


def _listed(experiment: "Experiment") -> tuple[object, ...]:
    verdict = experiment.verdict
    state = verdict.outcome if verdict else experiment.state
    gain = f"{100 * verdict.difference:+.1f} points" if verdict else "-"
    tasks = f"{verdict.tasks:,}" if verdict else "-"
    mode = f"{experiment.mode}, replayed" if experiment.replayed else experiment.mode
    return experiment.id, experiment.agent, mode, state, tasks, gain


def _rows_of(experiment: "Experiment") -> "list[Row]":
    """Return the rows behind a verdict, or those recorded so far; none where the ledger is not here."""
    from cortex_cli.release.experiments import read_recorded
    from cortex_cli.release.ledger import read_ledger

    if experiment.evidence is None:
        return read_recorded(workspace(), experiment)
    store = objects()
    if not store.has(experiment.evidence.digest):
        return []
    return list(read_ledger(store, experiment.evidence.digest))


def _show_experiment(console: "Console", experiment: "Experiment", standings: "list[Standing]") -> None:
    label = ", replayed" if experiment.replayed else ""
    console.print(f"experiment {experiment.id} of '{experiment.agent}'", style="bold")
    console.print(f"{experiment.mode}, {experiment.state}{label}, policy {experiment.policy.name}")
    if experiment.replayed:
        console.print("replayed: judged against reference answers, not by users")
    verdict = experiment.verdict
    for standing in standings:
        console.print()
        _show_standing(console, standing, experiment.policy.alpha / len(experiment.challengers))
        if not verdict:
            console.print()
            console.print(f"so far: {standing.verdict.outcome}", style="bold")
            _show_wrapped(console, standing.verdict.reason)
    if verdict:
        console.print()
        console.print(f"verdict: {verdict.outcome}", style="bold")
        _show_wrapped(console, verdict.reason)
        say(f"  check: cortex verify {experiment.id}")
    elif not standings:
        console.print("nothing has been recorded yet")


def _show_standing(console: "Console", standing: "Standing", alpha: float) -> None:
    verdict = standing.verdict
    for word, arm in zip(("champion", "challenger"), standing.arms, strict=True):
        console.print(f"{word:<12}{arm.variant}")
        console.print(f"{'':<12}{_tell_arm(arm, standing.unit)}")
    console.print(f"{'gain':<12}{_tell_gain(verdict)} ({100 - 100 * alpha:.4g} % sure of each)")
    if standing.unit == "pair":
        console.print(f"{'pairs':<12}{verdict.wins:,} won, {verdict.losses:,} lost")
    console.print()
    rows = [(each.shows, each.metric, each.evidence, "yes" if each.reached else "no") for each in standing.tests]
    print_table(console, ("TEST", "METRIC", "EVIDENCE", "SHOWN"), rows)
    console.print(f"seeds' rule, descriptive: {_tell_seeds(standing.seeds)}")


def _show_wrapped(console: "Console", text: str) -> None:
    import textwrap

    for line in textwrap.wrap(show_text(text), 76):
        console.print(f"  {line}")


def _tell_arm(arm: "Arm", unit: str) -> str:
    low, high = 100 * arm.interval.low, 100 * arm.interval.high
    return f"{100 * arm.rate:.1f} % of {arm.tasks:,} {unit}s succeed, {low:.1f} to {high:.1f} %"


def _tell_gain(verdict: "Verdict") -> str:
    low, high = 100 * verdict.low, 100 * verdict.high
    return f"{100 * verdict.difference:+.1f} points, at least {low:+.1f}, at most {high:+.1f}"


def _tell_seeds(seeds: "SeedsRule") -> str:
    quality = "unknown" if seeds.quality_gain is None else f"{4 * seeds.quality_gain:+.2f}"
    return (
        f"{'met' if seeds.met else 'not met'}\n"
        f"  success {100 * seeds.success_gain:+.1f} points (over +5), "
        f"quality {quality} (over +0.2), {seeds.tasks:,} tasks (100)"
    )


def _show_replay(console: "Console", found: "Replay") -> None:
    how = f"split {1 - found.share:.0%}/{found.share:.0%}" if found.mode == "split" else "shadow pairs"
    console.print(f"replayed {found.runs:,} times, {how}, up to {found.tasks:,} tasks, policy {found.policy}")
    console.print(f"champion    {show_text(found.champion, 40)}: {100 * found.champion_rate:.1f} % succeed")
    console.print(f"challenger  {show_text(found.challenger, 40)}: {100 * found.challenger_rate:.1f} % succeed")
    console.print()
    rates = (
        ("promoted", found.promoted_rate),
        ("rolled back", found.rolled_back_rate),
        ("futile", found.futile_rate),
        ("invalid", found.invalid_rate),
        ("undecided", found.undecided_rate),
    )
    print_table(console, ("OUTCOME", "RUNS"), [(word, f"{100 * rate:.1f} %") for word, rate in rates])
    if found.median_tasks is not None:
        console.print(f"decided after {found.median_tasks:,} tasks (median), {found.p90_tasks:,} in 9 of 10")
    if found.champion == found.challenger:
        console.print("an A/A: what was promoted here was promoted for nothing")


def _show_plan(console: "Console", found: "Plan") -> None:
    console.print(
        f"to find {100 * found.base:.1f} -> {100 * (found.base + found.effect):.1f} % success, policy {found.policy}"
    )
    console.print()
    rows = [
        (
            each.mode,
            f"{each.one_look:,}",
            f"{each.median_tasks:,}" if each.median_tasks else f"over {each.most_tasks:,}",
            f"{each.p90_tasks:,}" if each.p90_tasks else "-",
            f"{100 * each.promoted_rate:.0f} %",
            f"{each.days:.1f}" if each.days is not None else "-",
        )
        for each in found.modes
    ]
    print_table(console, ("MODE", "ONE LOOK", "EVERY LOOK", "9 OF 10", "FOUND", "DAYS"), rows)
    console.print()
    _show_advice(console, found)


def _show_advice(console: "Console", found: "Plan") -> None:
    import textwrap

    for line in textwrap.wrap(found.advice, 78):
        console.print(line)


VERBS = {"start": start, "status": status, "replay": replay, "power": power, "stop": stop}

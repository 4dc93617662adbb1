"""`cortex evaluate`: score a variant on held-out requests, beside the champion, and check the gates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cortex_cli.cli.context import find_recipe, settings, workspace
from cortex_cli.cli.framework import Argument, Option
from cortex_cli.cli.options import ExitCodeOption, JsonOption
from cortex_cli.cli.output import emit, print_lines, print_table, say, show_text
from cortex_cli.cli.progress import Steps
from cortex_cli.domain.errors import GateRefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from cortex_cli.evaluate.gates import Override
    from cortex_cli.evaluate.reports import Gates, SuiteReport
    from cortex_cli.pipeline.place import Place
    from cortex_cli.pipeline.recipes import EvaluateSpec

__all__ = ["evaluate"]

_DOMAINS_SHOWN = 12
_FILES = (".jsonl", ".toml")
_HARNESS = "lm-eval:"


def evaluate(  # noqa: PLR0913, PLR0917 - the options of the command line
    variant: Annotated[str, Argument(metavar="VARIANT", help="id of a variant, or of an adapter")],
    suite: Annotated[
        list[str] | None,
        Option(
            "--suite", metavar="S", help="dataset[/version]:part, a shipped suite, a file, lm-eval:TASK; repeatable"
        ),
    ] = None,
    recipe: Annotated[str, Option("--recipe", metavar="R", help="recipe whose suites and gates apply")] = "",
    against: Annotated[str, Option("--against", metavar="VARIANT", help="compare with it, not the champion")] = "",
    override: Annotated[
        list[str] | None, Option("--override", metavar="GATE", help="let it through this gate; repeatable")
    ] = None,
    by: Annotated[
        str, Option("--by", metavar="NAME", help="who answers for an override; git's user.name if not given")
    ] = "",
    because: Annotated[str, Option("--because", metavar="TEXT", help="why a gate is overridden")] = "",
    review: Annotated[int, Option("--review", metavar="N", min=0, help="if undecided, let people judge N answers")] = 0,
    card: Annotated[bool, Option("--card", help="print the model card of its adapter")] = False,
    unsafe: Annotated[bool, Option("--unsafe", help="run answers as programs even without a sandbox")] = False,
    exit_code: ExitCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Answer suites with a variant, judge the answers, compare with the champion, check the gates."""
    from cortex_cli.pipeline.place import open_place

    current = settings()
    place = open_place(workspace(), actor=current.actor, wait=current.lock_wait)
    signed = _Signed(tuple(override or ()), by, because)
    asked = _Asked(variant, tuple(suite or ()), recipe, against, review, card, unsafe)
    found, harness, text = _work(place, asked, signed)
    emit("evaluate", _plain(found, harness, text), lambda screen: _show(screen, found, harness, text), as_json=as_json)
    if found is not None and exit_code and not found.passed:
        refused = "; ".join(gate.reason for gate in found.gates if not gate.opens)
        said = "a gate refuses" if found.outcome == "failed" else "no gate refuses, but not every gate lets through"
        raise GateRefusedError(f"{said} '{variant}': {refused}", state="nothing was changed")


class _Asked(NamedTuple):
    variant: str
    suites: tuple[str, ...]
    recipe: str
    against: str
    review: int
    card: bool
    unsafe: bool


class _Signed(NamedTuple):
    gates: tuple[str, ...]
    by: str
    because: str


def _work(place: "Place", asked: _Asked, signed: _Signed) -> "tuple[Gates | None, dict[str, Any], str]":
    """Evaluate on suites, run tasks of the harness, make the card: each as far as it is asked for."""
    from cortex_cli.pipeline.evaluating import Setting
    from cortex_cli.pipeline.gating import check_candidate

    spec, tasks = _read_spec(asked)
    overrides = _overrides(place, signed)
    steps = Steps()
    found = None
    if spec is not None:
        setting = Setting(unsafe=asked.unsafe)
        with steps.step(f"evaluate {asked.variant} on {', '.join((spec.suite, *spec.more))}"):
            found = check_candidate(place, asked.variant, spec, overrides=overrides, setting=setting, tell=_tell(steps))
    harness = _run_harness(place, asked.variant, tasks, steps) if tasks else {}
    return found, harness, _card(place, asked.variant, found) if asked.card else ""


def _read_spec(asked: _Asked) -> "tuple[EvaluateSpec | None, list[str]]":
    """Return what to evaluate and the tasks of the harness; None when nothing but tasks or a card is asked."""
    import msgspec

    from cortex_cli.pipeline.recipes import EvaluateSpec, load_recipe

    table = load_recipe(find_recipe(asked.recipe)).evaluate if asked.recipe else None
    tasks = [name for name in asked.suites if name.startswith(_HARNESS)]
    names = [
        str(Path(name).absolute()) if name.endswith(_FILES) else name for name in asked.suites if name not in tasks
    ]
    if names:
        table = msgspec.structs.replace(table or EvaluateSpec(suite=""), suite=names[0], more=tuple(names[1:]))
    elif tasks:
        table = None
    elif table is None and not asked.card:
        raise UsageError(
            "there is no suite to evaluate on",
            hint="cortex evaluate VARIANT --suite dispatch:test",
            state="nothing was evaluated",
        )
    if table is None:
        return None, tasks
    review = asked.review or table.review
    return msgspec.structs.replace(table, against=asked.against or table.against, review=review), tasks


def _overrides(place: "Place", signed: _Signed) -> "list[Override]":
    if not signed.gates:
        return []
    from cortex_cli.evaluate.gates import Override
    from cortex_cli.pipeline.signing import name_person

    if not signed.because.strip():
        raise UsageError("an override needs a reason", hint='add --because "..."', state="nothing was evaluated")
    name = signed.by or name_person(place)
    return [Override(gate=gate, by=name, because=signed.because, time=place.time()) for gate in signed.gates]


def _tell(steps: Steps) -> "Callable[[str], Callable[[int, int], None]]":
    return lambda what: lambda done, total: steps.update(f"{what}: {done} of {total} cases")


def _run_harness(place: "Place", variant: str, tasks: list[str], steps: Steps) -> dict[str, Any]:
    from cortex_cli.pipeline.harnessing import run_tasks

    with steps.step(f"lm-evaluation-harness: {', '.join(tasks)}"):
        return run_tasks(place, variant, tasks)


def _card(place: "Place", variant: str, found: "Gates | None") -> str:
    from cortex_cli.pipeline.carding import make_card

    return make_card(place, variant, found)


def _plain(found: "Gates | None", harness: dict[str, Any], card: str) -> dict[str, Any]:
    import msgspec

    rest: dict[str, Any] = {**({"lm_eval": harness} if harness else {}), **({"card": card} if card else {})}
    if found is None:
        return rest
    first = found.suites[0]
    champion = None if first.rival is None else {"suite_digest": first.suite_digest, "success": first.rival}
    return {
        **msgspec.to_builtins(found),
        "scores": msgspec.to_builtins(msgspec.structs.replace(first, outcomes=())),
        "champion": champion,
        "comparison": first.comparison,
        "gates": [{**msgspec.to_builtins(gate), "passed": gate.passed} for gate in found.gates],
        "outcome": found.outcome,
        "passed": found.passed,
        **rest,
    }


def _show(screen: "Console", found: "Gates | None", harness: dict[str, Any], card: str) -> None:
    if card:
        print_lines(screen, card.splitlines())
        return
    if found is not None:
        for report in found.suites:
            _show_suite(screen, report, found)
        _show_gates(screen, found)
    for task, metrics in harness.items():
        print_table(screen, (task, "VALUE"), [(name, show_text(value)) for name, value in metrics.items()])


def _show_suite(screen: "Console", report: "SuiteReport", found: "Gates") -> None:
    screen.print(f"{show_text(report.suite)}: {report.cases} cases, judged by {report.judge}")
    rows = [(found.variant, *_row(report))]
    if report.rival is not None:
        speed = 1000 * report.rival_seconds / report.cases
        rows.append((found.against, f"{report.rival:.1%}", "", "", "", f"{speed:.1f}", ""))
    print_table(screen, ("VARIANT", "RIGHT", "95 % INTERVAL", "ERRORS", "TOKENS/CASE", "MS/CASE", "$/CASE"), rows)
    if report.comparison:
        pair = report.comparison
        needed = f"; {pair.needed:,} pairs would show such a difference" if pair.needed else ""
        screen.print(
            f"difference {pair.difference:+.1%} (95 % interval {pair.low:+.1%} to {pair.high:+.1%}), "
            f"effect {pair.effect:+.2f}{needed}; only the rival right: {pair.only_first}, only this variant: {pair.only_second}"
        )
    if len(report.domains) > 1:
        ranked = sorted(report.domains.items(), key=lambda item: item[1][0] / item[1][1])[:_DOMAINS_SHOWN]
        print_table(screen, ("DOMAIN", "RIGHT", "CASES"), [(show_text(name or "-"), *both) for name, both in ranked])


def _row(report: "SuiteReport") -> tuple[object, ...]:
    cases = report.cases
    interval = f"{report.low:.1%} to {report.high:.1%}"
    spent = f"{report.tokens / cases:.0f}", f"{1000 * report.seconds / cases:.1f}", f"{report.cost / cases:.6f}"
    return (f"{report.success:.1%}", interval, report.errors, *spent)


def _show_gates(screen: "Console", found: "Gates") -> None:
    for gate in found.gates:
        screen.print(
            f"gate {gate.name}: {gate.outcome if gate.passed else gate.outcome.upper()}: {show_text(gate.reason)}"
        )
        if gate.override:
            screen.print(f"  overridden by {show_text(gate.override.by)}: {show_text(gate.override.because)}")
    if found.agreement:
        told = found.agreement
        screen.print(f"the judge agrees with people in {told.share:.0%} of {told.cases} pairs (kappa {told.kappa:.2f})")
    screen.print(f"{found.outcome}; kept as {found.digest}")
    if found.review:
        say(f"  {len(found.review)} answers wait for people: cortex review --agent {found.agent}")
    elif found.outcome == "undecided":
        say("  undecided: more cases, or people: cortex evaluate ... --review 20")
    elif found.passed:
        say(f"  next: cortex promote {found.agent} {found.variant}")
